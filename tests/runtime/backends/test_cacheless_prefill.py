"""An ONNX Runtime without TensorScatter speaks by other forms of the graphs, and says so."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.backends.cacheless_prefill import FORM, CachelessPrefill
from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.backends.prepacked import prepack
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import CPU_FILE, DEVICE_FILE, Bundle
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.errors import BackendError, BundleError, ShapeError

PHONES = ["HH", "AH0", "L", "OW1", "."]
OPTIONS = LoadOptions(threads=1, gpt_steps="onnxruntime")
TOLERANCE = 1e-5
"""Of full scale; the forms differ in the order of their sums."""


@pytest.fixture
def bundle(tiny_bundle) -> Bundle:
    return Bundle.open(tiny_bundle)


def changed(bundle: Bundle, graph: str, **record) -> Bundle:
    """The bundle as if its manifest said something else of a graph; None takes an entry away."""
    entry = {k: v for k, v in {**bundle.manifest["graphs"][graph], **record}.items() if v is not None}
    graphs = {**bundle.manifest["graphs"], graph: entry}
    return dataclasses.replace(bundle, manifest={**bundle.manifest, "graphs": graphs})


def test_it_says_the_same_tokens_and_samples(older_onnxruntime, bundle, graph_voice, reference):
    options = SpeechOptions(max_tokens=60)
    with Synthesizer.load(bundle, threads=1, gpt_steps="onnxruntime") as voice:
        assert FORM in voice.describe()["graphs"]["gpt_prefill"]
        assert FORM not in voice.describe()["graphs"]["gpt_step"]
        for phones in (PHONES, PHONES * 3, PHONES):  # buffers are used again
            expected = graph_voice.synthesize(phones, reference, options=options).samples
            samples = voice.synthesize(phones, reference, options=options).samples
            np.testing.assert_allclose(samples, expected, atol=TOLERANCE)
        stream = voice.stream([PHONES], reference, options=options)
        assert sum(len(chunk.samples) for chunk in stream) == len(expected)


def test_the_command_verifies_it(older_onnxruntime, tiny_bundle):
    result = CliRunner().invoke(main, ["verify", str(tiny_bundle), "--gpt-steps", "onnxruntime", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["passed"]


def test_the_prefill_fills_the_head_of_its_caches_and_nothing_else(bundle):
    spec, rng = bundle.graph_spec("gpt_prefill"), np.random.default_rng(1)
    sizes = {"batch": 1, "cache_size": 48, "phones": 9, "prompt": 5}
    feeds = {t.name: rng.random(t.resolve(sizes)).astype(t.dtype) for t in spec.inputs}
    feeds |= {name: np.ones_like(feeds[name]) for name in ("top_k", "temperature", "repetition_penalty")}
    portable = open_session(bundle.graph_path("gpt_prefill"), spec, SessionOptions(threads=1))
    prefill = CachelessPrefill(bundle, SessionOptions(threads=1))
    expected, before = portable.run(feeds), {name: value.copy() for name, value in feeds.items()}
    made = prefill.run(feeds)
    for name, value in expected.items():
        np.testing.assert_allclose(made[name], value, atol=1e-5, err_msg=name)
    for name, out in spec.aliases:
        np.testing.assert_array_equal(feeds[name], before[name])
        np.testing.assert_array_equal(made[out][:, :, 14:], before[name][:, :, 14:])
    with pytest.raises(ShapeError, match="nothing is bound to"):
        prefill.bind(feeds)


def test_a_bundle_without_that_form_says_what_helps(older_onnxruntime, bundle):
    with pytest.raises(BundleError, match=r"TensorScatter alone, .* since 1\.25; install that, or build"):
        CpuVoice(changed(bundle, "gpt_prefill", **{DEVICE_FILE: None}), OPTIONS)


def test_a_step_in_fp16_is_refused_before_it_is_opened(older_onnxruntime, bundle):
    fp16 = changed(bundle, "gpt_step", **{CPU_FILE: None}, precision="fp16")
    with pytest.raises(
        BackendError, match=r"its fp16 step .* 1\.23\.2 has not; pip .*1\.25\", or take the FP32"
    ):
        CpuVoice(fp16, OPTIONS)


def test_prepacked_it_speaks_as_before(older_onnxruntime, copied_bundle, reference):
    bundle = Bundle.open(copied_bundle)
    spoken = []
    for _ in range(2):
        with Synthesizer.load(bundle, threads=1, gpt_steps="onnxruntime") as voice:
            spoken.append(voice.synthesize(PHONES, reference, options=SpeechOptions(max_tokens=30)).samples)
        made = prepack(bundle, gpt_steps="onnxruntime")
    assert "gpt_step" in made.graphs
    assert "gpt_prefill" not in made.graphs
    assert spoken[0].tobytes() == spoken[1].tobytes()
