"""A voice on ONNX Runtime's CUDA provider, on the fake device, against the CPU's voice."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
from emulated_kernel import Emulated
from fake_device import FakeDevice
from fake_ort import CUDA_FAILURE

from sovits_runtime import ChunkOptions, SpeechOptions, Synthesizer
from sovits_runtime.backends import onnxruntime as backend
from sovits_runtime.backends import onnxruntime_cuda
from sovits_runtime.backends.ort_engine import OrtEngine
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import BackendError, BundleError, ShapeError
from sovits_runtime.gpu.device import DeviceArray
from sovits_runtime.t2s.device_step import rows_spec
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.t2s.sampling import SamplingOptions

SENTENCES = (["HH", "AY1", "."], ["B", "AY1", "."], ["G", "UH1", "D", "."])
OPTIONS = SpeechOptions(max_tokens=40, seed=3)


def load_voice(bundle, **options) -> Synthesizer:
    return Synthesizer.load(bundle, device="cuda", threads=1, **options)


def test_speech_equals_that_of_the_cpu(graph_voice, reference, tiny, ort, device):
    expected = [s.samples for s in graph_voice.synthesize_each(SENTENCES, reference, options=OPTIONS)]
    with load_voice(tiny) as gpu:
        spoken = list(gpu.synthesize_each(SENTENCES, reference, options=OPTIONS))
        told = gpu.describe()
    for ours, theirs in zip(spoken, expected, strict=True):
        np.testing.assert_allclose(ours.samples, theirs, atol=1e-5)
    assert told["graphs"]["gpt_step"] == "CUDAExecutionProvider, caches of 64, 96, 256 rows"
    assert told["graphs"]["sovits_vocoder"] == "CUDAExecutionProvider"
    assert told["token_steps"] == "captured"
    assert device.captures == 3  # one a cache length, before the first request
    assert device.used == 0  # closing gave everything back


def test_tokens_cross_every_cache_length(graph_voice, tiny, ort):
    rng = np.random.default_rng(3)
    t2s = graph_voice.text_to_semantic
    given = (
        rng.integers(0, 300, 20),
        rng.standard_normal((20, t2s.bert_width), np.float32),
        rng.integers(0, 1024, 30),
    )

    def tokens(voice, prompt=given[2]):
        noise = seeded_noise(np.random.default_rng(5), t2s.vocab)
        made = voice.text_to_semantic.generate(
            given[0],
            given[1],
            prompt,
            options=SamplingOptions(min_tokens=10_000),
            noise=noise,
            max_tokens=150,
        )
        return made.tokens.tolist()

    with load_voice(tiny) as gpu:
        assert tokens(gpu) == tokens(graph_voice)
        nothing = given[2][:0]
        assert tokens(gpu, nothing) == tokens(graph_voice, nothing)  # a voice without a prompt


def test_requests_in_flight_share_weights_and_nothing_else(graph_voice, reference, tiny, ort, device):
    options = [dataclasses.replace(OPTIONS, seed=seed) for seed in range(4)]
    with load_voice(tiny, requests=2) as gpu, ThreadPoolExecutor(3) as pool:
        spoken = list(pool.map(lambda o: gpu.synthesize(SENTENCES[0], reference, options=o), options))
        weights = gpu.describe()["memory_bytes"]["gpt_weights"]
    for ours, o in zip(spoken, options, strict=True):
        theirs = graph_voice.synthesize(SENTENCES[0], reference, options=o)
        np.testing.assert_allclose(ours.samples, theirs.samples, atol=1e-5)
    assert device.used == 0
    # One copy, whatever the lengths and requests; each weight begins at a multiple of 256 bytes.
    assert 0.9 < weights / (tiny.path / "graphs" / "gpt.weights").stat().st_size <= 1.02
    streams = {s.settings["user_compute_stream"] for s in ort.sessions if "user_compute_stream" in s.settings}
    assert len(streams) == 2


def test_own_kernels_run_the_steps(graph_voice, reference, tiny, ort, device, monkeypatch, tmp_path):
    """The kernel emulated, ONNX Runtime for the prefill and the sound."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    monkeypatch.setattr(onnxruntime_cuda, "cuda_kernels", lambda device, folder: Emulated(tmp_path))
    with load_voice(tiny, gpt_steps="native") as gpu:
        ours = gpu.synthesize(SENTENCES[0], reference, options=OPTIONS)
        told = gpu.describe()
    theirs = graph_voice.synthesize(SENTENCES[0], reference, options=OPTIONS)
    np.testing.assert_allclose(ours.samples, theirs.samples, atol=1e-5)
    assert told["graphs"]["gpt_step"] == "CUDA kernels, caches of 64, 96, 256 rows"
    assert told["token_steps"] == "captured"
    file = (tiny.path / "graphs" / "gpt.weights").stat().st_size
    assert told["memory_bytes"]["gpt_weights"] > file  # the prefill's, and the kernel's own copy of its part
    assert device.used == 0


def test_all_sessions_read_the_one_copy_of_the_weights(tiny, ort, device):
    """Zeros in its place change what every open session says; the CPU's own copies of matrices stay."""
    with load_voice(tiny) as gpu:
        t2s = gpu.text_to_semantic
        given = np.arange(9), np.zeros((9, t2s.bert_width), np.float32), np.arange(5)

        def logits():
            noise = seeded_noise(np.random.default_rng(5), t2s.vocab)
            forced = np.arange(1, 70)  # into the second cache length
            steps = t2s.steps(*given, options=SamplingOptions(), noise=noise, forced=forced)
            return np.stack([step.logits for step in steps])

        before = logits()
        assert np.array_equal(logits(), before)
        size = (tiny.path / "graphs" / "gpt.weights").stat().st_size
        (weights,) = (m for m in device.memories if 0.9 * size < m.nbytes < 1.02 * size)
        weights.content[...] = 0
        assert np.abs(logits() - before).max(axis=1).min() > 0.1


def test_chunks_sound_while_tokens_are_made(graph_voice, reference, tiny, ort):
    chunks = ChunkOptions(first_tokens=6, lookahead_tokens=3, most_tokens=10)
    expected = list(graph_voice.stream(SENTENCES, reference, chunks=chunks, options=OPTIONS))
    with load_voice(tiny) as gpu:
        spoken = list(gpu.stream(SENTENCES, reference, chunks=chunks, options=OPTIONS))
    for ours, theirs in zip(spoken, expected, strict=True):
        np.testing.assert_allclose(ours.samples, theirs.samples, atol=1e-5)


def test_steps_that_cannot_be_captured_are_enqueued_or_refused(reference, tiny, ort, device, caplog):
    device.capture_problem = "cudaErrorStreamCaptureUnsupported"
    with caplog.at_level(logging.WARNING), load_voice(tiny) as gpu:
        gpu.synthesize(SENTENCES[0], reference, options=OPTIONS)
        assert gpu.describe()["token_steps"] == "cudaErrorStreamCaptureUnsupported"
    assert "enqueued one by one" in caplog.text
    with pytest.raises(BackendError, match="cannot be captured as a CUDA graph"):
        load_voice(tiny, strict=True)
    assert device.used == 0


def test_a_step_with_work_on_the_cpu_is_not_captured(graph_voice, reference, tiny, ort, device):
    """A replayed graph would take what the CPU computed at capture for ever."""
    ort.lacks = {"Mod"}  # the row of noise
    with load_voice(tiny) as gpu:
        ours = gpu.synthesize(SENTENCES[0], reference, options=OPTIONS)
        assert (
            "runs 1 Mod on the CPU, which a CUDA graph would not run again" in gpu.describe()["token_steps"]
        )
    assert device.launches == 0
    theirs = graph_voice.synthesize(SENTENCES[0], reference, options=OPTIONS)
    np.testing.assert_allclose(ours.samples, theirs.samples, atol=1e-5)
    with pytest.raises(
        BackendError, match="cannot be captured as a CUDA graph: graph gpt_step: ONNX Runtime runs"
    ):
        load_voice(tiny, strict=True)


def test_a_run_that_fails_fails_its_request_alone(graph_voice, reference, tiny, ort):
    with load_voice(tiny) as gpu:
        ort.problem = CUDA_FAILURE
        with pytest.raises(
            BackendError, match=r"gpt_prefill: ONNX Runtime failed: CUDA failure 2: out of memory$"
        ):
            gpu.synthesize(SENTENCES[0], reference, options=OPTIONS)
        ort.problem = ""
        ours = gpu.synthesize(SENTENCES[0], reference, options=OPTIONS)
    theirs = graph_voice.synthesize(SENTENCES[0], reference, options=OPTIONS)
    np.testing.assert_allclose(ours.samples, theirs.samples, atol=1e-5)


def test_weights_that_do_not_fit_are_told(tiny, ort, device):
    device.limit = 1 << 20
    with pytest.raises(BackendError, match=r"cudaErrorMemoryAllocation: \d+ bytes asked for"):
        load_voice(tiny)
    assert device.used == 0


def test_no_cuda_in_onnxruntime_is_said_when_the_voice_is_loaded(tiny, ort):
    ort.falls_back = True
    with pytest.raises(BackendError, match=r"fell back to .* 'sovits-export doctor'"):
        load_voice(tiny)
    ort.providers = ["CPUExecutionProvider"]
    with pytest.raises(
        BackendError, match=r"needs ONNX Runtime's CUDAExecutionProvider.*sovits-export\[cuda\]"
    ):
        load_voice(tiny)


def test_cuda_is_looked_for_in_pips_packages_and_stdout_stays_clean(monkeypatch, capsys, caplog):
    calls = []

    def preload(directory):
        calls.append(directory)
        print("Failed to load libcublas.so.12")

    fake = ModuleType("onnxruntime")
    fake.preload_dlls, fake.InferenceSession = preload, None
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert backend.import_onnxruntime("cuda") is fake
        assert backend.import_onnxruntime("cpu") is fake
    assert calls == [""]  # once a process
    assert "Failed to load libcublas.so.12" in caplog.text
    assert capsys.readouterr().out == ""


def test_a_package_without_its_files_is_said(monkeypatch):
    """Uninstalling one of ONNX Runtime's two packages takes the files of the other, and leaves an empty module."""
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    with pytest.raises(
        BackendError, match=r"without its files.*uninstall -y onnxruntime.*, then pip install"
    ):
        backend.import_onnxruntime("cuda")


def test_sessions_on_a_gpu_are_opened_as_their_precision_and_sizes_want(tiny, ort):
    halves = {name: {**graph, "precision": "fp16"} for name, graph in tiny.manifest["graphs"].items()}
    for bundle, tf32 in (
        (tiny, "0"),
        (Bundle(tiny.path, {**tiny.manifest, "graphs": halves}, tiny.shared), "1"),
    ):
        with load_voice(bundle):
            pass
        gpt = [s.settings for s in ort.sessions if "user_compute_stream" in s.settings]
        others = [s.settings for s in ort.sessions if "user_compute_stream" not in s.settings]
        assert {s["use_tf32"] for s in gpt} == {"0"}  # no convolutions, and logits
        assert {s["use_tf32"] for s in others} == {tf32}
        # Only what has one size takes memory to the byte: growing so would waste what was taken before.
        assert sum("arena_extend_strategy" in s for s in gpt) == 3
        assert not any("arena_extend_strategy" in s for s in others)
        ort.sessions.clear()


def test_loading_runs_every_graph_that_speech_needs(tiny, ort):
    with load_voice(tiny):
        assert [s.runs for s in ort.sessions if "user_compute_stream" not in s.settings] == [1, 1, 1]


def test_operators_without_a_kernel_are_told_or_refused(tiny, ort, caplog):
    ort.lacks = {"Tanh", "ConvTranspose"}
    with caplog.at_level(logging.WARNING), load_voice(tiny):
        pass
    (told,) = (r.message for r in caplog.records if "vocoder" in r.message)
    assert "has no CUDA kernel for 5 ConvTranspose, 1 Tanh and runs it on the CPU" in told
    with pytest.raises(BackendError, match=r"has no CUDA kernel for .*Tanh and runs it on the CPU; without"):
        load_voice(tiny, strict=True)
    ort.lacks = set()
    with load_voice(tiny, strict=True):  # sizes are no reason to refuse
        pass


def test_no_driver_is_said_first(tiny):
    with pytest.raises(BackendError, match="device 'cuda' cannot be used: no NVIDIA driver is installed"):
        load_voice(tiny)


def test_a_bundle_without_graphs_for_a_gpu_is_named(tiny, ort):
    graphs = {
        name: {k: v for k, v in graph.items() if k != "device_file"}
        for name, graph in tiny.manifest["graphs"].items()
    }
    older = Bundle(tiny.path, {**tiny.manifest, "graphs": graphs}, tiny.shared)
    with pytest.raises(BundleError, match=r"holds no gpt_step for a GPU, .* build it again"):
        load_voice(older)


class HostMemory:
    """NumPy's memory at its own address, which the real ONNX Runtime can reach."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.address, self.nbytes = array.ctypes.data, array.nbytes


@pytest.mark.parametrize("prompt", [5, 0])
def test_the_real_onnxruntime_reads_and_writes_at_the_addresses_given(graph_voice, tiny, prompt, monkeypatch):
    """Its CPU provider in place of CUDA's: the same binding calls, with addresses in host memory."""
    spec = rows_spec(tiny.graph_spec("gpt_prefill"))
    sizes = {"phones": 7, "prompt": prompt, "rows": 7 + prompt, "batch": 1}
    rng = np.random.default_rng(0)
    arrays = {t.name: np.zeros(t.resolve(sizes), t.dtype) for t in (*spec.inputs, *spec.outputs)}
    arrays["phones"][...] = rng.integers(0, 300, 7)
    arrays["bert"][...] = rng.standard_normal(arrays["bert"].shape)
    arrays["prompt"][...] = rng.integers(0, 1024, prompt)
    arrays["noise"][...] = rng.standard_exponential(arrays["noise"].shape)
    for name, value in SamplingOptions().arrays(arrays["seen"].shape[1]).items():
        arrays[name][...] = value
    path = tiny.graph_path("gpt_prefill", form="device_file")
    opened = []

    def open_session(stream):
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        opened.append(stream)
        real = session.io_binding

        def on_the_host():
            binding = real()
            for name in ("bind_input", "bind_output"):
                bind = getattr(binding, name)
                monkeypatch.setattr(binding, name, lambda n, _, *rest, bind=bind: bind(n, "cpu", *rest))
            return binding

        monkeypatch.setattr(session, "io_binding", on_the_host)
        return session

    context = OrtEngine(spec, open_session, onnxruntime.RunOptions()).context(None)  # type: ignore[arg-type]
    places = {name: DeviceArray(HostMemory(a), 0, a.shape, a.dtype) for name, a in arrays.items()}
    context.bind(places)
    stream = FakeDevice().stream()
    context.enqueue(stream)
    context.enqueue(stream)
    assert opened == [stream.handle]
    feeds = {name: arrays[name] for name in spec.input_names}
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for name, expected in zip(spec.output_names, session.run(list(spec.output_names), feeds), strict=True):
        np.testing.assert_array_equal(arrays[name], expected, err_msg=name)
    with pytest.raises(ShapeError, match=r"gpt_prefill, prompt: expected int64.*got float32"):
        context.bind({"prompt": dataclasses.replace(places["bert"])})
