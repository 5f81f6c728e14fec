"""What a part of `report.py` is, what it gets, and what it asks for before it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from process import Skipped

from sovits_engines.cuda.driver import Driver
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import STEP
from sovits_runtime.errors import BackendError
from sovits_runtime.gpu.cuda import CudaDevice, open_cuda
from sovits_runtime.gpu.device import Engine
from sovits_runtime.machine.onnx_runtime import load_onnxruntime
from sovits_runtime.t2s.device_step import CACHE_LENGTHS
from sovits_runtime.t2s.step_compile import cuda_kernels
from sovits_runtime.t2s.step_kernel import PRECISIONS, open_kernel_steps

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
        other_python: An interpreter whose environment holds the packages of the other CUDA line, if one was given.
    """

    driver: Driver
    bundle: Bundle | None
    checkpoints: Path | None
    repeats: int
    other_python: Path | None = None

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


def kernels(run: Run) -> tuple[Bundle, CudaDevice, Callable[[], tuple[Engine, ...]]]:
    """The bundle, the GPU, and what opens the own kernels for both; or skips the part."""
    bundle = run.need_bundle()
    precision = bundle.manifest["graphs"][STEP]["precision"]
    if precision not in PRECISIONS:
        raise Skipped(f"the bundle's GPT is {precision}, the own kernels take {' and '.join(PRECISIONS)}")
    need_onnxruntime()  # its CPU is compared with, and does the prefill
    device = open_gpu()
    need_nvrtc()
    return bundle, device, lambda: open_kernel_steps(device, bundle, CACHE_LENGTHS, cuda_kernels(device))


def open_gpu() -> CudaDevice:
    """Opens the GPU, or skips the part."""
    need_cuda_bindings()
    return open_cuda()


def need_cuda_bindings() -> None:
    """Skips the part where NVIDIA's Python bindings are not installed."""
    import cuda.bindings.runtime  # noqa: F401 - what is not installed is skipped


def need_nvrtc() -> None:
    """Skips the part where NVRTC is not installed."""
    from cuda.bindings import nvrtc

    try:
        nvrtc.nvrtcVersion()
    except RuntimeError as error:
        raise Skipped(f"NVRTC is not installed: {str(error).partition(chr(10))[0]}") from error


def need_onnxruntime() -> Any:
    """ONNX Runtime, or skips the part."""
    try:
        return load_onnxruntime()
    except BackendError as error:
        raise Skipped(str(error)) from error


def need_ort_cuda() -> None:
    """Skips the part where ONNX Runtime has no CUDA."""
    onnxruntime = need_onnxruntime()
    need_cuda_bindings()

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise Skipped(f"onnxruntime {onnxruntime.__version__} has no CUDA provider")
