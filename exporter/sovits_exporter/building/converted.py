"""Checkpoints in, a bundle of another precision out: an FP32 build beside the target, then its conversion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from sovits_exporter.building.build import BuildReport, BuildRequest, Progress, build
from sovits_exporter.building.staging import check_output, staging
from sovits_runtime.bundle import Bundle

Report = TypeVar("Report")


def build_converted(
    request: BuildRequest, convert: Callable[[Bundle], Report], *, progress: Progress = lambda *_: None
) -> tuple[BuildReport, Report]:
    """Builds in FP32, checks that against PyTorch, and converts it; only the converted bundle stays.

    Args:
        request: What to build.
        convert: Makes the bundle at `request.output` from the FP32 one, and reports.
        progress: As in `build`.

    Raises:
        CheckpointError: A checkpoint or model folder cannot be used.
        VerificationError: The FP32 build is off by more than its limit; nothing is written.
        BundleError: The output exists and is not a bundle.
        SovitsError: What `convert` raises.
    """
    check_output(request.output)
    shared = request.shared or request.output.parent / "shared"
    with staging(request.output.with_name(f"{request.output.name}-fp32")) as folder:
        full = dataclasses.replace(request, output=folder / "voice", shared=shared, share_base=False)
        report = build(full, progress)
        return report, convert(Bundle.open(report.path, shared=shared))
