"""Imports ONNX Runtime for all of this project: telemetry off, and its version checked.

`load_onnxruntime` imports it, `session_options` says how graphs are opened, `open_model` opens one, and what it raises
becomes ours in `ort_errors`. No other file of the packages, the examples and the benchmarks imports
`onnxruntime`; a test sees to it.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sovits_runtime.errors import BackendError, SovitsError, first_line
from sovits_runtime.machine import installed_versions, no_telemetry, usable_cores, version_numbers
from sovits_runtime.machine.cuda_lines import installed_line

LEAST_ONNXRUNTIME = "1.23"
"""The least that speaks, and what pyproject.toml asks for there: the last for Macs with an Intel processor is 1.23.2,
that of DirectML 1.24.4."""
SCATTER_ONNXRUNTIME = "1.25"
"""The first with a kernel for TensorScatter, with which the portable graphs write their caches: 1.24.4 knows the
operator and has no kernel, 1.23.2 does not know the graphs' opset. Voices speak without it, in other forms of their
graphs. What builds and converts, and what runs on CUDA, needs it."""
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

CPU_PROVIDER = "CPUExecutionProvider"
QUIET = 3  # errors only
SPINNING = {"session.intra_op.spin_duration_us": "200", "session.force_spinning_stop": "1"}
"""Every graph has threads of its own. They wait for work in a loop, long enough for the next operator of the graph, but
not so long that they take the cores from the next graph, or from another session or program."""
EXACT_INT8 = ("session.x64quantprecision", "1")
"""Processors without VNNI add pairs of uint8 x int8 products in 16 bits, which overflow. With this, ONNX Runtime takes
its slower, exact kernels there; it changes nothing elsewhere."""

_open: WeakSet[Any] = WeakSet()
"""Sessions that live."""


def load_onnxruntime(install: str = CPU_EXTRA, *, least: str = LEAST_ONNXRUNTIME) -> Any:
    """Imports ONNX Runtime.

    Args:
        install: The pip line for a machine without one.
        least: The version that is needed.

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
    refuse_old(ort, least)
    return ort


def has_tensor_scatter(ort: Any) -> bool:
    """Whether an ONNX Runtime runs the portable graphs of the GPT; see `SCATTER_ONNXRUNTIME`."""
    return not is_old(str(getattr(ort, "__version__", "")), SCATTER_ONNXRUNTIME)


def import_quietly() -> Any:
    """Imports ONNX Runtime, whatever its version; importing this package has turned its telemetry off."""
    ort = import_module("onnxruntime")
    no_telemetry.hush_onnxruntime(ort)
    return ort


def refuse_old(ort: Any, least: str = LEAST_ONNXRUNTIME) -> None:
    """Raises BackendError for an ONNX Runtime that cannot open our graphs, before it tries in words of its own."""
    version = str(getattr(ort, "__version__", ""))
    if is_old(version, least):
        installed = installed_onnxruntimes()
        raise BackendError(f"{too_old(version, installed, least)}; {upgrade(installed, least)}")


def is_old(version: str, least: str = LEAST_ONNXRUNTIME) -> bool:
    """Whether a version is below the least; one that cannot be read is not."""
    numbers = version_numbers(version)
    return bool(numbers) and numbers < version_numbers(least)


def too_old(version: str, installed: Mapping[str, str], least: str = LEAST_ONNXRUNTIME) -> str:
    """The message that a package is too old, the same for all callers."""
    names = [name for name in installed if installed[name] == version] or ["onnxruntime"]
    needs = "speaking" if least == LEAST_ONNXRUNTIME else "the portable decode graph, with TensorScatter,"
    return f"{' and '.join(names)} {version} is too old: {needs} needs at least {least}"


def upgrade(installed: Mapping[str, str], least: str = LEAST_ONNXRUNTIME) -> str:
    """The pip line that brings a version new enough, whichever packages are there."""
    new_enough = f'pip install "onnxruntime>={least}"'
    if set(installed) <= {"onnxruntime"}:
        return new_enough
    return install_anew(
        installed, installed_line(installed).extra("cuda") if GPU_PACKAGE in installed else new_enough
    )


def install_anew(installed: Mapping[str, str], install: str) -> str:
    """The pip lines that leave one ONNX Runtime, whole.

    Of several packages that hold the same files, one uninstalled alone leaves the others without them: all go first.

    Args:
        installed: The packages that are there, of `PACKAGES`; others are not looked at.
        install: The pip line for the one that is needed.
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
    return f"onnxruntime cannot be imported ({first_line(error)})"


def session_options(ort: Any, *, threads: int | None = None) -> Any:
    """Session options that every graph of ours starts from.

    Args:
        ort: The module `onnxruntime`.
        threads: Threads within one operator; None: the physical cores that this process may use.
    """
    options = ort.SessionOptions()
    options.log_severity_level = QUIET
    # Left alone, ONNX Runtime pins a thread to every core that it sees, whatever affinity and containers allow.
    options.intra_op_num_threads = threads or usable_cores()
    for name, value in SPINNING.items():
        options.add_session_config_entry(name, value)
    options.add_session_config_entry(*EXACT_INT8)
    return options


def open_model(
    ort: Any,
    model: Path | bytes,
    *,
    options: Any,
    what: str,
    then: str = "",
    providers: tuple[str | tuple[str, Mapping[str, str]], ...] = (CPU_PROVIDER,),
) -> Any:
    """Opens a model as a session of ONNX Runtime's own.

    Args:
        ort: The module `onnxruntime`.
        model: The `.onnx` file, or its content.
        options: From `session_options`.
        what: Begins the message of an error: which model could not be opened, and what for.
        then: Ends it: what to do next.
        providers: What it may run on.

    Raises:
        BackendError: ONNX Runtime does not take it.
    """
    with ort_errors(what, then=then):
        # Its own fallback would print to stdout and go on with the CPU.
        session = ort.InferenceSession(
            str(model) if isinstance(model, Path) else model,
            options,
            providers=list(providers),
            enable_fallback=0,
        )
    _keep_in_forks()
    _open.add(session)
    return session


@functools.cache
def _keep_in_forks() -> None:
    """Has sessions stay where a fork copies them: freed there, they wait for their threads, which it does not copy."""

    def keep() -> None:
        for session in list(_open):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=keep)


@contextmanager
def ort_errors(what: str, *, then: str = "") -> Iterator[None]:
    """Turns what ONNX Runtime raises, a class of its own for each kind of failure, into one error of ours.

    Args:
        what: What failed.
        then: What to do next.

    Raises:
        BackendError: The block failed; an error of ours passes as it is.
    """
    try:
        yield
    except SovitsError:
        raise
    except Exception as error:
        raise BackendError(f"{what}: {_reason(error)}{then and '; '}{then}") from error


def _reason(error: Exception) -> str:
    """ONNX Runtime's error in one line: the part about CUDA where there is one, else the first line."""
    match = re.search(r"\w+ failure \d+: [^;\n]*[^;\s]", str(error))
    return match.group() if match else first_line(error)
