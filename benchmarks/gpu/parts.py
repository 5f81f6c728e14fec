"""What `report.py` tries on a GPU, part by part, in the order in which it does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from conditions import library_versions
from convolutions import FRAMES, VOCODER, time_vocoder
from latency import latency_of_bundle, latency_of_eager
from process import Skipped
from steps import latency_of_steps, prove_steps
from toy_gpt import BERT_WIDTH, VOCAB, expected_tokens, toy_engines

from sovits_engines.cuda.driver import Driver
from sovits_runtime.backends.tensorrt import REFERENCE_GRAPHS
from sovits_runtime.backends.voice import GptSteps
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import STEP
from sovits_runtime.errors import BackendError
from sovits_runtime.gpu.cuda import CudaDevice, open_cuda
from sovits_runtime.gpu.device import Engine, Layout
from sovits_runtime.machine.onnx_runtime import load_onnxruntime
from sovits_runtime.t2s.device_loop import DeviceTextToSemantic
from sovits_runtime.t2s.device_step import CACHE_LENGTHS
from sovits_runtime.t2s.generator import seeded_noise
from sovits_runtime.t2s.sampling import SamplingOptions
from sovits_runtime.t2s.step_compile import cuda_kernels
from sovits_runtime.t2s.step_kernel import PRECISIONS, open_kernel_steps
from sovits_runtime.verify import verify_bundle

CACHE_ROWS = (512, 1024)
"""The workload needs 375, verifying an FP16 bundle 637."""


@dataclass(frozen=True)
class Run:
    """What every part gets.

    Attributes:
        driver: What the driver reports.
        bundle: The bundle, if one was given.
        checkpoints: Folder of its checkpoints, if one was given.
        repeats: Repetitions of each timing.
    """

    driver: Driver
    bundle: Bundle | None
    checkpoints: Path | None
    repeats: int

    def need_bundle(self) -> Bundle:
        """Returns the bundle, or skips the part."""
        if self.bundle is None:
            raise Skipped("no bundle was given")
        if self.bundle.cpu_only:
            raise Skipped(f"the bundle is {self.bundle.precision}, which only the CPU runs")
        return self.bundle

    def need_checkpoints(self) -> tuple[Path, Path]:
        """Returns the two files, or skips the part."""
        if self.checkpoints is None:
            raise Skipped("no checkpoints were given")
        from sovits_exporter.eager.baseline import find_pair

        return find_pair(str(self.checkpoints))


@dataclass(frozen=True)
class Part:
    """One part of the report.

    Attributes:
        run: Does it; gives what is to be reported, `summary` in one line.
        limit_s: Its budget in seconds.
        together: Whether it runs in the process that all figures are taken in, beside eager PyTorch.
        needs: Part that must have passed.
    """

    run: Callable[[Run], dict[str, Any]]
    limit_s: float
    together: bool = False
    needs: str = ""


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
    device = _open_cuda()
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
    device = _open_cuda()
    _need_nvrtc()
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
    bundle, device, open_steps = _kernels(run)
    figures = prove_steps(bundle, device, open_steps(), repeats=run.repeats)
    rates = ", ".join(f"{figures[f'tokens_per_s_{way}']} tokens/s {way}" for way in ("captured", "enqueued"))
    return {"summary": f"{rates}, logits {figures['logits']:.1e}", **figures}


def latency_steps(run: Run) -> dict[str, Any]:
    """Latency of the own kernels with the prefill on the CPU: wants neither TensorRT nor ONNX Runtime with CUDA."""
    bundle, device, open_steps = _kernels(run)
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
    _need_cuda_bindings()
    return _verify(run, "tensorrt")


def verify_onnxruntime(run: Run) -> dict[str, Any]:
    """The bundle on ONNX Runtime's CUDA provider against the PyTorch values it carries."""
    _need_ort_cuda()
    return _verify(run, "onnxruntime")


def verify_kernels(run: Run) -> dict[str, Any]:
    """The same with the own kernels for the GPT's steps."""
    _need_ort_cuda()
    _kernels(run)
    return _verify(run, "onnxruntime", gpt_steps="native")


def latency_tensorrt(run: Run) -> dict[str, Any]:
    """Latency of TensorRT."""
    _need_cuda_bindings()
    return latency_of_bundle(run.need_bundle(), "tensorrt", repeats=run.repeats)


def latency_onnxruntime(run: Run) -> dict[str, Any]:
    """Latency of ONNX Runtime on CUDA."""
    bundle = run.need_bundle()
    _need_ort_cuda()
    return latency_of_bundle(bundle, "onnxruntime", repeats=run.repeats)


def latency_kernels(run: Run) -> dict[str, Any]:
    """Latency of ONNX Runtime on CUDA with the own kernels for the GPT's steps."""
    _need_ort_cuda()
    bundle, _, _ = _kernels(run)
    return latency_of_bundle(bundle, "onnxruntime", repeats=run.repeats, gpt_steps="native")


def vocoder_ways(run: Run) -> dict[str, Any]:
    """ONNX Runtime's ways to convolve, to see which should be the default."""
    bundle = run.need_bundle()
    _need_ort_cuda()
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


def _kernels(run: Run) -> tuple[Bundle, CudaDevice, Callable[[], tuple[Engine, ...]]]:
    """The bundle, the GPU, and what opens the own kernels for both; or skips the part."""
    bundle = run.need_bundle()
    precision = bundle.manifest["graphs"][STEP]["precision"]
    if precision not in PRECISIONS:
        raise Skipped(f"the bundle's GPT is {precision}, the own kernels take {' and '.join(PRECISIONS)}")
    _need_onnxruntime()  # its CPU is compared with, and does the prefill
    device = _open_cuda()
    _need_nvrtc()
    return bundle, device, lambda: open_kernel_steps(device, bundle, CACHE_LENGTHS, cuda_kernels(device))


def _open_cuda() -> CudaDevice:
    _need_cuda_bindings()
    return open_cuda()


def _need_cuda_bindings() -> None:
    import cuda.bindings.runtime  # noqa: F401 - what is not installed is skipped


def _need_nvrtc() -> None:
    from cuda.bindings import nvrtc

    try:
        nvrtc.nvrtcVersion()
    except RuntimeError as error:
        raise Skipped(f"NVRTC is not installed: {str(error).partition(chr(10))[0]}") from error


def _need_onnxruntime() -> Any:
    try:
        return load_onnxruntime()
    except BackendError as error:
        raise Skipped(str(error)) from error


def _need_ort_cuda() -> None:
    onnxruntime = _need_onnxruntime()
    _need_cuda_bindings()

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise Skipped(f"onnxruntime {onnxruntime.__version__} has no CUDA provider")


def _noise(seed: int) -> Callable[[int], Any]:
    return seeded_noise(np.random.default_rng(seed), VOCAB)
