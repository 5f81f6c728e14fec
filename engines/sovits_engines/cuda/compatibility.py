"""Compatibility of GPU architectures, CUDA versions, drivers, and the packages that bring CUDA libraries with them.

Facts: compute capabilities and the CUDA release that first compiles for each, from the CUDA release notes;
architectures of PyTorch's builds from its RELEASE.md (2.8, 2.11); those of onnxruntime-gpu 1.26 and cuDNN 9.28 read
from the files of their wheels; the last cuDNN for Pascal and Volta, 9.10, from its support matrix.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sovits_runtime.backends.trt_api import ENTERPRISE, OLDEST, RTX, TITLES, install
from sovits_runtime.doctor.finding import Finding
from sovits_runtime.machine.cuda_lines import LINES, CudaLine, installed_line
from sovits_runtime.machine.cuda_packages import CudaUser, Version, mix_text, two_parts

LEAST_CAPABILITY: Version = (7, 5)
RTX_CAPABILITIES = frozenset({(7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1)})
"""Compute capabilities that TensorRT for RTX 1.7 serves."""
LEAST_ORT_CAPABILITY: Version = (6, 0)
"""First compute capability that onnxruntime-gpu 1.26 from PyPI holds kernels for."""
LAST_CUDNN_BEFORE_TURING: Version = (9, 10)
TORCH_BEFORE_TURING = "pip install torch --index-url https://download.pytorch.org/whl/cu126"

_ARCHITECTURES: tuple[tuple[Version, str, Version], ...] = (
    ((3, 0), "Kepler", (5, 0)),
    ((5, 0), "Maxwell", (6, 5)),
    ((6, 0), "Pascal", (8, 0)),
    ((7, 0), "Volta", (9, 0)),
    ((7, 5), "Turing", (10, 0)),
    ((8, 0), "Ampere", (11, 0)),
    ((8, 6), "Ampere", (11, 1)),
    ((8, 7), "Ampere", (11, 4)),
    ((8, 9), "Ada Lovelace", (11, 8)),
    ((9, 0), "Hopper", (11, 8)),
    ((10, 0), "Blackwell", (12, 8)),
    ((10, 3), "Blackwell", (12, 9)),
    ((12, 0), "Blackwell", (12, 8)),
    ((12, 1), "Blackwell", (12, 9)),
)
"""First compute capability, name, first CUDA that compiles for it."""
_NO_KERNELS = ("cuda-bindings", "cuda-python", "nvidia-cuda-runtime", "nvidia-cuda-nvrtc")
"""Packages without code for GPUs."""


def architecture(capability: Version) -> str:
    """Name of a compute capability's architecture; empty when it is not known."""
    return next((name for first, name, _ in reversed(_ARCHITECTURES) if capability >= first), "")


def first_cuda(capability: Version) -> Version:
    """First CUDA that compiles for a compute capability."""
    return next((cuda for first, _, cuda in reversed(_ARCHITECTURES) if capability >= first), (0, 0))


def gpu_age(capability: Version) -> str:
    """Says that a GPU is too old, and for what; empty when it is not."""
    if capability >= LEAST_CAPABILITY:
        return ""
    name = architecture(capability) or "unknown architecture"
    too_old = f"{name} is too old for"
    if capability < (5, 0):
        return f"{too_old} CUDA 12 and everything built for it; the CPU does the work"
    if capability < LEAST_ORT_CAPABILITY:
        return (
            f"{too_old} TensorRT and for onnxruntime-gpu, which starts at Pascal (6.0); the CPU does the work"
        )
    return (
        f"{too_old} TensorRT 10 and 11, which start at Turing (7.5), and for anything built for CUDA 13; "
        "ONNX Runtime for CUDA 12 may still run on it"
    )


def update_driver(major: int) -> str:
    """The remedy for a driver that is too old for a CUDA major version."""
    linux, windows = LINES[major].driver
    other = f" (Windows {windows})" if windows != linux else ""
    return f"update the NVIDIA driver to {linux}{other} or later"


def mix_findings(users: list[CudaUser]) -> tuple[Finding, ...]:
    """Names packages of different CUDA major versions: loaded into one process they take each other's libraries."""
    text = mix_text(users)
    if not text:
        return ()
    ways = "; or ".join(_keep(line, users) for line in LINES.values())
    return (
        Finding("warning", "CUDA mix", text, f"keep one. {ways}; or give each its own virtual environment"),
    )


_SPEAKING = {"onnxruntime-gpu": "cuda", "tensorrt-rtx": "rtx", "tensorrt": "tensorrt"}
"""Package, or how its name begins -> extra that brings it."""


def _keep(line: CudaLine, users: list[CudaUser]) -> str:
    """Says how an environment comes to hold one CUDA line alone."""
    names = [user.name.partition(" ")[0] for user in users if user.cuda[0] != line.major]
    extras = dict.fromkeys(
        extra
        for name in (user.name for user in users)
        for begin, extra in _SPEAKING.items()
        if name.startswith((f"{begin} ", f"{begin}-cu"))
    )
    again = [line.extra(name) for name in extras]
    if "torch" in names:
        again.insert(0, line.install_torch)
    driver = f" (driver {line.driver[0]} or later)"
    return f"CUDA {line.major}{driver}: pip uninstall -y {' '.join(names)}" + "".join(
        f", then {a}" for a in again
    )


def kernel_findings(capability: Version, users: list[CudaUser]) -> tuple[Finding, ...]:
    """Explains "no kernel image is available" before it happens: packages older or newer than the GPU."""
    findings = []
    first = first_cuda((capability[0], 0))  # code for 8.0 runs on 8.6 and 8.9
    for user in users:
        package, _, version = user.name.partition(" ")
        if package.startswith(_NO_KERNELS):
            continue
        if user.cuda[1] and user.cuda < first:
            why = (
                f"was compiled with CUDA {_dots(user.cuda)}, before compute capability {_dots(capability)} was known "
                f"(CUDA {_dots(first)})"
            )
            remedy = f"install a build for CUDA {_dots(first)} or later"
        elif user.cuda[0] >= 13 and capability < LEAST_CAPABILITY:
            why = f"is built for CUDA 13, which compiles nothing for compute capability {_dots(capability)}"
            remedy = TORCH_BEFORE_TURING if package == "torch" else "install builds for CUDA 12"
        elif package == "torch" and capability < _least_of_torch(two_parts(version), user.cuda):
            why = f"holds no kernels for compute capability {_dots(capability)}; PyTorch's builds for CUDA 12.6 do"
            remedy = TORCH_BEFORE_TURING
        else:
            continue
        text = f"{user.name} {why}: expect 'no kernel image is available for execution on the device'"
        findings.append(Finding("warning", "kernels", text, remedy))
    return tuple(findings)


def _least_of_torch(release: Version, cuda: Version) -> Version:
    """Lowest compute capability of PyTorch's own builds for CUDA 12; (0, 0) where all that CUDA compiles is in."""
    if cuda < (12, 8) or release < (2, 8):
        return (0, 0)
    return LEAST_CAPABILITY if release >= (2, 11) else (7, 0)


def driver_findings(
    driver: str, users: list[CudaUser], *, windows: bool = os.name == "nt"
) -> tuple[Finding, ...]:
    """Compares the driver with what the installed packages need.

    Args:
        driver: The driver's own version, such as 570.86.10; nothing is said when it is empty.
        users: Of `cuda_users`.
        windows: Whether the numbers of Windows drivers count.
    """
    if not driver:
        return ()
    branch = int(driver.split(".")[0])
    too_new: dict[int, list[str]] = {}
    for user in users:
        line = LINES.get(user.cuda[0])
        if line is None:
            continue
        least = (line.tensorrt_driver if user.name.startswith("tensorrt") else line.driver)[windows]
        if branch < least:
            too_new.setdefault(least, []).append(user.name)
    return tuple(
        Finding(
            "warning",
            "GPU driver",
            f"this driver is {driver}; {least} or later is needed by {', '.join(names)}",
            "update the NVIDIA driver",
        )
        for least, names in sorted(too_new.items())
    )


def tensorrt_findings(capabilities: list[Version], versions: Mapping[str, str]) -> tuple[Finding, ...]:
    """Says which TensorRT is installed and which would serve these GPUs."""
    line = installed_line(versions)
    installed = {RTX: _installed(versions, "tensorrt-rtx"), ENTERPRISE: _installed(versions, "tensorrt")}
    old = {f: v for f, v in installed.items() if v and two_parts(v) < OLDEST[f]}
    warnings = tuple(
        Finding(
            "warning",
            "TensorRT",
            f"{TITLES[f]} {v} is too old, {_dots(OLDEST[f])} or later is needed",
            install(f, line),
        )
        for f, v in old.items()
    )
    rtx, enterprise = ("" if f in old else v for f, v in installed.items())
    have = ", ".join(f"{TITLES[f]} {v}" for f, v in ((RTX, rtx), (ENTERPRISE, enterprise)) if v)
    if not have:
        return warnings or (_no_tensorrt(capabilities, line),)
    missing = [] if "cuda-bindings" in versions else ["cuda-bindings, with which engines are run"]
    if not capabilities:
        more = "; engines for named GPUs can be built here (engine build --target sm89)" if rtx else ""
        return (*warnings, Finding("info", "TensorRT", f"{have}; without a GPU no engine runs{more}"))
    findings = [*warnings]
    for capability in dict.fromkeys(capabilities):
        gpu = f"{architecture(capability)} {_dots(capability)}"
        if capability < LEAST_CAPABILITY:
            findings.append(Finding("info", "TensorRT", f"{have}; {gpu} is too old for it"))
        elif rtx and capability in RTX_CAPABILITIES:
            findings.append(Finding("ok", "TensorRT", f"{have}; engines for {gpu} by TensorRT for RTX {rtx}"))
        elif enterprise:
            findings.append(Finding("ok", "TensorRT", f"{have}; engines for {gpu} by TensorRT {enterprise}"))
        else:
            text = f"{have}; TensorRT for RTX does not serve {gpu}"
            findings.append(Finding("warning", "TensorRT", text, install(ENTERPRISE, line)))
    if missing:
        findings.append(
            Finding("warning", "TensorRT", f"missing: {', '.join(missing)}", line.install_bindings)
        )
    return tuple(findings)


def _no_tensorrt(capabilities: list[Version], line: CudaLine) -> Finding:
    """Offers what serves these GPUs, both flavours where there is none."""
    able = [c for c in capabilities if c >= LEAST_CAPABILITY]
    if not capabilities:
        other = install(ENTERPRISE, line).removeprefix("pip install ")
        remedy = f"{install(RTX, line)} for GeForce and RTX cards, {other} for others"
        return Finding("info", "TensorRT", "not installed", remedy)
    if not able:
        names = ", ".join(f"{architecture(c)} {_dots(c)}" for c in dict.fromkeys(capabilities))
        return Finding("info", "TensorRT", f"not installed, and {names} is too old for it")
    flavours = dict.fromkeys(RTX if c in RTX_CAPABILITIES else ENTERPRISE for c in able)
    return Finding("info", "TensorRT", "not installed", ", ".join(install(f, line) for f in flavours))


def _installed(versions: Mapping[str, str], stem: str) -> str:
    """Version of the libraries of one flavour; the bare package may be a placeholder without any."""
    names = [f"{stem}-cu{major}{part}" for major in (12, 13) for part in ("-bindings", "-libs", "")]
    return next((versions[name] for name in names if name in versions), "")


def _dots(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
