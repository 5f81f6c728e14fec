"""Imports OpenVINO for all of this project: optional, its telemetry off, its errors ours.

`load_openvino` imports it, `compile_model` makes a graph ready to run. No other file imports `openvino`; a test sees to
it. What OpenVINO would keep on disk is not used: measured with 2026.4, a compiled vocoder that comes from its cache
takes as much processor time to load as one that is compiled, for its kernels are generated anew either way.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from sovits_runtime.errors import BackendError, SovitsError, first_line
from sovits_runtime.machine import Machine, installed_versions, usable_cores, version_numbers

PACKAGE = "openvino"
LEAST_OPENVINO = "2025.0"
INSTALL = 'pip install "sovits-export[openvino]"'

OpenVinoPrecision = Literal["f32", "bf16", "f16"]
"""What OpenVINO computes in, whatever the graph says."""


def installed_openvino() -> str | None:
    """Its version, read without importing it; None where it is not installed or too old for us."""
    version = installed_versions((PACKAGE,)).get(PACKAGE)
    return version if version and version_numbers(version) >= version_numbers(LEAST_OPENVINO) else None


def precisions(machine: Machine) -> tuple[OpenVinoPrecision, ...]:
    """What OpenVINO has fast kernels for on a processor, exact ones first."""
    if "AVX512-BF16" in machine.features or "AMX" in machine.features:
        return "f32", "bf16"
    arm = re.search(r"aarch64|arm64", machine.system, re.IGNORECASE) is not None
    return ("f32", "f16") if arm else ("f32",)


def load_openvino() -> Any:
    """Imports OpenVINO.

    Raises:
        BackendError: It is not installed, not whole, or too old; says what mends that.
    """
    if installed_openvino() is None:
        found = installed_versions((PACKAGE,)).get(PACKAGE)
        what = f"is {found}, and at least {LEAST_OPENVINO} is needed" if found else "is not installed"
        raise BackendError(f"OpenVINO {what}; {INSTALL}")
    try:
        return import_module(PACKAGE)
    except Exception as error:  # a shared library that does not load raises whatever it likes
        raise BackendError(f"OpenVINO cannot be imported ({first_line(error)}); {INSTALL}") from error


@functools.cache
def _core() -> Any:
    return load_openvino().Core()


def compile_model(
    path: Path,
    *,
    precision: OpenVinoPrecision,
    threads: int | None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Any:
    """Makes a graph ready to run on the CPU.

    Args:
        path: The `.onnx` file.
        precision: What it computes in.
        threads: How many threads run it; None: the physical cores that this process may use.
        shapes: Shape of every input, if they are fixed; kernels are then generated here and not when it runs.

    Raises:
        BackendError: OpenVINO is missing, or does not take the graph.
    """
    core = _core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads or usable_cores(),
        "ENABLE_CPU_PINNING": False,  # other sessions and the native pool run on the same cores
    }
    with openvino_errors(f"{path}: OpenVINO cannot open it in {precision}"):
        model = core.read_model(str(path))
        if shapes is not None:
            model.reshape({name: list(shape) for name, shape in shapes.items()})
        return core.compile_model(model, "CPU", settings)


@contextmanager
def openvino_errors(what: str) -> Iterator[None]:
    """Turns what OpenVINO raises into one error of ours.

    Args:
        what: What failed.

    Raises:
        BackendError: The block failed; an error of ours passes as it is.
    """
    try:
        yield
    except SovitsError:
        raise
    except Exception as error:
        raise BackendError(f"{what}: {_reason(error)}; --plan none runs it on ONNX Runtime") from error


def _reason(error: Exception) -> str:
    """The last line that says something: the first ones name files of OpenVINO's own."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith("Exception from ")]
    return told[-1] if told else first_line(error)
