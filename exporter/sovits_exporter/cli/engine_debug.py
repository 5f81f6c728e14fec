"""`sovits-export engine debug`: the first layer that a GPU, or FP16, gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovits_exporter.cli.options import AS_JSON, BUNDLE, NEW_PATH, PATH, SHARED, takes
from sovits_exporter.cli.output import print_json, progress_line
from sovits_runtime.errors import VerificationError, printable

if TYPE_CHECKING:
    from sovits_exporter.debugging.engine_side import Bench
    from sovits_exporter.debugging.find import Finding
    from sovits_runtime.bundle import Bundle

BEFORE, AFTER = 3, 6
"""Layers that are shown before and after the first wrong one."""


@dataclass(frozen=True, kw_only=True)
class DebugCommand:
    """What to look at, and how; the attributes are the options."""

    bundle: Path
    graph: str | None
    shared: Path | None
    fp32: Path | None
    rounded: bool
    flavour: str | None
    limit: float
    output: Path | None
    report: Path | None
    as_json: bool


@click.command()
@BUNDLE
@click.argument("graph", required=False)
@SHARED
@click.option(
    "--fp32",
    type=PATH,
    help="The FP32 bundle that BUNDLE was made of [the one beside it, known by its digest].",
)
@click.option(
    "--rounded",
    is_flag=True,
    help="Compare FP32 with every FP16 result rounded, on the CPU, even where a GPU is here.",
)
@click.option(
    "--flavour",
    type=click.Choice(["rtx", "trt"]),
    help="With a GPU: TensorRT for RTX, or TensorRT [what 'engine build' takes].",
)
@click.option(
    "--limit",
    type=click.FloatRange(min=0, min_open=True),
    default=0.05,
    show_default=True,
    help="What a layer may differ by, as a fraction of its full scale.",
)
@click.option(
    "--keep",
    "output",
    type=NEW_PATH,
    help="Search which parts to keep in FP32, and write them to this file, for 'convert --keep'.",
)
@click.option("--report", type=PATH, help="HTML page to write, with every layer.")
@AS_JSON
@takes(DebugCommand)
def debug(options: DebugCommand) -> None:
    """Name the first layer of GRAPH, or of every graph of BUNDLE, that is wrong.

    With a GPU, ONNX Runtime is compared with an engine that is built for this, layer by layer. Without one, FP32 is
    compared with FP16 as it is rounded. Needs the extra 'debug'. Exit code 3 where a layer differs by more than its
    limit.
    """
    from sovits_exporter.debugging.case import fp32_source
    from sovits_exporter.debugging.debug import DebugOptions, debug_bundle
    from sovits_exporter.debugging.layers import import_polygraphy
    from sovits_exporter.debugging.page import write_debug_page
    from sovits_runtime.bundle import Bundle

    import_polygraphy()
    bundle = Bundle.open(options.bundle, shared=options.shared)
    given = None if options.fp32 is None else Bundle.open(options.fp32, shared=options.shared)
    source, bench = fp32_source(bundle, given), _bench(options)
    how = DebugOptions(bench=bench, limit=options.limit, search=options.output is not None)
    findings: list[Finding] = []
    with progress_line() as progress:
        for finding in debug_bundle(
            bundle, source, [options.graph] if options.graph else [], options=how, progress=progress
        ):
            findings.append(finding)
    if options.as_json:
        print_json([f.to_json() for f in findings])
    else:
        for finding in findings:
            _show(finding)
    if options.report is not None:
        write_debug_page(options.report, bundle, findings)
        click.echo(f"report: {options.report}", err=options.as_json)
    if options.output is not None:
        _keep(options.output, source, findings, quiet=options.as_json)
    wrong = [f for f in findings if f.first is not None]
    if wrong:
        raise VerificationError(wrong[0].verdict())


def _bench(options: DebugCommand) -> Bench | None:
    """The GPU that is here; None, and a line that says so, where FP16 is rounded instead."""
    from sovits_engines.cuda.driver import probe_driver_apart
    from sovits_exporter.debugging.engine_side import Bench

    if options.rounded:
        return None
    driver = probe_driver_apart()
    if driver.gpus:
        return Bench.open(options.flavour)
    if options.flavour is not None:
        raise click.UsageError(
            f"--flavour goes with a GPU, and there is none ({driver.problem or 'the driver sees none'})"
        )
    click.echo(
        f"no GPU ({driver.problem or 'the driver sees none'}): FP32 is compared with FP16 as it is rounded",
        err=True,
    )
    return None


def _show(finding: Finding) -> None:
    """A verdict, and the layers around the first wrong one."""
    wrong = finding.first
    click.echo(click.style(printable(finding.verdict()), fg="red" if wrong else None))
    if finding.note:
        click.echo(f"  {finding.note}")
    if wrong is not None and wrong in finding.layers:
        at = finding.layers.index(wrong)
        for difference in finding.layers[max(at - BEFORE, 0) : at + AFTER]:
            mark = ">" if difference is wrong else " "
            words = f"{difference.error:<9.2g} {'' if difference.passed else 'beyond':<6}"
            ends = [f"{a:.4g} to {b:.4g}" for a, b in (difference.expected, difference.got)]
            click.echo(f" {mark} {words} {ends[0]:<24} {ends[1]:<24} {printable(difference.layer.title)}")
    if wrong is not None and wrong.spread:
        click.echo(f"  {wrong.spread}")
    if finding.choice is not None:
        click.echo(f"  {printable(finding.choice.verdict(finding.graph))}")


def _keep(path: Path, source: Bundle, findings: Sequence[Finding], *, quiet: bool) -> None:
    """Writes what to keep in FP32, where that is the remedy for anything."""
    from sovits_calibration.fp32_nodes import Fp32Node
    from sovits_exporter.precision.keep import KEPT, write_keep

    chosen = {f.graph: f.choice for f in findings if f.choice is not None and f.choice.nodes}
    if not chosen:
        click.echo(f"{path}: not written, since no more parts in FP32 would help", err=quiet)
        return
    kept = {
        graph: [Fp32Node(node, op, KEPT) for node, op in zip(choice.nodes, choice.ops, strict=True)]
        for graph, choice in chosen.items()
    }
    write_keep(path, source, kept)
    count = sum(len(nodes) for nodes in kept.values())
    click.echo(
        f"{path}: {count} parts; sovits-export convert {source.path} --fp16 --keep {path} -o NEW", err=quiet
    )
