"""`sovits-export tune`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovits_exporter.cli.options import AS_JSON, BUNDLE, SHARED, THREADS, takes
from sovits_exporter.cli.output import print_json, progress_line, show_result

if TYPE_CHECKING:
    from sovits_runtime.tuning import TuneReport


@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """What to tune, and how far; the attributes are the options."""

    bundle: Path
    shared: Path | None
    threads: int | None
    exact: bool
    remove: bool
    as_json: bool


@click.command()
@BUNDLE
@SHARED
@THREADS
@click.option(
    "--exact",
    is_flag=True,
    help="Use only what equals FP32 up to rounding, not what a conversion to int8 may.",
)
@click.option("--remove", is_flag=True, help="Delete all plans of the bundle, for whatever machine, instead.")
@AS_JSON
@takes(TuneOptions)
def tune(options: TuneOptions) -> None:
    """Find out what runs each graph of BUNDLE best on this machine, and keep it as a plan.

    Times ONNX Runtime, OpenVINO where it is installed, and the C kernels on the voice's own recorded request. Keeps
    what stays within the limits of 'convert --int8', verifies the whole, and prepacks as 'prepack' does. From then on
    the voice is loaded that way here; other machines ignore the plan. For the CPU only.
    """
    from sovits_runtime.backends.plan import remove_plans
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.tuning import tune_bundle

    bundle = Bundle.open(options.bundle, shared=options.shared)
    if options.remove:
        click.echo(f"{remove_plans(bundle)} plans removed")
        return
    with progress_line() as progress:
        report = tune_bundle(bundle, exact=options.exact, threads=options.threads, progress=progress)
    if options.as_json:
        print_json(report.to_json())
    else:
        _print(report)


def _print(report: TuneReport) -> None:
    from sovits_runtime.doctor.inspect_plans import chunk_line, table_lines

    plan = report.plan
    engines = {kind: dict(choice.engines) for kind, choice in plan.choices.items()}
    click.echo("\n".join(table_lines([row.to_json() for row in report.rows], engines)))
    for graph in report.dropped:
        click.echo(f"{graph} went back to an exact engine: the whole was too far from FP32 with it")
    click.echo(chunk_line(plan.choices[plan.active].chunks))
    show_result(report.verification)
    click.echo(f"{plan.folder}: {plan.active!r} is active, {plan.threads} threads, {report.seconds:.0f} s")
