"""`sovits-export convert`: an FP32 bundle to another precision, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from sovits_exporter.cli.options import AS_JSON, BUNDLE, BUNDLE_OUTPUT, PATH, VERIFY, takes
from sovits_exporter.cli.output import (
    conversion_json,
    print_json,
    progress_line,
    show_conversion,
    show_whole,
)
from sovits_exporter.cli.precision_options import PRECISION_OPTIONS, PrecisionOptions
from sovits_exporter.cli.sections import SectionedCommand, section


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """What to convert to what; the attributes are the options."""

    bundle: Path
    output: Path
    shared: Path | None
    precision: PrecisionOptions
    verify: bool
    as_json: bool


@click.command(cls=SectionedCommand)
@BUNDLE
@section(
    "Files",
    BUNDLE_OUTPUT,
    click.option("--shared", type=PATH, help="Folder of the parts that voices share, of both bundles."),
)
@section("Precision", *PRECISION_OPTIONS)
@VERIFY
@AS_JSON
@takes(ConvertOptions)
def convert(options: ConvertOptions) -> None:
    """Convert the FP32 BUNDLE to another precision: FP16 for GPUs, int8 or int4 parts for CPUs. Needs no PyTorch."""
    from sovits_runtime.bundle import Bundle

    options.precision.check()
    if options.precision.target == "fp32":
        raise click.UsageError("give --fp16, or --precision and what to convert to")
    source = Bundle.open(options.bundle, shared=options.shared)
    with progress_line() as progress:
        report = options.precision.convert(
            source, options.output, shared=options.shared, verify=options.verify, progress=progress
        )
    if options.as_json:
        verification = report.verification.to_json() if report.verification else None
        print_json(
            {"bundle": str(report.path), **conversion_json(report.manifest), "verification": verification}
        )
        return
    show_conversion(report.manifest)
    show_whole(report.verification)
    click.echo(f"{report.path}: ready after {report.seconds:.0f} s")
