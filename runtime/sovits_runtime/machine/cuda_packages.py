"""Installed packages that are built for one CUDA, and whether they fit together. Reads metadata; imports nothing.

Facts: PyPI's onnxruntime-gpu is built for CUDA 12 since 1.19 (ONNX Runtime's page of the CUDA provider) and for CUDA 13
since 1.27 (the wheels' metadata).
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sovits_runtime.machine import installed_versions

Version = tuple[int, int]

LAST_ORT_FOR_CUDA_11: Version = (1, 18)
LAST_ORT_FOR_CUDA_12: Version = (1, 26)
_MAJORS = (11, 12, 13)
_OWN_VERSION = (
    "cuda-bindings", "cuda-python", "nvidia-cuda-runtime", "nvidia-cuda-nvrtc", "nvidia-cublas",
)  # fmt: skip
"""Packages whose version is CUDA's; NVIDIA's libraries bear no suffix since CUDA 13."""
CUDA_PACKAGES = (
    "onnxruntime-gpu", "torch", *_OWN_VERSION, *(f"cupy-cuda{major}x" for major in _MAJORS),
    *(f"tensorrt{flavour}-cu{major}{part}" for flavour in ("", "-rtx") for major in _MAJORS
      for part in ("", "-libs", "-bindings")),
    *(f"nvidia-{library}-cu{major}" for library in ("cuda-runtime", "cublas", "cudnn", "cufft", "curand", "cuda-nvrtc")
      for major in _MAJORS),
)  # fmt: skip
_SUFFIXED = re.compile(r".*-cu(?:da)?(1\d)x?(?:-\w+)?")


@dataclass(frozen=True)
class CudaUser:
    """A package that brings or needs CUDA libraries.

    Attributes:
        name: Package and version.
        cuda: CUDA it is built for; minor version 0 when not known.
    """

    name: str
    cuda: Version


def installed_packages(names: tuple[str, ...] = CUDA_PACKAGES) -> dict[str, str]:
    """Returns the versions of those distributions that are installed; that of PyTorch with its CUDA."""
    versions = installed_versions(names)
    if "torch" in versions:
        versions["torch"] = torch_version()
    return versions


def torch_version() -> str:
    """Version of the installed PyTorch with its CUDA, such as 2.11.0+cu130; empty where it is not installed.

    The metadata of wheels from PyPI do not tell CUDA, importing PyTorch takes seconds: its `version.py` is read.
    """
    try:
        torch = importlib.metadata.distribution("torch")
        text = Path(str(torch.locate_file("torch/version.py"))).read_text(encoding="utf-8")
    except importlib.metadata.PackageNotFoundError:
        return ""
    except OSError:
        return torch.version
    cuda = re.search(r"^cuda\b[^=\n]*=\s*['\"](\d+)\.(\d+)", text, re.MULTILINE)
    return f"{torch.version.partition('+')[0]}+cu{cuda[1]}{cuda[2]}" if cuda else torch.version


def cuda_users(versions: Mapping[str, str]) -> list[CudaUser]:
    """Lists installed packages that are built for one CUDA, as their names and versions tell.

    Args:
        versions: Of `installed_packages`.
    """
    users = []
    for name, version in sorted(versions.items()):
        suffixed = _SUFFIXED.fullmatch(name)
        local = re.search(r"\+cu(\d\d)(\d+)", version)
        if suffixed:
            cuda = int(suffixed[1]), 0
        elif name in _OWN_VERSION:
            cuda = two_parts(version)
        elif name == "torch" and local:
            cuda = int(local[1]), int(local[2])
        elif name == "onnxruntime-gpu":
            cuda = cuda_major_of_ort(version), 0
        else:
            continue
        users.append(CudaUser(f"{name} {version}", cuda))
    return users


def cuda_major_of_ort(version: str) -> int:
    """Returns the CUDA major version that an onnxruntime-gpu release from PyPI is built for."""
    release = two_parts(version)
    return 13 if release > LAST_ORT_FOR_CUDA_12 else 12 if release > LAST_ORT_FOR_CUDA_11 else 11


def mix_text(users: list[CudaUser]) -> str:
    """Names packages of different CUDA major versions in one line; empty when there is one version at most."""
    majors = sorted({user.cuda[0] for user in users})
    if len(majors) < 2:
        return ""
    groups = "; ".join(
        f"CUDA {major}: {', '.join(u.name for u in users if u.cuda[0] == major)}" for major in majors
    )
    return (
        f"packages of {len(majors)} CUDA versions are installed together; in one process they crash or report "
        f"missing symbols. {groups}"
    )


def installed_mix(*, torch: bool = True) -> str:
    """Says in one line which installed packages are of different CUDA versions; empty when all is well.

    Args:
        torch: Whether PyTorch counts, which matters to processes that import it.
    """
    text = mix_text(cuda_users(installed_packages(tuple(n for n in CUDA_PACKAGES if torch or n != "torch"))))
    return f"{text}; see 'sovits-export doctor'" if text else ""


def two_parts(version: str) -> Version:
    """Reads major and minor version; what is not there counts as 0."""
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    major, minor = (*numbers, 0, 0)[:2]
    return major, minor
