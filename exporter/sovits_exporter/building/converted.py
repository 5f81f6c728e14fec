"""Checkpoints in, a bundle of another precision out: an FP32 build beside the target, then its conversion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from sovits_exporter.building.build import build
from sovits_exporter.building.report import BuildReport
from sovits_exporter.building.request import BuildRequest
from sovits_exporter.building.writer import check_output
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import temporary_folder
from sovits_runtime.machine.progress import Progress, no_progress


def build_converted(
    request: BuildRequest, convert: Callable[[Bundle], BuildReport], *, progress: Progress = no_progress
) -> BuildReport:
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
    check_output(request)
    shared = request.shared_folder
    with temporary_folder(request.output.with_name(f"{request.output.name}-fp32")) as folder:
        full = dataclasses.replace(request, output=folder / "voice", shared=shared, share_base=False)
        built = build(full, progress)
        converted = convert(Bundle.open(built.path, shared=shared))
    return dataclasses.replace(
        converted, checks=built.checks, left_out=built.left_out, seconds=built.seconds + converted.seconds
    )
