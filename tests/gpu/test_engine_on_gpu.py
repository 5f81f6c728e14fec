"""`SpeechEngine` with voices on a GPU that is not there: sentences of several requests step together."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import threading

import numpy as np
import pytest
from fake_trt import TARGET, write_engine

from sovits_runtime import EngineLimits, SpeechEngine, SpeechOptions, SpeechRequest, Synthesizer
from sovits_runtime.backends import onnxruntime_cuda
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import ROWS_FILE, Bundle
from sovits_runtime.bundle.graph_spec import DimRange
from sovits_runtime.bundle.names import STEP
from sovits_runtime.errors import ShapeError
from sovits_runtime.speech.types import ChunkOptions
from sovits_runtime.t2s.device_rows import DeviceRows
from sovits_runtime.t2s.sampling import SamplingOptions

PHONES = (["HH", "AY1", "."], ["B", "AY1", ".", "G", "UH1", "D", "."], ["G", "UH1", "D", "."])
SOUND = {"sovits_encoder": {"tokens": 128, "phones": 64}, "sovits_flow": {}, "sovits_vocoder": {}}


class Batches(list):
    """How many rows each step was asked for. The first one waits until so many sentences have joined."""

    wanted = 1

    def __init__(self) -> None:
        super().__init__()
        self.joined = threading.Semaphore(0)


@pytest.fixture
def batches(monkeypatch):
    seen, step_rows, prefill = Batches(), DeviceRows.step_rows, DeviceRows.prefill

    def noted(self, rows, **options):
        if not seen:
            assert all(seen.joined.acquire(timeout=60) for _ in range(seen.wanted))
        seen.append(len(rows))
        return step_rows(self, rows, **options)

    def counted(self, row):
        made = prefill(self, row)
        seen.joined.release()
        return made

    monkeypatch.setattr(DeviceRows, "step_rows", noted)
    monkeypatch.setattr(DeviceRows, "prefill", counted)
    return seen


def asked(number, reference):
    """Requests that differ in everything; some in chunks, some whole."""
    sentences = [PHONES[(number + i) % 3] for i in range(1 + number % 2)]
    options = SpeechOptions(
        max_tokens=12 + 5 * number,
        seed=number,
        sampling=SamplingOptions(top_k=3 + number, temperature=0.8),
    )
    chunks = ChunkOptions(first_tokens=6, lookahead_tokens=3, most_tokens=10) if number % 3 else None
    return {"text": sentences, "reference": reference, "options": options, "chunks": chunks}


def alone(voice, number, reference):
    given = asked(number, reference)
    if given["chunks"] is None:
        spoken = voice.synthesize_each(given["text"], reference, options=given["options"])
        return [s.samples for s in spoken]
    return [
        c.samples
        for c in voice.stream(given["text"], reference, chunks=given["chunks"], options=given["options"])
    ]


def speak(engine, numbers, reference):
    jobs = {n: engine.submit(SpeechRequest(voice="me", **asked(n, reference))) for n in numbers}
    return {n: [c.samples for c in job] for n, job in jobs.items()}


def test_requests_step_together_and_sound_as_each_alone(graph_voice, reference, tiny, ort, device, batches):
    load, batches.wanted = LoadOptions(device="cuda", threads=1), 4
    with SpeechEngine(load=load, limits=EngineLimits(rows=4)) as engine:
        engine.add_voice("me", tiny.path)
        told = engine.voice("me").describe()
        captured = device.captures
        spoken = speak(engine, range(7), reference)
        assert device.captures == captured
    assert told["token_rows"] == "1, 2, 4 together"
    assert told["token_steps"] == "captured"
    assert max(batches) == 4
    assert captured == 3 + 3 * 3  # a cache length each, of single requests and of three numbers of rows
    assert device.used == 0
    for number, chunks in spoken.items():
        wanted = alone(graph_voice, number, reference)
        assert len(chunks) == len(wanted)
        for ours, theirs in zip(chunks, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_bundle_without_the_form_steps_one_by_one_and_says_so(
    graph_voice, reference, tiny, ort, tmp_path, caplog
):
    load = LoadOptions(device="cuda", threads=1, requests=2)
    graphs = {n: {k: v for k, v in g.items() if k != ROWS_FILE} for n, g in tiny.manifest["graphs"].items()}
    older = Bundle(tiny.path, {**tiny.manifest, "graphs": graphs}, tiny.shared)
    with caplog.at_level(logging.WARNING), Synthesizer.load(older, device="cuda", threads=1) as voice:
        assert voice.describe()["token_rows"] == "one by one"  # nobody asked for more
    assert not caplog.records
    backend = onnxruntime_cuda.OrtCudaVoice(older, dataclasses.replace(load, rows=2))
    reason = "the bundle was built by an older version; build it again"
    assert backend.describe()["token_rows"] == f"one by one: {reason}"
    assert [r.getMessage() for r in caplog.records] == [f"sentences step one by one on fake: {reason}"]
    backend.close()


def test_rows_that_a_gpu_cannot_step_are_refused():
    with pytest.raises(ShapeError, match=r"rows: got 33, expected a whole number of 1 to 32 on a GPU"):
        SpeechEngine(load=LoadOptions(device="cuda"), limits=EngineLimits(rows=33))
    with pytest.raises(ShapeError, match="rows: got 33, expected a whole number of 0 to 32, or None"):
        LoadOptions(device="cuda", rows=33)
    with SpeechEngine(load=LoadOptions(device="cuda", rows=0), limits=EngineLimits(rows=33)) as engine:
        assert engine.load.rows == 0


def test_rows_on_tensorrt(voice, reference, tiny_bundle, gpt_models, folder, world, batches, caplog):
    """One engine serves every number of rows; without one for every cache length, sentences step one by one."""
    shutil.copytree(tiny_bundle.parent / "shared", folder / "shared", copy_function=os.link)
    shutil.copytree(tiny_bundle, folder / "voice", copy_function=os.link)
    bundle = Bundle.open(folder / "voice")
    records = {
        name: write_engine(bundle, TARGET, name, path, spec) for name, (path, spec) in gpt_models.items()
    }
    for name in SOUND:
        spec = bundle.graph_spec(name)
        dims = tuple(DimRange(d.name, d.min, d.min, max(d.min, 256)) for d in spec.dims)
        write_engine(bundle, TARGET, name, bundle.graph_path(name), dataclasses.replace(spec, dims=dims))
    load, batches.wanted = LoadOptions(device="cuda", backend="tensorrt", threads=1), 2
    with SpeechEngine(load=load, limits=EngineLimits(rows=2)) as engine:
        engine.add_voice("me", bundle.path)
        assert engine.voice("me").describe()["token_rows"] == "1, 2 together"
        spoken = speak(engine, (1, 2, 4), reference)
    assert max(batches) == 2
    for number, chunks in spoken.items():
        for ours, theirs in zip(chunks, alone(voice, number, reference), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert world.device.used == 0
    records["gpt_step-rows-96"].plan.with_suffix(".json").unlink()
    with SpeechEngine(load=load, limits=EngineLimits(rows=2)) as engine:
        engine.add_voice("me", bundle.path)
        told = engine.voice("me").describe()["token_rows"]
    assert "no engines for batches with caches of 96 rows; sovits-export engine build" in told
    assert bundle.graph_spec(STEP).name == STEP
