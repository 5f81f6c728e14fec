"""Which of its kernels ONNX Runtime takes on this processor.

It chooses when it starts, by what the processor can do, and cannot be asked; the order here is the order of its choice.
"""

from __future__ import annotations

from sovits_runtime.doctor import Finding
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
