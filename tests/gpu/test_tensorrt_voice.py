"""A whole voice through the TensorRT backend, on the fake device and a fake TensorRT, against the CPU's voice."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_trt import TARGET, write_engine

from sovits_runtime import ChunkOptions, SpeechOptions, Synthesizer
from sovits_runtime.backends import tensorrt
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.engine_store import find_engine
from sovits_runtime.bundle.graph_spec import DimRange
from sovits_runtime.errors import BackendError

SMALL = {"tokens": 60, "state_frames": 120, "frames": 150, "phones": 60}
SOUND = ("sovits_encoder", "sovits_flow", "sovits_vocoder")
SENTENCES = (["HH", "AY1", "."], ["B", "AY1", "."], ["G", "UH1", "D", "."])
OPTIONS = SpeechOptions(max_tokens=40, seed=3)


@pytest.fixture(scope="module")
def gpu_bundle(tiny_bundle, gpt_models, folder) -> Bundle:
    """The tiny voice with engines of the GPT and of what makes sound."""
    shutil.copytree(tiny_bundle.parent / "shared", folder / "shared", copy_function=os.link)
    shutil.copytree(tiny_bundle, folder / "voice", copy_function=os.link)
    bundle = Bundle.open(folder / "voice")
    for name, (path, spec) in gpt_models.items():
        write_engine(bundle, TARGET, name, path, spec)
    for name in SOUND:
        spec = bundle.graph_spec(name)
        dims = tuple(DimRange(d.name, d.min, d.min, SMALL[d.name]) for d in spec.dims)
        write_engine(bundle, TARGET, name, bundle.graph_path(name), dataclasses.replace(spec, dims=dims))
    return bundle


def load_voice(bundle, **options) -> Synthesizer:
    return Synthesizer.load(bundle, device="cuda", backend="tensorrt", threads=1, **options)


def test_speech_equals_that_of_the_cpu(voice, reference, gpu_bundle, world):
    expected = [s.samples for s in voice.synthesize_each(SENTENCES, reference, options=OPTIONS)]
    with load_voice(gpu_bundle) as gpu:
        spoken = list(gpu.synthesize_each(SENTENCES, reference, options=OPTIONS))
        told = gpu.describe()
    for ours, theirs in zip(spoken, expected, strict=True):
        assert np.array_equal(ours.samples, theirs)
    assert told["graphs"]["gpt_step"] == "TensorRT 10.16.1.11, caches of 64, 96, 256 rows"
    assert told["graphs"]["sovits_vocoder"] == "TensorRT 10.16.1.11"
    assert told["token_steps"] == "captured"
    assert world.device.used == 0  # closing gave everything back


def test_the_next_sentence_of_a_text_is_generated_while_one_is_decoded(
    reference, gpu_bundle, world, monkeypatch
):
    pytest.importorskip("pronouncing", reason="the extra en is not installed")
    pytest.importorskip("wordsegment", reason="the extra en is not installed")
    generate, decode = Synthesizer.generate, Synthesizer.decode
    begun, decoded, second = [], [], threading.Event()

    def noted_generate(self, *args, **options):
        begun.append(threading.current_thread().name)
        if len(begun) == 2:
            second.set()
        return generate(self, *args, **options)

    def noted_decode(self, *args, **options):
        decoded.append(bool(decoded) or second.wait(60))
        return decode(self, *args, **options)

    monkeypatch.setattr(Synthesizer, "generate", noted_generate)
    monkeypatch.setattr(Synthesizer, "decode", noted_decode)
    text = "The river runs slowly past the old stone mill. The boats lie on the bank. " * 2
    with load_voice(gpu_bundle) as gpu:
        gpu.synthesize_text(text, reference, language="en", options=SpeechOptions(max_tokens=12))
    assert len(decoded) >= 2
    assert all(decoded)
    assert all(name.startswith("tokens") for name in begun)


def test_chunks_sound_while_tokens_are_made(voice, reference, gpu_bundle, world):
    chunks = ChunkOptions(first_tokens=6, lookahead_tokens=3, most_tokens=10)
    expected = list(voice.stream(SENTENCES, reference, chunks=chunks, options=OPTIONS))
    with load_voice(gpu_bundle) as gpu:
        stream = gpu.stream(SENTENCES, reference, chunks=chunks, options=OPTIONS)
        first = next(stream)
        rest = list(stream)
        abandoned = gpu.stream(SENTENCES, reference, chunks=chunks, options=OPTIONS)
        next(abandoned)
        abandoned.close()
        again = next(gpu.stream(SENTENCES, reference, chunks=chunks, options=OPTIONS))
    assert np.array_equal(first.samples, again.samples)
    for ours, theirs in zip([first, *rest], expected, strict=True):
        assert np.array_equal(ours.samples, theirs.samples)
    assert world.device.used == 0


def test_requests_in_flight_share_weights_and_nothing_else(voice, reference, gpu_bundle, world):
    with load_voice(gpu_bundle, requests=2) as gpu, ThreadPoolExecutor(3) as pool:
        loaded = world.device.used
        options = [dataclasses.replace(OPTIONS, seed=seed) for seed in range(4)]
        spoken = list(pool.map(lambda o: gpu.synthesize(SENTENCES[0], reference, options=o), options))
        memory = gpu.describe()["memory_bytes"]
        assert world.device.peak == loaded  # everything was made and run once when it was loaded
    assert memory["tokens_all"] == 2 * memory["tokens_each"]
    assert world.device.peak <= memory["tokens_all"] + memory["graphs_now"]
    for sentence, option in zip(spoken, options, strict=True):
        assert np.array_equal(
            sentence.samples, voice.synthesize(SENTENCES[0], reference, options=option).samples
        )


def test_a_graph_without_an_engine_is_told_or_refused(gpu_bundle, world, caplog):
    with load_voice(gpu_bundle) as gpu, caplog.at_level(logging.WARNING):
        assert gpu.reference_encoder.style is not None
        assert gpu.describe()["graphs"]["prompt_tokens"] == "CPUExecutionProvider, for want of an engine"
    assert "graph prompt_tokens runs on CPUExecutionProvider" in caplog.text
    assert "it was never built" in caplog.text
    with (
        load_voice(gpu_bundle, strict=True) as gpu,
        pytest.raises(BackendError, match=r"no engine hubert for sm89-trt10\.16-cu12"),
    ):
        _ = gpu.reference_encoder


def test_no_engines_for_this_gpu(gpu_bundle, world, monkeypatch):
    monkeypatch.setattr(tensorrt, "open_gpu", lambda: tensorrt.Gpu(world.device, "Other GPU", (9, 0)))
    with pytest.raises(BackendError) as caught:
        load_voice(gpu_bundle)
    assert "backend 'tensorrt' cannot be used on Other GPU: TensorRT for RTX is not installed" in str(
        caught.value
    )
    assert "capability is sm90, it was built for sm89" in str(caught.value)
    assert "sovits-export engine build" in str(caught.value)


def test_damaged_and_refused_plans(gpu_bundle, world, monkeypatch):
    monkeypatch.setattr(world, "generation", 2)
    with pytest.raises(BackendError, match="cannot load it here: Error Code 6: version tag does not match"):
        load_voice(gpu_bundle)
    plan = find_engine(gpu_bundle, "gpt_prefill", TARGET).plan
    content = plan.read_bytes()
    plan.write_bytes(content + b" ")
    try:
        with pytest.raises(BackendError, match="damaged or changed since it was built"):
            load_voice(gpu_bundle)
    finally:
        plan.write_bytes(content)


def test_a_damaged_engine_is_told_and_replaced_or_refused(voice, reference, gpu_bundle, world, caplog):
    plan = find_engine(gpu_bundle, "sovits_vocoder", TARGET).plan
    content = plan.read_bytes()
    plan.write_bytes(content + b" ")
    try:
        with load_voice(gpu_bundle) as gpu, caplog.at_level(logging.WARNING):
            spoken = gpu.synthesize(SENTENCES[0], reference, options=OPTIONS)
            assert gpu.describe()["graphs"]["sovits_vocoder"] == "CPUExecutionProvider, for want of an engine"
        with pytest.raises(BackendError, match=f"{plan.name}: damaged or changed since"):
            load_voice(gpu_bundle, strict=True)
        assert world.device.used == 0  # a load that fails keeps nothing
    finally:
        plan.write_bytes(content)
    assert f"{plan.name}: damaged or changed since it was built" in caplog.text
    expected = voice.synthesize(SENTENCES[0], reference, options=OPTIONS)
    assert np.array_equal(spoken.samples, expected.samples)


def test_an_engine_that_refuses_fails_the_request_alone(voice, reference, gpu_bundle, world):
    with load_voice(gpu_bundle) as gpu:
        world.refuses_to_run = True
        with pytest.raises(BackendError, match="refuses to run: enqueueV3: addresses are missing"):
            gpu.synthesize(SENTENCES[0], reference, options=OPTIONS)
        world.refuses_to_run = False
        spoken = gpu.synthesize(SENTENCES[0], reference, options=OPTIONS)
    expected = voice.synthesize(SENTENCES[0], reference, options=OPTIONS)
    assert np.array_equal(spoken.samples, expected.samples)


def test_wrong_use_is_named(tiny_bundle):
    with pytest.raises(BackendError, match="backend 'tensorrt' runs on device 'cuda', got 'cpu'"):
        Synthesizer.load(tiny_bundle, backend="tensorrt")
    with pytest.raises(BackendError, match="'openvino' is unknown; known backends: onnxruntime, tensorrt"):
        Synthesizer.load(tiny_bundle, backend="openvino")
