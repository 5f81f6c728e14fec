"""Finds out what works on this machine, what is missing, and which command fixes it.

The GPU is examined by `sovits_engines.cuda.driver`, which this package may not import: its summary is an argument.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sovits_runtime.backends.processor import processor_features
from sovits_runtime.doctor.cpu import machine_findings, native_finding, openvino_finding
from sovits_runtime.doctor.environment import Environment
from sovits_runtime.doctor.fetched import fetched_finding
from sovits_runtime.doctor.finding import Finding, GpuSummary
from sovits_runtime.doctor.libraries import (
    backend_findings,
    export_findings,
    language_findings,
    library_findings,
    telemetry_finding,
)
from sovits_runtime.doctor.text import text_data_findings
from sovits_runtime.doctor.voice import bundle_findings
from sovits_runtime.machine import Machine


@dataclass(frozen=True)
class Diagnosis:
    """All findings, and what follows from them.

    Attributes:
        findings: In the order they were made.
        can_speak: Whether a bundle can speak here.
        can_export: Whether checkpoints can be built into bundles here.
        device: Device that the doctor would choose.
        threads: Threads that the doctor would choose.
        reason: Why this device and these threads.
    """

    findings: tuple[Finding, ...]
    can_speak: bool
    can_export: bool
    device: str
    threads: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Returns the machine-readable form."""
        return {**asdict(self), "findings": [asdict(f) for f in self.findings]}


def diagnose(
    *,
    environment: Environment | None = None,
    gpu: GpuSummary | None = None,
    bundle: Path | None = None,
    shared: Path | None = None,
) -> Diagnosis:
    """Examines this machine, and a bundle on it.

    Args:
        environment: Where to look; None: here.
        gpu: What was found about GPUs.
        bundle: A bundle that should open here.
        shared: Folder of shared parts, when not beside the bundle.
    """
    environment, gpu = environment or Environment(), gpu or GpuSummary()
    processor = processor_features(environment.machine)
    machine, base = machine_findings(processor), library_findings(environment)
    backend, export = backend_findings(environment), export_findings(environment)
    # An error of the machine or of a library of the base install stops everything; one of a backend, only that.
    can_speak = not any(f.level == "error" for f in (*machine, *base, *backend))
    opened = (
        bundle_findings(bundle, shared, gpu_bytes=gpu.memory_bytes)
        if bundle is not None and can_speak
        else ()
    )
    fetched = (fetched_finding(),) if not any(f.level == "warning" for f in export) else ()
    text = (*language_findings(environment), *text_data_findings())
    quiet = telemetry_finding()
    engines = (native_finding(), openvino_finding(processor))
    findings = (
        *machine,
        *base,
        *backend,
        quiet,
        *engines,
        *gpu.findings,
        *export,
        *fetched,
        *text,
        *opened,
    )
    device = "cuda" if gpu.cuda_ready and can_speak else "cpu"
    threads = environment.machine.usable_cores
    return Diagnosis(
        findings=findings,
        can_speak=can_speak and not any(f.level == "error" for f in opened),
        can_export=can_speak and not any(f.level == "warning" for f in export),
        device=device,
        threads=threads,
        reason=f"{device}: {gpu.reason}; {_threads_reason(environment.machine)}",
    )


def _threads_reason(m: Machine) -> str:
    if m.quota_cores and m.usable_cores < (m.physical_cores or m.allowed_cores):
        return f"{m.usable_cores} threads: the container's limit"
    return f"{m.usable_cores} threads: the {'physical' if m.physical_cores else 'allowed'} cores"
