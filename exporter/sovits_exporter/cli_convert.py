"""`sovits-export convert`: an FP32 bundle to mixed precision, without torch."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sovits_exporter.cli_output import print_json, progress_line, show_check

if TYPE_CHECKING:
    from sovits_calibration.islands import Island


WAV = click.option(
    "--wav",
    "recordings",
    type=click.Path(path_type=Path),
    multiple=True,
    help="With --fp16: a recording of 3 to 10 s for calibration to read, beside the built-in one.",
)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Bundle folder to write."
)
@click.option(
    "--fp16", "precision", flag_value="fp16", required=True, help="FP16, with FP32 where it must be."
)
@click.option(
    "--shared",
    type=click.Path(path_type=Path),
    help="Folder of the parts that voices share, of both bundles.",
)
@WAV
@click.option(
    "--verify/--no-verify", default=True, show_default=True, help="Check the whole before it counts."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def convert(
    bundle: Path,
    output: Path,
    precision: str,
    shared: Path | None,
    recordings: tuple[Path, ...],
    verify: bool,
    as_json: bool,
) -> None:
    """Convert the FP32 BUNDLE to mixed precision: most of it FP16, FP32 where the numbers need it. Needs no PyTorch."""
    from sovits_exporter.convert import ConvertRequest
    from sovits_exporter.convert import convert as run
    from sovits_runtime.bundle import Bundle

    source = Bundle.open(bundle, shared=shared)
    with progress_line() as progress:
        report = run(ConvertRequest(source, output, shared, recordings, verify), progress)
    if as_json:
        verification = report.verification.to_json() if report.verification else None
        islands = islands_json(report.islands)
        print_json({"bundle": str(report.path), "islands": islands, "verification": verification})
        return
    show_islands(report.cosines, report.islands)
    if report.verification:
        click.echo("verification of the whole:")
        for check in report.verification.checks:
            show_check(check)
    click.echo(f"{report.path}: ready after {report.seconds:.0f} s")


def show_islands(cosines: Mapping[str, float], islands: Mapping[str, Sequence[Island]]) -> None:
    """Prints how close each graph is to FP32, how many of its operators stay FP32, and why."""
    click.echo(f"{'graph':<18} {'cosine':>9} {'in FP32':>8}   reasons")
    for name, found in islands.items():
        reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(i.reason for i in found).most_common())
        click.echo(f"{name:<18} {cosines[name]:>9.7f} {len(found):>8}   {reasons}")


def islands_json(islands: Mapping[str, Sequence[Island]]) -> dict[str, list[dict[str, Any]]]:
    """Returns what stays FP32 as JSON values."""
    return {name: [dataclasses.asdict(i) for i in found] for name, found in islands.items()}
