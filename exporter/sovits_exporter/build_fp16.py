"""Checkpoints in, mixed-precision bundle out: an FP32 build beside the target, then its conversion."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from sovits_exporter.build import BuildReport, BuildRequest, Progress, build
from sovits_exporter.convert import ConvertReport, ConvertRequest, convert
from sovits_exporter.staging import check_output, staging
from sovits_runtime.bundle import Bundle


def build_fp16(
    request: BuildRequest, recordings: Sequence[Path] = (), *, progress: Progress = lambda *_: None
) -> tuple[BuildReport, ConvertReport]:
    """Builds in FP32, checks that against PyTorch, and converts it; only the converted bundle stays.

    Args:
        request: What to build.
        recordings: Audio files of 3 to 10 s that calibration reads beside the built-in one.
        progress: As in `build`.

    Raises:
        CheckpointError: A checkpoint or model folder cannot be used.
        AudioError: A recording cannot be read or has the wrong length.
        VerificationError: The FP32 build or the conversion is off by more than its limit; nothing is written.
        BundleError: The output exists and is not a bundle.
    """
    check_output(request.output)
    shared = request.shared or request.output.parent / "shared"
    with staging(request.output.with_name(f"{request.output.name}-fp32")) as folder:
        full = dataclasses.replace(request, output=folder / "voice", shared=shared, share_base=False)
        report = build(full, progress)
        source = Bundle.open(report.path, shared=shared)
        converted = convert(
            ConvertRequest(source, request.output, shared, tuple(recordings), request.verify), progress
        )
    return report, converted
