"""The GPT's prefill on compiled kernels: the numbers of the graph it stands for, on every kind of processor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.backends import native
from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.backends.native_prefill import open_prefill
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.backends.plan import Choice, Taken
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import CPU_FILE, Bundle
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.errors import ShapeError
from sovits_runtime.t2s.sampling import SamplingOptions

KERNELS = ["generic", "AVX2", "AVX-VNNI", "AVX-512 VNNI", "AVX-512 BF16", "AMX"]

lib = native.library()
pytestmark = pytest.mark.skipif(lib is None, reason="sovits-export-native is not installed")


@pytest.fixture(scope="module")
def bundle(tiny_bundle) -> Bundle:
    return Bundle.open(tiny_bundle)


def open_native(bundle, *, threads=2, precision="fp32", half_caches=False):
    step = native.open_step(lib, bundle, None, threads, precision=precision, half_caches=half_caches)
    return open_prefill(step, bundle)


def graph_of(bundle):
    path, spec = bundle.graph_path("gpt_prefill", form=CPU_FILE), bundle.graph_spec("gpt_prefill")
    return open_session(path, spec, options=SessionOptions(threads=1))


def request(spec, phones, prompt, *, capacity=None, seed=0):
    """Random inputs of a prefill, and room for its outputs; each pair of caches is one array."""
    rng = np.random.default_rng(seed)
    vocab, features = spec.tensor("seen").shape[1], spec.tensor("bert").shape[2]
    arrays = {
        "phones": rng.integers(0, 300, (1, phones)),
        "bert": rng.standard_normal((1, phones, features)).astype(np.float32),
        "prompt": rng.integers(0, vocab - 1, (1, prompt)),
        "seen": rng.random((1, vocab)) < 0.1,
        "step": np.zeros(1, np.int64),
        "noise": rng.standard_exponential((1, vocab), dtype=np.float32),
        **SamplingOptions(top_k=40, temperature=1.5).arrays(vocab),
    }
    dims = {"batch": 1, "cache_size": capacity or max(phones + prompt + 3, 16)}
    for name, out in spec.aliases:
        arrays[name] = arrays[out] = np.zeros(spec.tensor(name).resolve(dims), spec.tensor(name).dtype)
    for t in spec.outputs:
        arrays.setdefault(t.name, np.empty(t.resolve(dims), t.dtype))
    return arrays


def run(session, arrays):
    session.bind(arrays).run()
    return arrays


def differences(mine, theirs):
    """Largest difference of logits and of caches, as fractions of the largest number."""
    names = ["logits", *(name for name in theirs if "_cache_" in name)]
    return [float(np.abs(mine[n] - theirs[n]).max() / np.abs(theirs[n]).max()) for n in names]


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("phones", "prompt"), [(1, 0), (1, 1), (15, 1), (16, 16), (17, 40), (64, 64), (70, 0), (130, 75)]
)
def test_it_gives_the_numbers_of_the_graph(bundle, threads, phones, prompt):
    prefill, graph = open_native(bundle, threads=threads), graph_of(bundle)
    mine = run(prefill, request(prefill.spec, phones, prompt))
    theirs = run(graph, request(graph.spec, phones, prompt))
    assert max(differences(mine, theirs)) < 2e-5
    for name in ("next_token", "stop", "next_seen"):
        assert mine[name].tolist() == theirs[name].tolist(), name


def test_caches_in_float16_hold_the_nearest(bundle):
    made = [open_native(bundle, half_caches=half) for half in (False, True)]
    exact, halved = (run(prefill, request(prefill.spec, 70, 45)) for prefill in made)
    assert np.array_equal(exact["logits"], halved["logits"])  # rows read each other before they are kept
    for name, _ in made[0].spec.aliases:
        assert halved[name].dtype == np.float16
        assert np.array_equal(exact[name].astype(np.float16), halved[name])


def test_its_numbers_do_not_depend_on_threads(bundle):
    made = [
        run(open_native(bundle, threads=n), request(bundle.graph_spec("gpt_prefill"), 90, 50))
        for n in (1, 2, 5)
    ]
    for other in made[1:]:
        assert all(np.array_equal(made[0][name], other[name]) for name in other)


@pytest.mark.parametrize("kind", KERNELS)
def test_every_kind_of_kernel_gives_the_same(tiny_bundle, kind):
    """Each in a process of its own, since they are chosen once; int8 as near as its rounding lets it be."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import json
import test_native_prefill as t
bundle = t.Bundle.open({str(tiny_bundle)!r})
theirs = t.run(t.graph_of(bundle), t.request(bundle.graph_spec("gpt_prefill"), 70, 45))
errors = {{}}
for precision in ("fp32", "int8"):
    mine = t.run(t.open_native(bundle, precision=precision), t.request(bundle.graph_spec("gpt_prefill"), 70, 45))
    errors[precision] = t.differences(mine, theirs)
print(json.dumps([t.native.kernels(t.lib), errors, mine["logits"].tolist()]))
"""
    env = {**os.environ, "SOVITS_NATIVE_KERNELS": kind}
    done = subprocess.run([sys.executable, "-c", code], check=False, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name, errors, logits = json.loads(done.stdout)
    if name != kind:
        pytest.skip(f"this processor has no {kind}")
    assert max(errors["fp32"]) < 2e-5
    assert 1e-6 < max(errors["int8"]) < 0.2
    LOGITS[kind] = np.array(logits)
    first = next(iter(LOGITS.values()))
    assert np.abs(LOGITS[kind] - first).max() < 1e-3 * np.abs(first).max()


LOGITS: dict[str, np.ndarray] = {}


def test_a_phone_or_token_that_the_model_does_not_know_is_named(bundle):
    prefill = open_native(bundle)
    known = len(prefill._phones)
    for name, value, what in (
        ("phones", known, "phones"),
        ("phones", -1, "phones"),
        ("prompt", prefill.spec.tensor("seen").shape[1], "tokens"),
    ):
        arrays = request(prefill.spec, 10, 5)
        arrays[name][0, 3] = value
        with pytest.raises(ShapeError, match=f"expected {what} of 0 to .*{value}"):
            run(prefill, arrays)


def test_caches_that_are_too_small_are_refused(bundle):
    prefill = open_native(bundle)
    with pytest.raises(ShapeError, match="25 rows of text and prompt do not fit caches of 24 rows"):
        run(prefill, request(prefill.spec, 20, 5, capacity=24))


def test_a_voice_speaks_the_same_with_it(tiny_bundle, reference):
    """Tokens and samples of a whole sentence, with the exact kernels."""
    bundle = Bundle.open(tiny_bundle)
    spoken = []
    for engines in ({"gpt_step": "native"}, {"gpt_step": "native", "gpt_prefill": "native"}):
        backend = CpuVoice(bundle, LoadOptions(threads=2), Taken(Choice(engines)))
        assert backend.runs_on["gpt_prefill"].startswith("native") == ("gpt_prefill" in engines)
        with Synthesizer(backend) as voice:
            options = SpeechOptions(max_tokens=60)
            spoken.append(voice.synthesize(["HH", "AH0", "L", "OW1", "."], reference, options=options))
    assert spoken[0].tokens.tolist() == spoken[1].tokens.tolist()
    assert np.abs(spoken[0].samples - spoken[1].samples).max() < 1e-5


@pytest.mark.parametrize(
    ("engines", "native_prefill"),
    [
        ({"gpt_step": "native", "gpt_prefill": "native"}, True),
        ({"gpt_step": "native-int8", "gpt_prefill": "native-int8"}, True),
        ({"gpt_step": "native", "gpt_prefill": "native-int8"}, False),
        ({"gpt_step": "onnxruntime", "gpt_prefill": "native"}, False),
        ({"gpt_step": "native"}, False),
    ],
)
def test_it_has_the_weights_of_the_step_or_does_not_run(engines, native_prefill):
    assert Choice(engines).native_prefill is native_prefill
