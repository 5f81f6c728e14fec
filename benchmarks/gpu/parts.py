"""What `report.py` tries on a GPU, part by part, in the order in which it does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
from conditions import library_versions
from convolutions import FRAMES, VOCODER, time_vocoder
from latency import latency_of_bundle, latency_of_eager
from part import CACHE_ROWS, Part, Run, kernels, need_cuda_bindings, need_nvrtc, need_ort_cuda, open_gpu
from parts_together import (
    cooperative_launch,
    memory_fences,
    other_flavour,
    other_line,
    requests_kernels,
    requests_onnxruntime,
    requests_tensorrt,
    rows_onnxruntime,
    rows_tensorrt,
    tokens_and_sound,
)
from process import Skipped
from steps import latency_of_steps, prove_steps
from toy_gpt import BERT_WIDTH, VOCAB, expected_tokens, toy_engines

from sovits_runtime.backends.tensorrt import REFERENCE_GRAPHS
from sovits_runtime.backends.voice import GptSteps
from sovits_runtime.errors import BackendError
from sovits_runtime.gpu.device import Layout
from sovits_runtime.t2s.device_loop import DeviceTextToSemantic
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.t2s.sampling import SamplingOptions
from sovits_runtime.verify import verify_bundle


def doctor(run: Run) -> dict[str, Any]:
    """What is installed, and whether it fits."""
    from sovits_exporter.cli.doctor import examine

    bundle = run.bundle
    diagnosis = examine(bundle.path if bundle else None, bundle.shared if bundle else None)
    bad = [f"{f.topic}: {f.text}" for f in diagnosis.findings if f.level in ("warning", "error")]
    gpus = ", ".join(gpu.name for gpu in run.driver.gpus)
    return {"summary": f"{gpus}; {len(bad)} warnings", "diagnosis": diagnosis.to_json()}


def versions(run: Run) -> dict[str, Any]:
    """Versions of packages, and of libraries as they load."""
    libraries = library_versions()
    count = sum(not str(value).startswith("not loaded") for value in libraries["loaded"].values())
    return {"summary": f"{len(libraries['packages'])} packages, {count} libraries load", **libraries}


def streams(run: Run) -> dict[str, Any]:
    """Copies on two streams joined by an event, and pinned memory back."""
    device = open_gpu()
    layout, size = Layout(), 1 << 24
    for name in ("a", "b", "c"):
        layout.add(name, (size,), "float32")
    memory = device.memory(layout.nbytes)
    a, b, c = layout.place(memory).values()
    first, second, event = device.stream(), device.stream(), device.event()
    host, back = device.pinned((size,), np.float32), device.pinned((size,), np.float32)
    wrong = 0
    for number in range(8):
        host[...] = np.arange(size, dtype=np.float32) + number
        first.upload(a, host)
        for _ in range(10):
            first.copy(b, a)
        first.record(event)
        second.wait(event)
        second.copy(c, b)
        second.download(back, c)
        second.synchronize()
        wrong += int(np.count_nonzero(back != host))
    memory.free()
    if wrong:
        raise AssertionError(f"{wrong} numbers came back wrong")
    free, total = device.free_bytes()
    return {"summary": "8 rounds right", "free_bytes": free, "total_bytes": total}


def token_scheduler(run: Run, *, capture: bool = True) -> dict[str, Any]:
    """The scheduler with toy kernels: captured steps, caches in place, ends, cache growth; against NumPy."""
    device = open_gpu()
    need_nvrtc()
    engines = toy_engines(device, (64, 128, 512))
    t2s = DeviceTextToSemantic(device, engines, slots=2, strict=capture, capture=capture)
    rng, ends = np.random.default_rng(0), 0
    for number in range(20):
        phones, prompt = rng.integers(0, 50, rng.integers(1, 40)), rng.integers(0, 60, rng.integers(0, 40))
        options = SamplingOptions(min_tokens=int(rng.integers(0, 200)))
        want = expected_tokens(phones, prompt, options=options, noise=_noise(number), max_tokens=300)
        bert = np.zeros((len(phones), BERT_WIDTH), np.float32)
        got = t2s.generate(phones, bert, prompt, options=options, noise=_noise(number), max_tokens=300)
        if got.tokens.tolist() != want:
            raise AssertionError(
                f"request {number}: {len(got.tokens)} tokens differ from the {len(want)} expected"
            )
        ends += got.stop_reason == "eos"
    t2s.close()
    return {"summary": f"20 requests right, {ends} of them ended by themselves"}


def enqueued_scheduler(run: Run) -> dict[str, Any]:
    """The same without captured graphs."""
    return token_scheduler(run, capture=False)


def step_kernels(run: Run) -> dict[str, Any]:
    """The own kernels of the GPT's step against ONNX Runtime's CPU, and how many tokens they make."""
    bundle, device, open_steps = kernels(run)
    figures = prove_steps(bundle, device, open_steps(), repeats=run.repeats)
    rates = ", ".join(f"{figures[f'tokens_per_s_{way}']} tokens/s {way}" for way in ("captured", "enqueued"))
    return {"summary": f"{rates}, logits {figures['logits']:.1e}", **figures}


def latency_steps(run: Run) -> dict[str, Any]:
    """Latency of the own kernels with the prefill on the CPU: wants neither TensorRT nor ONNX Runtime with CUDA."""
    bundle, device, open_steps = kernels(run)
    return latency_of_steps(bundle, device, open_steps, repeats=run.repeats)


def engines(run: Run) -> dict[str, Any]:
    """Builds what the bundle lacks for this GPU: tokens and sound, with the cache lengths that are needed here."""
    from sovits_engines.build import build_engines
    from sovits_engines.targets import build_targets

    bundle = run.need_bundle()
    try:
        targets = build_targets(driver=run.driver)[:1]
    except BackendError as error:
        raise Skipped(str(error)) from error
    names = tuple(name for name in bundle.graph_names if name not in REFERENCE_GRAPHS)
    results = build_engines(bundle, targets, graphs=names, cache_sizes=CACHE_ROWS)
    built = [r for r in results if r.built]
    records = [
        {"name": r.record.name, "bytes": r.record.bytes, "built": r.built, "seconds": r.seconds}
        for r in results
    ]
    seconds = sum(r.seconds for r in built)
    return {"summary": f"{len(results)} engines, {len(built)} built in {seconds:.0f} s", "engines": records}


def verify_tensorrt(run: Run) -> dict[str, Any]:
    """The bundle on TensorRT against the PyTorch values it carries."""
    need_cuda_bindings()
    return _verify(run, "tensorrt")


def verify_onnxruntime(run: Run) -> dict[str, Any]:
    """The bundle on ONNX Runtime's CUDA provider against the PyTorch values it carries."""
    need_ort_cuda()
    return _verify(run, "onnxruntime")


def verify_kernels(run: Run) -> dict[str, Any]:
    """The same with the own kernels for the GPT's steps."""
    need_ort_cuda()
    kernels(run)
    return _verify(run, "onnxruntime", gpt_steps="native")


def latency_tensorrt(run: Run) -> dict[str, Any]:
    """Latency of TensorRT."""
    need_cuda_bindings()
    return latency_of_bundle(run.need_bundle(), "tensorrt", repeats=run.repeats)


def latency_onnxruntime(run: Run) -> dict[str, Any]:
    """Latency of ONNX Runtime on CUDA."""
    bundle = run.need_bundle()
    need_ort_cuda()
    return latency_of_bundle(bundle, "onnxruntime", repeats=run.repeats)


def latency_kernels(run: Run) -> dict[str, Any]:
    """Latency of ONNX Runtime on CUDA with the own kernels for the GPT's steps."""
    need_ort_cuda()
    bundle, _, _ = kernels(run)
    return latency_of_bundle(bundle, "onnxruntime", repeats=run.repeats, gpt_steps="native")


def vocoder_ways(run: Run) -> dict[str, Any]:
    """ONNX Runtime's ways to convolve, to see which should be the default."""
    bundle = run.need_bundle()
    need_ort_cuda()
    if VOCODER not in bundle.graph_names:
        raise Skipped(f"the bundle has no {VOCODER}")
    medians_ms = time_vocoder(bundle, repeats=run.repeats)
    fastest = min(medians_ms, key=lambda way: medians_ms[way][str(FRAMES[-1])])
    return {"summary": f"fastest: {fastest}, {medians_ms[fastest]} ms", "ways": medians_ms}


def latency_eager_fp32(run: Run) -> dict[str, Any]:
    """Latency of eager PyTorch in FP32."""
    return _eager(run, half=False)


def latency_eager_fp16(run: Run) -> dict[str, Any]:
    """Latency of eager PyTorch in FP16."""
    return _eager(run, half=True)


def latency_compiled_fp16(run: Run) -> dict[str, Any]:
    """Latency of PyTorch in FP16 with `torch.compile` around the decode step."""
    import triton  # noqa: F401 - what it compiles to; skipped without it

    if not os.environ.get("CC") and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        raise Skipped("torch.compile needs a C compiler, and there is none")
    return _eager(run, half=True, compiled=True)


PARTS: dict[str, Part] = {
    "doctor": Part(doctor, 60),
    "versions": Part(versions, 60),
    "streams and events": Part(streams, 30),
    "token scheduler, captured": Part(token_scheduler, 30),
    "token scheduler, enqueued": Part(enqueued_scheduler, 30),
    "cooperative launch, captured": Part(cooperative_launch, 30),
    "memory fences": Part(memory_fences, 30),
    "step kernels": Part(step_kernels, 60),
    "latency, eager FP16": Part(latency_eager_fp16, 60, together=True),
    "latency, step kernels, prefill on the CPU": Part(latency_steps, 45, together=True),
    "latency, eager FP32": Part(latency_eager_fp32, 60, together=True),
    "latency, ONNX Runtime CUDA": Part(latency_onnxruntime, 60, together=True),
    "latency, ONNX Runtime CUDA and step kernels": Part(latency_kernels, 60, together=True),
    "engines": Part(engines, 150),
    "verify on TensorRT": Part(verify_tensorrt, 60, needs="engines"),
    "latency, TensorRT": Part(latency_tensorrt, 60, together=True, needs="engines"),
    "verify on ONNX Runtime CUDA": Part(verify_onnxruntime, 60),
    "verify with step kernels": Part(verify_kernels, 60),
    "tokens beside sound": Part(tokens_and_sound, 60),
    "requests together, ONNX Runtime": Part(requests_onnxruntime, 60),
    "requests together, step kernels": Part(requests_kernels, 60),
    "requests together, TensorRT": Part(requests_tensorrt, 60, needs="engines"),
    "rows, ONNX Runtime": Part(rows_onnxruntime, 90),
    "rows, TensorRT": Part(rows_tensorrt, 180),
    "TensorRT, the other flavour": Part(other_flavour, 240),
    "the other CUDA line": Part(other_line, 300),
    "vocoder, by convolution": Part(vocoder_ways, 60),
    "latency, compiled FP16": Part(latency_compiled_fp16, 120, together=True),
}


def _eager(run: Run, *, half: bool, compiled: bool = False) -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        raise Skipped(f"PyTorch {torch.__version__} sees no GPU")
    repeats = max(2, run.repeats // 2)
    return latency_of_eager(run.need_checkpoints(), half=half, compiled=compiled, repeats=repeats)


def _verify(run: Run, backend: str, *, gpt_steps: GptSteps = "onnxruntime") -> dict[str, Any]:
    bundle = run.need_bundle()
    report = verify_bundle(bundle, device="cuda", backend=backend, gpt_steps=gpt_steps)
    if not report.passed:
        raise AssertionError(report.failure())
    return {"summary": f"{len(report.checks)} checks passed", "report": report.to_json()}


def _noise(seed: int) -> Callable[[int], Any]:
    return seeded_noise(np.random.default_rng(seed), VOCAB)
