"""A finding of the doctor: one thing that was checked, and the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "info", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        level: "error": speaking is impossible until it is fixed; "warning": something will be slow or refused.
        topic: A word or two.
        text: What was found.
        remedy: What to do, where something can be done; a command where one fixes it.
    """

    level: Level
    topic: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class GpuSummary:
    """What was found about GPUs.

    Attributes:
        cuda_ready: Whether driver, CUDA libraries and ONNX Runtime fit together.
        reason: Why, or why not.
        findings: Driver, devices, libraries.
        memory_bytes: Of the first device, which is the one that is used; 0 when there is none.
    """

    cuda_ready: bool = False
    reason: str = "no GPU was looked for"
    findings: tuple[Finding, ...] = ()
    memory_bytes: int = 0
