"""The door through which everything of ours gets ONNX Runtime: telemetry off, its version checked, one of its kind.

`import onnxruntime` stands here and nowhere else in the packages, the examples and the benchmarks; a test sees to it.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from sovits_runtime.errors import BackendError
from sovits_runtime.machine import installed_versions, no_telemetry, version_numbers
from sovits_runtime.machine.cuda_packages import CUDA_EXTRA

LEAST_ONNXRUNTIME = "1.25"
"""The first with a kernel for TensorScatter, with which our graphs write their caches. It is what pyproject.toml asks
for; 1.24.4 knows the operator and has no kernel, 1.23.2 does not know the graphs' opset."""
CPU_EXTRA = 'pip install "sovits-export[cpu]"'
NEW_ENOUGH = f'pip install "onnxruntime>={LEAST_ONNXRUNTIME}"'
GPU_PACKAGE = "onnxruntime-gpu"
PACKAGES = (
    "onnxruntime", GPU_PACKAGE,
    *(f"onnxruntime-{kind}" for kind in (
        "azure", "cann", "coreml", "directml", "gpu-extended", "lite", "macavx", "migraphx", "noopenmp", "openmp",
        "openvino", "powerpc64le", "qnn", "rocm", "silicon", "training", "training-cpu", "trt-rtx", "webgpu",
        "windowsml",
    )),
    "ort-nightly", *(f"ort-nightly-{kind}" for kind in ("directml", "gpu", "qnn")),
)  # fmt: skip
"""Distributions that hold the package `onnxruntime`, so that any two of them overwrite each other's files. Plug-ins
beside it (onnxruntime-ep-..., -extensions, -genai) do not."""


def load_onnxruntime(install: str = CPU_EXTRA) -> Any:
    """Imports ONNX Runtime.

    Args:
        install: The pip line for whoever has none.

    Raises:
        BackendError: It is not installed, not whole, or too old for our graphs; says what mends that.
    """
    try:
        ort = import_quietly()
    except ImportError as error:
        raise BackendError(
            f"{_what_failed(error)}; {install_anew(installed_onnxruntimes(), install)}"
        ) from error
    if not hasattr(ort, "InferenceSession"):
        raise BackendError(
            "onnxruntime is installed without its files, as when one of two packages that hold them was uninstalled; "
            f"{install_anew(installed_onnxruntimes(), install)}"
        )
    refuse_old(ort)
    return ort


def import_quietly() -> Any:
    """Imports ONNX Runtime, whatever its version; importing this package has turned its telemetry off."""
    ort = import_module("onnxruntime")
    no_telemetry.hush_onnxruntime(ort)
    return ort


def refuse_old(ort: Any) -> None:
    """Raises BackendError for an ONNX Runtime that cannot open our graphs, before it tries in words of its own."""
    version = str(getattr(ort, "__version__", ""))
    if is_old(version):
        installed = installed_onnxruntimes()
        raise BackendError(f"{too_old(version, installed)}; {upgrade(installed)}")


def is_old(version: str) -> bool:
    """Whether a version is below the least; one that cannot be read is not."""
    found = version_numbers(version)
    return bool(found) and found < version_numbers(LEAST_ONNXRUNTIME)


def too_old(version: str, installed: Mapping[str, str]) -> str:
    """Says which package is too old, in words that are the same wherever they are said."""
    names = [name for name in installed if installed[name] == version] or ["onnxruntime"]
    return f"{' and '.join(names)} {version} is too old: the decode graph needs at least {LEAST_ONNXRUNTIME}"


def upgrade(installed: Mapping[str, str]) -> str:
    """The pip line that brings a version new enough, whichever packages are there."""
    if set(installed) <= {"onnxruntime"}:
        return NEW_ENOUGH
    return install_anew(installed, CUDA_EXTRA if GPU_PACKAGE in installed else NEW_ENOUGH)


def install_anew(installed: Mapping[str, str], install: str) -> str:
    """The pip lines that leave one ONNX Runtime, whole.

    Of several packages that hold the same files, one uninstalled alone leaves the others without them: all go first.

    Args:
        installed: The packages that are there, of `PACKAGES`; others are not looked at.
        install: The pip line for the one that is wanted.
    """
    names = [name for name in PACKAGES if name in installed]
    return f"pip uninstall -y {' '.join(names)}, then {install}" if names else install


def installed_onnxruntimes() -> dict[str, str]:
    """Those of `PACKAGES` that are installed, with their versions.

    Newer ones under an old name may be plug-ins (onnxruntime-qnn is, since 2.0), so their lists of files are asked.
    """
    return {name: version for name, version in installed_versions(PACKAGES).items() if _holds_it(name)}


def _holds_it(name: str) -> bool:
    files = importlib.metadata.distribution(name).files
    return files is None or any(file.as_posix() == "onnxruntime/__init__.py" for file in files)


def _what_failed(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == "onnxruntime":
        return "onnxruntime is not installed"
    return f"onnxruntime cannot be imported ({str(error).partition(chr(10))[0]})"
