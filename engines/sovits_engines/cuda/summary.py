"""Whether speech can run on the GPUs here: driver, devices, CUDA libraries and packages judged together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sovits_engines.cuda.compatibility import (
    LAST_CUDNN_BEFORE_TURING,
    LEAST_CAPABILITY,
    LEAST_ORT_CAPABILITY,
    architecture,
    driver_findings,
    gpu_age,
    kernel_findings,
    mix_findings,
    tensorrt_findings,
    update_driver,
)
from sovits_engines.cuda.driver import Driver, Gpu
from sovits_runtime.doctor.finding import Finding, GpuSummary, Level
from sovits_runtime.machine.cuda_lines import FIRST, LINES, CudaLine, installed_line
from sovits_runtime.machine.cuda_packages import cuda_major_of_ort, cuda_users, two_parts
from sovits_runtime.machine.onnx_runtime import GPU_PACKAGE, PACKAGES, install_anew

Libraries = Mapping[str, Mapping[int, Path]]

_NUMBERS = {
    11: {"cufft": 10, "curand": 10, "cudnn": 8},
    12: {"cufft": 11, "curand": 10, "cudnn": 9},
    13: {"cufft": 12, "curand": 10, "cudnn": 9},
}
"""Versions of libraries with numbers of their own, by CUDA's."""
_CONTAINER = "in a container, start it with --gpus all (NVIDIA Container Toolkit)"
_MENDED = {
    34: "take the folder 'stubs' of the CUDA toolkit out of the library path (LD_LIBRARY_PATH)",
    100: f"{_CONTAINER}; else see that CUDA_VISIBLE_DEVICES hides no GPU, and whether nvidia-smi shows one",
    802: "start the service nvidia-fabricmanager, or restart the machine",
    803: "restart the machine, and containers that were started before the driver was updated",
    804: "take the CUDA compat package of the container out of the library path (LD_LIBRARY_PATH)",
}
"""By error of the driver."""


def gpu_summary(
    driver: Driver, libraries: Libraries, versions: Mapping[str, str], *, files: Sequence[str] = ()
) -> GpuSummary:
    """Judges whether speech can run on CUDA here.

    Args:
        driver: Of `probe_driver_apart`.
        libraries: Of `find_cuda_libraries`.
        versions: Of `installed_packages`.
        files: Of `device_files`.
    """
    users = cuda_users(versions)
    tensorrt = (*mix_findings(users), *tensorrt_findings([gpu.capability for gpu in driver.gpus], versions))
    together = _versions_finding(driver, libraries, versions)
    if not driver.gpus:
        finding = _no_gpu_finding(driver, versions, files)
        shown = (together,) if driver.library or users else ()
        return GpuSummary(False, _problem(driver), (finding, *shown, *tensorrt))
    devices = tuple(_gpu_finding(i, gpu) for i, gpu in enumerate(driver.gpus))
    driver_finding = Finding(
        "ok", "GPU driver", f"{driver.version or 'version not told'}, runs CUDA up to {_dots(driver.cuda)}"
    )
    fits = driver_findings(driver.version, users)
    kernels = tuple(
        f for c in dict.fromkeys(g.capability for g in driver.gpus) for f in kernel_findings(c, users)
    )
    cuda = _cuda_finding(driver, libraries, versions)
    ready, first = cuda.level == "ok", driver.gpus[0]
    reason = f"{first.name} with onnxruntime-gpu" if ready else "CUDA is not ready for ONNX Runtime"
    findings = (driver_finding, *fits, *devices, *kernels, together, cuda, *tensorrt)
    return GpuSummary(ready, reason, findings, first.memory_bytes)


def _problem(driver: Driver) -> str:
    return driver.problem or "the driver sees no GPU"


def _no_gpu_finding(driver: Driver, versions: Mapping[str, str], files: Sequence[str]) -> Finding:
    """A machine without GPU is fine; one that has a driver, its files, or packages that want a GPU is not.

    TensorRT for RTX builds engines for other machines, so it does not count.
    """
    text = f"{_problem(driver)}; everything runs on the CPU"
    if driver.library:
        code = driver.code or (0 if driver.problem else 100)
        remedy = _MENDED.get(code, "restart the machine, or install the NVIDIA driver anew")
        return Finding("warning", "GPU", text, remedy)
    packages = ("onnxruntime-gpu", *(f"tensorrt-cu{major}" for major in _NUMBERS))
    signs = [*files[:1], *(f"{name} {versions[name]}" for name in packages if name in versions)]
    if not signs:
        return Finding("info", "GPU", text)
    text = f"{_problem(driver)}, but here is {' and '.join(signs)}; everything runs on the CPU"
    return Finding("warning", "GPU", text, f"{_CONTAINER}; elsewhere install the NVIDIA driver")


def _versions_finding(driver: Driver, libraries: Libraries, versions: Mapping[str, str]) -> Finding:
    """One line with the CUDA of everything."""
    torch, ort = versions.get("torch", ""), versions.get("onnxruntime-gpu", "")
    of_torch = next((f"CUDA {_dots(u.cuda)}" for u in cuda_users({"torch": torch})), "no CUDA")
    runtimes = libraries.get("cudart", {})
    places = ", ".join(f"CUDA {major} in {path.parent}" for major, path in sorted(runtimes.items()))
    cudnn = next((v for n, v in sorted(versions.items()) if n.startswith("nvidia-cudnn-")), "")
    cudnn = cudnn or " and ".join(str(major) for major in sorted(libraries.get("cudnn", {})))
    known = f"driver up to {_dots(driver.cuda)}" if driver.cuda[0] else "driver that tells no version"
    parts = [
        known if driver.library else "no driver",
        f"PyTorch {torch} with {of_torch}" if torch else "no PyTorch",
        f"onnxruntime-gpu {ort} for CUDA {cuda_major_of_ort(ort)}" if ort else "no onnxruntime-gpu",
        f"libraries of {places}" if places else "no CUDA runtime library",
        f"cuDNN {cudnn}" if cudnn else "no cuDNN",
    ]
    if len(runtimes) > 1:
        parts.append("each program picks its own libraries, so several are no fault")
    return Finding("info" if len(runtimes) > 1 else "ok", "CUDA versions", "; ".join(parts))


def _cuda_finding(driver: Driver, libraries: Libraries, versions: Mapping[str, str]) -> Finding:
    """Whether ONNX Runtime can run on the first GPU; level "ok" only then."""
    gpu, ort = driver.gpus[0], versions.get(GPU_PACKAGE)
    line = _line(driver, gpu, versions)
    extra = line.extra("cuda")
    anew = install_anew(versions, extra)
    need = cuda_major_of_ort(ort) if ort else line.major
    name = f"onnxruntime-gpu {ort}"
    if gpu.capability < LEAST_ORT_CAPABILITY:
        return _finding("warning" if ort else "info", f"{gpu.name} cannot: {gpu_age(gpu.capability)}")
    if ort is None:
        first = "" if driver.cuda >= (need, 0) else f"{update_driver(need)}, then "
        return _finding("info", "onnxruntime-gpu is not installed; the CPU does the work", first + anew)
    if driver.cuda[0] < need:
        text = f"{name} is built for CUDA {need}, the driver runs CUDA up to {_dots(driver.cuda)}"
        return _finding("warning", text, _driver_remedy(driver, need))
    if need not in LINES:
        return _finding("warning", f"{name} is built for CUDA {need}", extra)
    missing = _missing(libraries, need)
    if missing:
        text = f"{name} needs libraries of CUDA {need} that were not found: {', '.join(missing)}"
        return _finding("warning", text, extra)
    cudnn = versions.get(f"nvidia-cudnn-cu{need}", "")
    if cudnn and gpu.capability < LEAST_CAPABILITY and two_parts(cudnn) > LAST_CUDNN_BEFORE_TURING:
        text = f"cuDNN {cudnn} holds no kernels for {gpu.name} ({_dots(gpu.capability)}); 9.10 is the last that does"
        return _finding("warning", text, f'pip install "nvidia-cudnn-cu{need}<9.11"')
    others = [name for name in PACKAGES if name in versions and name != GPU_PACKAGE]
    if others:
        text = f"{' and '.join((*others, GPU_PACKAGE))} are installed together; see above"
        return _finding("warning", text, anew)
    if "cuda-bindings" not in versions:
        text = f"{name} fits, but cuda-bindings, with which its streams are made, is not installed"
        return _finding("warning", text, extra)
    return _finding(
        "ok", f"{name} for CUDA {need}, driver and libraries fit; prove it with verify --device cuda"
    )


def _finding(level: Level, text: str, remedy: str = "") -> Finding:
    return Finding(level, "speak on CUDA", text, remedy)


def _driver_remedy(driver: Driver, need: int) -> str:
    """The builds of an older CUDA, where the driver runs them, else a driver that does."""
    extra = FIRST.extra("cuda")
    if driver.cuda >= (FIRST.major, 0):
        return f"{extra}, which is for CUDA {FIRST.major}; or {update_driver(need)}"
    return update_driver(FIRST.major) + (f", then {extra}" if need > FIRST.major else "")


def _line(driver: Driver, gpu: Gpu, versions: Mapping[str, str]) -> CudaLine:
    """The CUDA line that is here, or the first one where this driver or this GPU does not go with it."""
    line = installed_line(versions)
    fits = driver.cuda >= (line.major, 0) and (line is FIRST or gpu.capability >= LEAST_CAPABILITY)
    return line if fits else FIRST


def _missing(libraries: Libraries, need: int) -> list[str]:
    """Libraries of a CUDA major version that are not there."""
    needed = {"cudart": need, "cublas": need, "cublasLt": need, **_NUMBERS[need]}
    return [f"{name} {major}" for name, major in needed.items() if major not in libraries.get(name, {})]


def _gpu_finding(index: int, gpu: Gpu) -> Finding:
    name = f"{architecture(gpu.capability)}, " if architecture(gpu.capability) else ""
    text = f"{gpu.name}, {name}compute capability {_dots(gpu.capability)}, {gpu.memory_bytes / 2**30:.1f} GiB"
    if gpu.capability < LEAST_CAPABILITY:
        return Finding("warning", f"GPU {index}", f"{text}; {gpu_age(gpu.capability)}")
    return Finding("ok", f"GPU {index}", text)


def _dots(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
