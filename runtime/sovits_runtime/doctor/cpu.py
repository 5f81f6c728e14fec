"""Which kernels run on this processor: ONNX Runtime's, and our own for the GPT's steps.

ONNX Runtime chooses when it starts, by what the processor can do, and cannot be asked; the order here is the order of
its choice.
"""

from __future__ import annotations

from sovits_runtime.backends.native import GENERIC, PACKAGE, kernels, library
from sovits_runtime.doctor import Finding
from sovits_runtime.errors import BackendError
from sovits_runtime.machine import Machine

FP32 = ("AVX512", "AVX2", "AVX", "NEON")
INT8 = ("AMX", "AVX512-VNNI", "AVX-VNNI", "AVX512", "AVX2", "I8MM", "dot product", "NEON")
"""Names of `machine.FEATURES`, best first."""


def kernel_finding(m: Machine) -> Finding:
    """Names the kernels of matrix products in FP32 and int8."""
    fp32, int8 = (next((f for f in order if f in m.features), None) for order in (FP32, INT8))
    if fp32 is None:
        text = "the system does not tell what the processor can do; ONNX Runtime finds out by itself"
        return Finding("info", "CPU kernels", text)
    text = f"ONNX Runtime takes {fp32} for FP32 and {int8 or 'plain code'} for int8"
    return Finding("ok", "CPU kernels", text)


def native_finding() -> Finding:
    """Says whether the native kernels are there, and which of them run on this processor."""
    name, remedy = "native kernels", "pip install ./native, in a checkout of the project; takes a C compiler"
    try:
        found = library()
    except BackendError as error:
        return Finding("warning", name, str(error), remedy)
    if found is None:
        text = f"{PACKAGE} is not installed; GPT steps would be about twice as fast"
        return Finding("info", name, text, remedy)
    if kernels(found) == GENERIC:
        text = "none for this processor; ONNX Runtime runs the GPT's steps, unless --native is given"
        return Finding("info", name, text)
    return Finding("ok", name, f"GPT steps of fp32 and int8 bundles run on {kernels(found)}")
