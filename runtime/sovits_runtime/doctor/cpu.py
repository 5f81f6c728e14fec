"""What this machine can do: Python, processor, cores, memory, and the kernels that run here.

ONNX Runtime chooses when it starts, by what the processor can do, and cannot be asked; the order here is the order of
its choice.
"""

from __future__ import annotations

import re

from sovits_runtime.backends.native import GENERIC, PACKAGE, kernels, library
from sovits_runtime.backends.native_vocoder import FASTER
from sovits_runtime.doctor.finding import Finding
from sovits_runtime.errors import BackendError
from sovits_runtime.machine import Machine, version_numbers
from sovits_runtime.machine.openvino import INSTALL, installed_openvino, precisions

FP32 = ("AVX512", "AVX2", "AVX", "NEON")
INT8 = ("AMX", "AVX512-VNNI", "AVX-VNNI", "AVX512", "AVX2", "I8MM", "dot product", "NEON")
"""Names of `machine.FEATURES`, best first."""
MIN_PYTHON = (3, 11)
LITTLE_MEMORY = 3 << 30


def machine_findings(m: Machine) -> tuple[Finding, ...]:
    """Judges Python, processor, cores and memory."""
    findings = [_python_finding(m), Finding("ok", "system", m.system)]
    x86 = re.search(r"x86_64|amd64", m.system, re.IGNORECASE) is not None
    features = ", ".join(m.features) or "no vector features known"
    if x86 and "AVX2" not in m.features:
        findings.append(
            Finding(
                "warning", "processor", f"{m.cpu}: {features}; without AVX2 speech is several times slower"
            )
        )
    else:
        findings.append(Finding("ok", "processor", f"{m.cpu}: {features}"))
    findings += [kernel_finding(m), _cores_finding(m)]
    memory = min((b for b in (m.memory_bytes, m.memory_limit_bytes) if b), default=None)
    if memory is None:
        findings.append(Finding("info", "memory", "the system does not tell how much there is"))
    else:
        free = f", {m.available_bytes / 2**30:.1f} GiB available" if m.available_bytes else ""
        little = memory < LITTLE_MEMORY
        text = f"{memory / 2**30:.1f} GiB{free}" + ("; a full-size voice needs about 2 GiB" if little else "")
        findings.append(Finding("warning" if little else "ok", "memory", text))
    return tuple(findings)


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
    name, remedy = "native kernels", "pip install ./native, in a checkout of the project"
    try:
        lib = library()
    except BackendError as error:
        return Finding("warning", name, str(error), remedy)
    if lib is None:
        text = f"{PACKAGE} is not installed; GPT steps would be about twice as fast"
        return Finding("info", name, text, remedy)
    if kernels(lib) == GENERIC:
        text = (
            "none for this processor; ONNX Runtime runs the GPT's steps and the vocoder, unless --gpt-steps native "
            "and --vocoder-engine native are given"
        )
        return Finding("info", name, text)
    vocoder = ", the vocoder of fp32 and fp16 ones too" if kernels(lib) in FASTER else ""
    return Finding("ok", name, f"GPT steps of fp32 and int8 bundles run on {kernels(lib)}{vocoder}")


def _python_finding(m: Machine) -> Finding:
    old = version_numbers(m.python) < MIN_PYTHON
    remedy = f"install Python {'.'.join(map(str, MIN_PYTHON))} or newer" if old else ""
    return Finding("error" if old else "ok", "Python", m.python, remedy)


def _cores_finding(m: Machine) -> Finding:
    text = f"{m.usable_cores} usable of {m.logical_cores} logical"
    limits = [f"affinity allows {m.allowed_cores}"] if m.allowed_cores < m.logical_cores else []
    limits += [f"the container allows {m.quota_cores:g}"] if m.quota_cores else []
    text += f" ({', '.join(limits)})" if limits else ""
    text += f"; a voice takes {m.usable_cores} threads unless told otherwise (--threads)"
    return Finding("ok", "cores", text)


def openvino_finding(m: Machine) -> Finding:
    """Says whether OpenVINO is there, and what it may gain beside the C kernels, which make the sound of the others."""
    version, reduced = installed_openvino(), [p for p in precisions(m) if p != "f32"]
    if version is not None:
        text = f"{version}, in {' and '.join(precisions(m))}; 'sovits-export tune BUNDLE' finds out what it gains"
        return Finding("ok", "openvino", text)
    gain = f"in {' or '.join(reduced)} or FP32" if reduced else "in FP32"
    text = f"not installed; it may run flow matching (v3 to v5) faster {gain}, which 'sovits-export tune' measures"
    return Finding("info", "openvino", text, INSTALL)
