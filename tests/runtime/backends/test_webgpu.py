"""A voice whose sound is made on WebGPU: tokens stay on the CPU, and what is missing is said. No GPU is needed here."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sovits_runtime import SpeechOptions, Synthesizer
from sovits_runtime.backends import onnxruntime as backend
from sovits_runtime.backends.open import open_voice
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.backends.webgpu import WebGpuVoice
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import BackendError

PHONES = ["HH", "AH0", "L", "OW1", "."]


@pytest.fixture
def on_the_cpu(monkeypatch):
    """ONNX Runtime's CPU in place of its WebGPU; what was opened for that is returned."""
    opened = []
    open_raw = backend.open_raw

    def recorded(ort, path, options, settings, cuda):
        opened.append((path.name, options.device))
        return open_raw(ort, path, dataclasses.replace(options, device="cpu"), settings, cuda)

    monkeypatch.setattr(backend, "open_raw", recorded)
    return opened


def test_tokens_are_made_on_the_cpu_and_sound_on_the_gpu(on_the_cpu, tiny_bundle, graph_voice, reference):
    options = SpeechOptions(max_tokens=40)
    on_the_cpu.clear()
    with Synthesizer.load(tiny_bundle, device="webgpu", threads=1, gpt_steps="onnxruntime") as voice:
        samples = voice.synthesize(PHONES, reference, options=options).samples
        graphs = voice.describe()["graphs"]
        assert isinstance(voice.backend, WebGpuVoice)
    expected = graph_voice.synthesize(PHONES, reference, options=options).samples
    np.testing.assert_allclose(samples, expected, atol=1e-5)
    assert {name: graphs[name] for name in ("gpt_step", "sovits_vocoder")} == {
        "gpt_step": "CPUExecutionProvider",
        "sovits_vocoder": "WebGpuExecutionProvider",
    }
    devices = dict(on_the_cpu)
    assert {name for name, device in devices.items() if device == "cpu"} == {
        "gpt_prefill.onnx",
        "gpt_step.cpu.onnx",
    }
    assert devices["sovits_vocoder.onnx"] == "webgpu"


def test_without_webgpu_the_error_says_what_is_missing(tiny_bundle):
    with Synthesizer.load(tiny_bundle, threads=1, vocoder_engine="onnxruntime") as voice:
        provider = voice.describe()["graphs"]["sovits_vocoder"]
    assert provider == "CPUExecutionProvider"
    with pytest.raises(BackendError, match=r"device 'webgpu' needs ONNX Runtime's WebGpuExecutionProvider"):
        Synthesizer.load(tiny_bundle, device="webgpu", threads=1)


def changed(bundle: Bundle, graph: str, precision: str) -> Bundle:
    graphs = {
        **bundle.manifest["graphs"],
        graph: {**bundle.manifest["graphs"][graph], "precision": precision},
    }
    return dataclasses.replace(bundle, manifest={**bundle.manifest, "graphs": graphs})


def test_an_int8_vocoder_cannot_go_there_and_an_int8_gpt_can(on_the_cpu, tiny_bundle):
    bundle, options = (
        Bundle.open(tiny_bundle),
        LoadOptions(device="webgpu", gpt_steps="onnxruntime", threads=1),
    )
    with pytest.raises(BackendError, match="cannot run on 'webgpu'; use device 'cpu'"):
        open_voice(changed(bundle, "sovits_vocoder", "int8"), options)
    open_voice(changed(bundle, "gpt_step", "int8"), options).close()
    with pytest.raises(BackendError, match="backend 'tensorrt' runs on device 'cuda'"):
        open_voice(bundle, dataclasses.replace(options, backend="tensorrt"))
