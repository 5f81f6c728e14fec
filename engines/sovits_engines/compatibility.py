"""What fits what: GPU architectures, CUDA versions, drivers, and the packages that bring CUDA libraries with them.

Facts: compute capabilities and the CUDA release that first compiles for each, from the CUDA release notes; lowest
drivers from the CUDA 12 and 13 release notes and the TensorRT 11.4 prerequisites.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sovits_runtime.doctor import Finding
from sovits_runtime.gpu.cuda import INSTALL

Version = tuple[int, int]

LEAST_CAPABILITY: Version = (7, 5)
RTX_CAPABILITIES = frozenset({(7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1)})
"""Compute capabilities that TensorRT for RTX 1.7 serves."""
LAST_ORT_FOR_CUDA_12 = "1.26.0"
LINE = 12
"""Major version of CUDA that this project's extras install."""

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
_LEAST_DRIVERS = {12: (525, 528), 13: (580, 580)}
_LEAST_TENSORRT_DRIVERS = {12: (535, 537), 13: (580, 580)}
"""Lowest driver branch by CUDA major version, on Linux and on Windows."""
_CUDA_PACKAGE = re.compile(
    r"(?:nvidia-(?:cuda-runtime|cublas|cudnn|cufft|curand|cuda-nvrtc)|tensorrt(?:-rtx)?)-cu(1\d)(?:-\w+)?"
)
_OWN_VERSION = ("cuda-bindings", "cuda-python", "nvidia-cuda-runtime", "nvidia-cublas")
"""Packages whose version is CUDA's; the last two bear no suffix since CUDA 13."""


@dataclass(frozen=True)
class CudaUser:
    """A package that brings or wants CUDA libraries.

    Attributes:
        name: Package and version.
        cuda: CUDA it is built for; minor version 0 when not known.
    """

    name: str
    cuda: Version


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
    return (
        f"{name} is too old for TensorRT 10 and 11, which start at Turing (7.5), and for anything built for CUDA 13; "
        "ONNX Runtime for CUDA 12 may still run on it"
    )


def cuda_users(versions: Mapping[str, str]) -> list[CudaUser]:
    """Lists installed packages that are built for one CUDA, as their names and versions tell.

    Args:
        versions: Installed distributions by name.
    """
    found = []
    for name, version in sorted(versions.items()):
        package = _CUDA_PACKAGE.fullmatch(name)
        local = re.search(r"\+cu(\d\d)(\d)", version)
        if package:
            found.append(CudaUser(f"{name} {version}", (int(package[1]), 0)))
        elif name in _OWN_VERSION:
            major, minor = (int(part) for part in version.split(".")[:2])
            found.append(CudaUser(f"{name} {version}", (major, minor)))
        elif name == "torch" and local:
            found.append(CudaUser(f"{name} {version}", (int(local[1]), int(local[2]))))
        elif name == "onnxruntime-gpu":
            found.append(CudaUser(f"{name} {version}", (cuda_major_of_ort(version), 0)))
    return found


def cuda_major_of_ort(version: str) -> int:
    """Returns the CUDA major version that an onnxruntime-gpu release from PyPI is built for."""
    return 13 if _parts(version) > _parts(LAST_ORT_FOR_CUDA_12) else 12


def mix_findings(users: list[CudaUser]) -> tuple[Finding, ...]:
    """Names packages of different CUDA major versions: loaded into one process they take each other's libraries."""
    majors = sorted({user.cuda[0] for user in users})
    if len(majors) < 2:
        return ()
    groups = "; ".join(
        f"CUDA {major}: {', '.join(u.name for u in users if u.cuda[0] == major)}" for major in majors
    )
    remedy = (
        f"keep one, best CUDA {LINE}: uninstall the packages of the others, and install torch and onnxruntime-gpu for "
        f"CUDA {LINE}; or give each its own virtual environment"
    )
    return (
        Finding(
            "warning",
            "CUDA mix",
            f"packages of {len(majors)} CUDA versions are installed together; in one process they crash or report "
            f"missing symbols. {groups}",
            remedy,
        ),
    )


def kernel_findings(capability: Version, users: list[CudaUser]) -> tuple[Finding, ...]:
    """Explains "no kernel image is available" before it happens: packages older or newer than the GPU."""
    found = []
    first = first_cuda(capability)
    for user in users:
        if user.cuda[1] and user.cuda < first:
            found.append(
                Finding(
                    "warning",
                    "kernels",
                    f"{user.name} was compiled with CUDA {_dots(user.cuda)}, before compute capability "
                    f"{_dots(capability)} was known (CUDA {_dots(first)}): expect 'no kernel image is available for "
                    "execution on the device'",
                    f"install a build for CUDA {_dots(first)} or later",
                )
            )
        elif user.cuda[0] >= 13 and capability < LEAST_CAPABILITY:
            found.append(
                Finding(
                    "warning",
                    "kernels",
                    f"{user.name} is built for CUDA 13, which compiles nothing for compute capability "
                    f"{_dots(capability)}: expect 'no kernel image is available for execution on the device'",
                    "install builds for CUDA 12",
                )
            )
    return tuple(found)


def driver_findings(
    driver: str, users: list[CudaUser], *, windows: bool = os.name == "nt"
) -> tuple[Finding, ...]:
    """Compares the driver with what the installed packages want.

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
        table = _LEAST_TENSORRT_DRIVERS if user.name.startswith("tensorrt") else _LEAST_DRIVERS
        least = table.get(user.cuda[0], (0, 0))[windows]
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
    rtx = _installed(versions, "tensorrt-rtx")
    enterprise = _installed(versions, "tensorrt")
    have = ", ".join(
        f"{title} {version}"
        for title, version in (("TensorRT for RTX", rtx), ("TensorRT", enterprise))
        if version
    )
    if not have:
        return (
            Finding(
                "info",
                "TensorRT",
                "not installed",
                'pip install "sovits-export[rtx]" for GeForce and RTX cards, "sovits-export[tensorrt]" for others',
            ),
        )
    missing = [] if "cuda-bindings" in versions else ["cuda-bindings, with which engines are run"]
    if not capabilities:
        more = "; engines for named GPUs can be built here (engine build --target sm89)" if rtx else ""
        return (Finding("info", "TensorRT", f"{have}; without a GPU no engine runs{more}"),)
    found = []
    for capability in dict.fromkeys(capabilities):
        gpu = f"{architecture(capability)} {_dots(capability)}"
        if capability < LEAST_CAPABILITY:
            found.append(Finding("info", "TensorRT", f"{have}; {gpu} is too old for it"))
        elif rtx and capability in RTX_CAPABILITIES:
            found.append(Finding("ok", "TensorRT", f"{have}; engines for {gpu} by TensorRT for RTX {rtx}"))
        elif enterprise:
            found.append(Finding("ok", "TensorRT", f"{have}; engines for {gpu} by TensorRT {enterprise}"))
        else:
            text = f"{have}; TensorRT for RTX does not serve {gpu}"
            found.append(Finding("warning", "TensorRT", text, 'pip install "sovits-export[tensorrt]"'))
    if missing:
        found.append(Finding("warning", "TensorRT", f"missing: {', '.join(missing)}", INSTALL))
    return tuple(found)


def _installed(versions: Mapping[str, str], stem: str) -> str:
    """Version of the libraries of one flavour; the bare package may be a placeholder without any."""
    names = [f"{stem}-cu{major}{part}" for major in (12, 13) for part in ("-bindings", "-libs", "")]
    return next((versions[name] for name in names if name in versions), "")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _dots(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
