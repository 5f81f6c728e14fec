"""The GPT's step on compiled kernels: the numbers of the graph it stands for, on every kind of processor."""

import ctypes
import gc
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.backends import native
from sovits_runtime.backends.native_packing import F16, F32, INDEX, INT8, load_packed, pack, save_packed
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.bundle import CPU_FILE, Bundle
from sovits_runtime.bundle.gpt_weights import GptWeights
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.doctor import cpu as doctor_cpu
from sovits_runtime.errors import BackendError, BundleError, ShapeError
from sovits_runtime.t2s.sampling import SamplingOptions

X86 = ["generic", "AVX2", "AVX-VNNI", "AVX-512 VNNI", "AVX-512 BF16", "AMX"]
KERNELS = [*X86, "NEON", "dot product", "I8MM"]
ROWS, CAPACITY = (40, 20, 3), 128  # phones, prompt tokens and steps that came before

lib = native.library()
pytestmark = pytest.mark.skipif(lib is None, reason="sovits-export-native is not installed")


@pytest.fixture(scope="module")
def bundle(tiny_bundle) -> Bundle:
    return Bundle.open(tiny_bundle)


@pytest.fixture(scope="module")
def weights(bundle) -> GptWeights:
    return GptWeights.read(bundle.graph_path("gpt_prefill"), bundle.graph_spec("gpt_step"))


def graph_of(bundle):
    path = bundle.graph_path("gpt_step", form=CPU_FILE)
    return open_session(path, bundle.graph_spec("gpt_step"), options=SessionOptions(threads=1))


def request(spec, *, seed=0, options=None, scale=1.0):
    """Random inputs of a step, and room for its outputs; each pair of caches is one array."""
    rng = np.random.default_rng(seed)
    vocab = spec.tensor("seen").shape[1]
    arrays = dict(zip(("text_len", "prompt_len", "step"), (np.array([n]) for n in ROWS), strict=True))
    arrays |= {"token": rng.integers(0, vocab, 1), "seen": rng.random((1, vocab)) < 0.1}
    arrays |= {
        "noise": rng.standard_exponential((1, vocab), dtype=np.float32),
        **(options or SamplingOptions()).arrays(vocab),
    }
    dims = {"batch": 1, "cache_size": CAPACITY}
    for name, out in spec.aliases:
        cache = scale * rng.standard_normal(spec.tensor(name).resolve(dims))
        arrays[name] = arrays[out] = cache.astype(spec.tensor(name).dtype)
    for t in spec.outputs:
        arrays.setdefault(t.name, np.empty(t.resolve(dims), t.dtype))
    return arrays


def forms(spec):
    """What the kernels compute in: a name, the precision of the matrices, and the spec with the caches' dtype."""
    half = native.with_half_caches(spec)
    yield from (("fp32", "fp32", spec), ("float16 caches", "fp32", half), ("int8", "int8", spec))


def run(session, arrays):
    session.bind(arrays).run()
    return arrays


def assert_equal(mine, theirs, *, limit):
    scale = np.abs(theirs["logits"]).max()
    assert np.abs(mine["logits"] - theirs["logits"]).max() <= limit * scale
    for name in mine:
        if "_cache_" in name:
            np.testing.assert_allclose(mine[name], theirs[name], atol=limit * np.abs(theirs[name]).max())


def assert_same_draw(mine, theirs):
    for name in ("next_token", "stop", "next_seen"):
        assert mine[name].tolist() == theirs[name].tolist(), name


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])  # attention from even to one row alone
def test_it_gives_the_numbers_of_the_graph(bundle, weights, threads, scale):
    step = native.NativeStep(
        lib, bundle.graph_spec("gpt_step"), weights, pack(lib, weights, "fp32"), threads=threads
    )
    graph = graph_of(bundle)
    for seed in range(5):
        args = {"seed": seed, "scale": scale}
        mine, theirs = run(step, request(step.spec, **args)), run(graph, request(step.spec, **args))
        assert_equal(mine, theirs, limit=2e-5)
        assert_same_draw(mine, theirs)


@pytest.mark.parametrize(
    "options",
    [
        SamplingOptions(),
        SamplingOptions(top_k=0, top_p=0.8, temperature=0.7),
        SamplingOptions(top_k=5, top_p=0.02),
        SamplingOptions(top_k=64, top_p=0.9, repetition_penalty=1.0),
        SamplingOptions(top_k=65, temperature=3.0),
        SamplingOptions(top_k=1),
        SamplingOptions(temperature=0.0),
        SamplingOptions(top_k=100_000, min_tokens=0),
    ],
)
def test_it_draws_as_the_graph_does(bundle, weights, options):
    step = native.NativeStep(
        lib, bundle.graph_spec("gpt_step"), weights, pack(lib, weights, "fp32"), threads=1
    )
    graph = graph_of(bundle)
    drawn = []
    for seed in range(30):
        mine = run(step, request(step.spec, seed=seed, options=options))
        assert_same_draw(mine, run(graph, request(step.spec, seed=seed, options=options)))
        drawn.append(int(mine["next_token"][0]))
    assert len(set(drawn)) > 5


def test_equal_logits_are_ordered_as_in_the_graph(bundle, weights):
    """All logits are 0: of equal ones the earlier token is the likelier, and all are above the pivot."""
    zero = pack(lib, weights, "fp32")
    zero[weights.head.name].weight[...] = 0
    step = native.NativeStep(lib, bundle.graph_spec("gpt_step"), weights, zero, threads=1)
    arrays = request(step.spec, options=SamplingOptions(top_k=3, repetition_penalty=1.0))
    run(step, arrays)
    assert arrays["logits"].tolist() == [[0.0] * weights.vocab]
    assert arrays["next_token"][0] == arrays["noise"][0, :].argmin()
    arrays["min_tokens"][...] = 0
    arrays["noise"][...] = 1
    run(step, arrays)
    assert arrays["next_token"][0] == 0


@pytest.mark.parametrize("kind", KERNELS)
def test_every_kind_of_kernel_gives_the_same(tiny_bundle, kind):
    """Each in a process of its own, since they are chosen once."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import json
import test_native as t
bundle = t.Bundle.open({str(tiny_bundle)!r})
weights = t.GptWeights.read(bundle.graph_path("gpt_prefill"), bundle.graph_spec("gpt_step"))
graph, errors = t.graph_of(bundle), {{}}
for form, precision, spec in t.forms(graph.spec):
    step = t.native.NativeStep(t.lib, spec, weights, t.pack(t.lib, weights, precision), threads=2)
    mine, theirs = t.run(step, t.request(step.spec)), t.run(graph, t.request(graph.spec))
    errors[form] = float(abs(mine["logits"] - theirs["logits"]).max() / abs(theirs["logits"]).max())
print(json.dumps([t.native.kernels(t.lib), errors, mine["logits"].tolist()]))
"""
    env = {**os.environ, "SOVITS_NATIVE_KERNELS": kind}
    out = subprocess.run([sys.executable, "-c", code], check=True, env=env, stdout=subprocess.PIPE).stdout
    name, errors, logits = json.loads(out)
    if name != kind:
        pytest.skip(f"this processor has no {kind}")
    assert errors["fp32"] < 2e-5
    assert 1e-6 < errors["float16 caches"] < 2e-3
    assert 1e-6 < errors["int8"] < 0.1
    LOGITS[kind] = np.array(logits)
    first = next(iter(LOGITS.values()))
    assert np.abs(LOGITS[kind] - first).max() < 1e-4 * np.abs(first).max()  # int8 sums are exact everywhere


LOGITS: dict[str, np.ndarray] = {}


@pytest.fixture(scope="module")
def first_position():
    """Kind of kernel -> digests of logits at the first position, by precision, and of int8's later on."""
    return {}


@pytest.mark.parametrize("kind", KERNELS)
def test_every_kind_with_fma_gives_the_same_bits_at_the_first_position(tiny_bundle, first_position, kind):
    """Attention is over one row there; what remains is summed in one order everywhere, on Arm as well.

    Kernels of one architecture sum attention in one order too.
    """
    env = {**os.environ, "SOVITS_NATIVE_KERNELS": kind}
    command = [sys.executable, Path(__file__).parents[3] / "tools/kernel_numbers.py", tiny_bundle]
    done = subprocess.run(command, check=False, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if found["kernels"] != kind:
        pytest.skip(f"this processor has no {kind}")
    assert found["errors"]["fp32"] < 2e-5
    assert 1e-6 < found["errors"]["int8"] < 0.1
    assert found["rows"] == {"fp32": True, "int8": True, "float16 caches": True}
    assert found["errors"]["prefill"] < 2e-5
    assert found["errors"]["vocoder"] < 2e-5
    assert 1e-5 < found["errors"]["vocoder bf16"] < 0.05
    assert 1e-3 < found["errors"]["vocoder int8"] < 0.2
    if kind != native.GENERIC:  # whose float sums round each product
        first_position[kind] = {**found["first"], "later": found["int8"], "sound": found["sound"]}
        assert list(first_position.values()) == [first_position[kind]] * len(first_position)


@pytest.mark.parametrize("kind", KERNELS)
def test_rows_of_a_batch_get_what_they_get_alone(tiny_bundle, kind):
    """Bit for bit, with every kind of kernel, in both precisions, by all threads and by half of them."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_native as t
bundle = t.Bundle.open({str(tiny_bundle)!r})
weights = t.GptWeights.read(bundle.graph_path("gpt_prefill"), bundle.graph_spec("gpt_step"))
for form, precision, spec in t.forms(bundle.graph_spec("gpt_step")):
    packed = t.pack(t.lib, weights, precision)
    step = t.native.NativeStep(t.lib, spec, weights, packed, threads=2)
    t.check_rows(step, (1, 2, 3, 4, 5, 6, 7, 13, 16, 17))
print(t.native.kernels(t.lib))
"""
    env = {**os.environ, "SOVITS_NATIVE_KERNELS": kind}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env=env, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    if done.stdout.strip() != kind:
        pytest.skip(f"this processor has no {kind}")


def check_rows(step, counts):
    """Rows at different positions, with options of their own, against each alone.

    A step writes what it writes anew from what it reads, so the same arrays serve again.
    """
    batch, alone = [], []
    for seed in range(max(counts)):
        options = SamplingOptions(top_k=1 + seed % 20, temperature=0.7 + 0.1 * (seed % 5))
        arrays = request(step.spec, seed=seed, options=options)
        arrays["step"][0] = 1 + 7 * seed % 60
        batch.append(arrays)
        run(step, arrays)
        alone.append({name: arrays[name].tobytes() for name in step.spec.output_names})
    bound = [step.bind(arrays) for arrays in batch]
    for count in counts:
        for lean in (False, True):
            for arrays in batch[:count]:
                for name in native.OUTPUTS:
                    arrays[name][...] = 0
            step.run_together(bound[:count], lean=lean)
            for seed, arrays in enumerate(batch[:count]):
                got = {name: arrays[name].tobytes() for name in step.spec.output_names}
                assert got == alone[seed], (count, seed, lean)


def test_one_row_out_of_range_is_refused_with_the_batch_untouched(bundle, weights):
    packed = pack(lib, weights, "fp32")
    step = native.NativeStep(lib, bundle.graph_spec("gpt_step"), weights, packed, threads=1)
    good, bad = request(step.spec), request(step.spec, seed=1)
    bad["token"][0] = -1
    before = good["k_cache_0"].copy()
    with pytest.raises(ShapeError, match="token -1 at row 62 does not fit"):
        step.run_together([step.bind(good), step.bind(bad)])
    assert np.array_equal(good["k_cache_0"], before)


def test_logits_that_are_no_numbers_do_no_harm(bundle, weights):
    broken = pack(lib, weights, "fp32")
    broken[weights.head.name].weight.view(np.uint16)[...] = 0x7E00  # NaN
    step = native.NativeStep(lib, bundle.graph_spec("gpt_step"), weights, broken, threads=2)
    for top_k in (0, 1, 15):
        arrays = run(step, request(step.spec, options=SamplingOptions(top_k=top_k, top_p=0.9)))
        assert 0 <= arrays["next_token"][0] < weights.vocab


def test_weights_that_are_no_float16_stay_float32(bundle, weights):
    first, *others = weights.layers
    matrix = first.up.weight.copy()
    matrix[-1, -1] = 0.1  # lies between two float16 numbers
    changed = replace(weights, layers=(replace(first, up=replace(first.up, weight=matrix)), *others))
    forms = {name: matrix.form for name, matrix in pack(lib, changed, "fp32").items()}
    assert forms.pop("t2s.h.layers.0.linear1.weight") == F32
    assert set(forms.values()) == {F16}
    assert {m.form for name, m in pack(lib, weights, "int8").items() if name != weights.head.name} == {INT8}
    packed = pack(lib, changed, "fp32")
    step = native.NativeStep(lib, bundle.graph_spec("gpt_step"), changed, packed, threads=2)
    assert_equal(
        run(step, request(step.spec)), run(graph_of(bundle), request(step.spec)), limit=0.05
    )  # one weight differs


@pytest.mark.parametrize(
    "value", [6e-8, -6e-8, 6.1e-5, 65504.0, -0.0, 1.0, 2**-24, 1 / 3, 1e-9, 65520.0, np.inf]
)
def test_what_float16_holds(value):
    number = np.full((1, 8), value, np.float32)
    packed = np.zeros(lib.sovits_packed_bytes(F16, 1, 8), np.uint8)
    holds = lib.sovits_pack(F16, 1, 8, number.ctypes.data, packed.ctypes.data, None, None)
    with np.errstate(over="ignore"):
        half = number.astype(np.float16)
    assert bool(holds) == bool(half[0, 0] == number[0, 0] and np.isfinite(half[0, 0])) or np.isinf(value)
    if holds:
        assert packed.view(np.float16).reshape(8, 64)[:, 0].tobytes() == half.tobytes()


def test_int8_weights_are_those_of_the_bundle(weights):
    from sovits_engines.passes.int8_linear import int8_weights

    qkv = weights.layers[0].qkv
    n, k = qkv.weight.shape
    numbers, scale = int8_weights(qkv.weight)
    packed = pack(lib, weights, "int8")[qkv.name]
    assert packed.scale.tobytes() == scale.tobytes()
    panels = packed.weight.view(np.int8).reshape(-1, k // 4, 64, 4)  # [panels, k / 4, 64, 4]
    unpacked = panels.transpose(0, 2, 1, 3).reshape(-1, k)[:n]
    assert np.array_equal(unpacked, numbers.T)
    assert np.array_equal(packed.total, numbers.sum(axis=0, dtype=np.int32))


def test_packed_weights_can_be_mapped(weights, tmp_path):
    packed = pack(lib, weights, "int8")
    save_packed(packed, tmp_path / "step")
    mapped = load_packed(lib, tmp_path / "step")
    assert list(mapped) == list(packed)
    for name, matrix in mapped.items():
        assert matrix.weight.tobytes() == packed[name].weight.tobytes()
        assert matrix.scale.tobytes() == packed[name].scale.tobytes()
        assert matrix.total.tobytes() == packed[name].total.tobytes()
    for damaged in ("{", '{"x": {"form": 1}}', '{"x": {"form": 1, "n": 99, "k": 9999999, "weight": 0}}'):
        (tmp_path / f"step{INDEX}").write_text(damaged, encoding="utf-8")
        with pytest.raises(BundleError, match=r"damaged|not an index of packed weights"):
            load_packed(lib, tmp_path / "step")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token", -1),
        ("token", 10**6),
        ("text_len", CAPACITY),
        ("prompt_len", -50),
        ("step", 10**9),
        *((name, count) for name in ("text_len", "prompt_len", "step") for count in (2**63 - 1, -(2**63))),
    ],
)
def test_a_row_or_token_out_of_range_is_refused(bundle, weights, name, value):
    step = native.NativeStep(
        lib, bundle.graph_spec("gpt_step"), weights, pack(lib, weights, "fp32"), threads=1
    )
    arrays = request(step.spec)
    before = arrays["k_cache_0"].copy()
    arrays[name][...] = value
    with pytest.raises(ShapeError, match="does not fit"):
        run(step, arrays)
    assert np.array_equal(arrays["k_cache_0"], before)


def test_what_cannot_be_bound_is_named(bundle, weights):
    spec = bundle.graph_spec("gpt_step")
    step = native.NativeStep(lib, spec, weights, pack(lib, weights, "fp32"), threads=1)
    arrays = request(spec)
    with pytest.raises(ShapeError, match="logits"):
        step.bind({name: a for name, a in arrays.items() if name != "logits"})
    with pytest.raises(ShapeError, match="same array"):
        step.bind({**arrays, spec.aliases[0][1]: arrays[spec.aliases[0][0]].copy()})
    with pytest.raises(ShapeError, match=r"logits: expected float32\[1, 1025\], got float32\[1, 7\]"):
        step.bind({**arrays, "logits": np.empty((1, 7), np.float32)})
    two = {name: np.repeat(a, 2, axis=0) for name, a in arrays.items()}
    two |= {out: two[name] for name, out in spec.aliases}
    with pytest.raises(ShapeError, match="one request"):
        step.bind(two)
    with pytest.raises(ShapeError, match="contiguous"):
        step.bind({**arrays, "noise": np.zeros((1, 2 * weights.vocab), np.float32)[:, ::2]})


def test_threads_share_a_step(bundle, weights):
    """Requests at once, each with its own arrays: what each gets is what it gets alone."""
    step = native.NativeStep(
        lib, bundle.graph_spec("gpt_step"), weights, pack(lib, weights, "fp32"), threads=2
    )
    alone = [run(step, request(step.spec, seed=seed))["logits"].copy() for seed in range(6)]
    wrong = []

    def many(seed):
        arrays = request(step.spec, seed=seed)
        binding = step.bind(arrays)
        for _ in range(50):
            binding.run()
            if not np.array_equal(arrays["logits"], alone[seed]):
                wrong.append(seed)

    threads = [threading.Thread(target=many, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted by the names that Linux shows")
def test_its_threads_end_with_it(bundle):
    def count():
        names = (path.read_text(encoding="utf-8").strip() for path in Path("/proc/self/task").glob("*/comm"))
        return sum(name == "sovits-gpt" for name in names)

    before = count()
    step = native.open_step(lib, bundle, None, 4)
    deadline = time.monotonic() + 5
    while count() < before + 3 and time.monotonic() < deadline:  # each names itself once it runs
        time.sleep(0.01)
    assert count() == before + 3
    del step
    assert count() == before


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted by the names that Linux shows")
def test_closing_a_voice_ends_its_threads_at_once(tiny_bundle, reference):
    """Without waiting for the garbage collector, which finds circles later."""

    def count():
        names = (path.read_text(encoding="utf-8").strip() for path in Path("/proc/self/task").glob("*/comm"))
        return sum(name == "sovits-gpt" for name in names)

    gc.collect()
    gc.disable()
    try:
        before = count()
        voice = Synthesizer.load(tiny_bundle, threads=2, gpt_steps="native", vocoder_engine="native")
        voice.synthesize(["HH", "AY1"], reference, options=SpeechOptions(max_tokens=3))
        step = voice.text_to_semantic.step
        assert count() == before + 2  # one for the steps, one for the vocoder
        voice.close()
        assert count() == before
        with pytest.raises(BackendError, match="load the voice again"):
            run(step, request(step.spec))
    finally:
        gc.enable()


def test_a_voice_speaks_the_same_with_and_without(tiny_bundle, reference):
    phones, options = ["HH", "AH0", "L", "OW1", "."], SpeechOptions(max_tokens=60)
    said = {}
    for steps in ("native", "onnxruntime"):
        with Synthesizer.load(tiny_bundle, gpt_steps=steps) as voice:
            sentence = voice.synthesize(phones, reference, options=options)
            said[steps] = sentence.tokens.tolist()
            assert voice.describe()["graphs"]["gpt_step"].startswith("native") == (steps == "native")
    assert said["native"] == said["onnxruntime"]


def test_commands_can_ask_for_them(tiny_bundle):
    for steps, ran in (("native", True), ("onnxruntime", False)):
        args = ["bench", str(tiny_bundle), "--repeats", "1", "--tokens", "8", "--json", "--gpt-steps", steps]
        result = CliRunner().invoke(main, args)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["conditions"]["provider"].startswith("native") == ran
    assert CliRunner().invoke(main, ["verify", str(tiny_bundle), "--gpt-steps", "native"]).exit_code == 0


def test_they_are_refused_where_they_cannot_run(tiny_bundle, monkeypatch):
    with pytest.raises(BackendError, match="beside backend 'onnxruntime', asked for 'tensorrt'"):
        Synthesizer.load(tiny_bundle, device="cuda", backend="tensorrt", gpt_steps="native")
    opened = Bundle.open(tiny_bundle)
    opened.manifest["graphs"]["gpt_step"]["precision"] = "int4"
    with pytest.raises(BackendError, match="is int4, native kernels take fp32 and int8"):
        native.library_for(opened, "native")
    assert native.library_for(opened, "auto") is None
    opened.manifest["graphs"]["gpt_step"]["precision"] = "fp32"
    assert native.library_for(opened, "onnxruntime") is None
    monkeypatch.setattr(native, "kernels", lambda _: native.GENERIC)
    assert native.library_for(opened, "auto") is None
    assert native.library_for(opened, "native") is lib
    monkeypatch.setattr(native, "library", lambda: None)
    with pytest.raises(BackendError, match=r"not installed.*doctor"):
        native.library_for(opened, "native")


def test_another_version_of_them_is_named(monkeypatch):
    monkeypatch.setattr(native, "ABI", 999)
    with pytest.raises(BackendError, match="another version"):
        native.library.__wrapped__()


def damaged_package(folder, monkeypatch, library):
    """A package of the kernels' name in a folder, whose library is what is given."""
    package = folder / "sovits_native"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from pathlib import Path\nLIBRARY = next(Path(__file__).parent.glob('_gpt_step.*'))\n",
        encoding="utf-8",
    )
    if library is not None:
        shutil.copyfile(library, package / "_gpt_step.so")
    monkeypatch.delitem(sys.modules, "sovits_native", raising=False)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("nothing", "is installed without its library; install it again or remove it"),
        ("text", "cannot be loaded"),
        ("another library", "cannot be loaded .*sovits_abi"),
    ],
)
def test_a_damaged_installation_is_named(tiny_bundle, tmp_path, monkeypatch, what, words):
    other = tmp_path / "other.so"
    other.write_text("no library", encoding="utf-8")
    if what == "another library":
        other = next(Path(np.__file__).parent.rglob("_multiarray_umath*.*[od]"))
    damaged_package(tmp_path, monkeypatch, None if what == "nothing" else other)
    native.library.cache_clear()
    try:
        with pytest.raises(BackendError, match=f"{native.PACKAGE} {words}"):
            Synthesizer.load(tiny_bundle)
        result = CliRunner().invoke(main, ["bench", str(tiny_bundle), "--repeats", "1", "--tokens", "4"])
        assert result.exit_code == 1
        assert result.stderr.startswith(f"error: {native.PACKAGE}")
        assert len(result.stderr.splitlines()) == 1
    finally:
        monkeypatch.undo()
        sys.modules.pop("sovits_native", None)
        native.library.cache_clear()


@pytest.mark.parametrize("index", range(len(native.STRUCTURES)))
def test_structures_of_another_size_are_named(monkeypatch, index):
    native._check_structures(lib)
    ours = native.STRUCTURES[index]
    grown = type(
        ours.__name__, (ctypes.Structure,), {"_fields_": [*ours._fields_, ("more", ctypes.c_void_p)]}
    )
    monkeypatch.setattr(
        native, "STRUCTURES", (*native.STRUCTURES[:index], grown, *native.STRUCTURES[index + 1 :])
    )
    size = ctypes.sizeof(ours)
    name = ours.__name__[1:].lower()
    with pytest.raises(BackendError, match=rf"another version.*{name} has {size} bytes, expected {size + 8}"):
        native.library.__wrapped__()


def test_the_doctor_knows_them(monkeypatch):
    def finding(library, kernels="AVX2"):
        monkeypatch.setattr(doctor_cpu, "library", library)
        monkeypatch.setattr(doctor_cpu, "kernels", lambda _: kernels)
        return doctor_cpu.native_finding()

    def broken():
        raise BackendError("of another version")

    found = finding(lambda: lib)
    assert (found.level, found.remedy) == ("ok", "")
    assert "AVX2" in found.text
    assert "--gpt-steps native" in finding(lambda: lib, native.GENERIC).text
    missing = finding(lambda: None)
    assert missing.level == "info"
    assert "pip install ./native" in missing.remedy
    assert (finding(broken).level, finding(broken).text) == ("warning", "of another version")


def test_weights_of_another_layout_are_named(bundle, weights):
    path, spec = bundle.graph_path("gpt_prefill"), bundle.graph_spec("gpt_step")
    with pytest.raises(BundleError, match=r"gpt_prefill.*layers\.\d+\.self_attn.*no such weight"):
        GptWeights.read(path, replace(spec, aliases=(*spec.aliases, ("k_cache_99", "k_cache_99_out")) * 2))
    narrow = [replace(t, shape=(t.shape[0], 7)) if t.name == "seen" else t for t in spec.inputs]
    with pytest.raises(BundleError, match=r"float32\[1025, \d+\], expected float32 or float16 \[7, \d+\]"):
        GptWeights.read(path, replace(spec, inputs=tuple(narrow)))
    packed = pack(lib, weights, "fp32")
    packed[weights.head.name] = next(iter(packed.values()))
    with pytest.raises(BundleError, match=f"{weights.head.name}: not packed as"):
        native.NativeStep(lib, bundle.graph_spec("gpt_step"), weights, packed, threads=1)
