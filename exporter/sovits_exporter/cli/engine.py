"""`sovits-export engine`: build, refit, list, prune; `debug` is in `engine_debug.py`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovits_exporter.cli.engine_debug import debug
from sovits_exporter.cli.options import AS_JSON, BUNDLE, PATH, SHARED, takes
from sovits_exporter.cli.output import (
    engine_json,
    engine_title,
    print_json,
    progress_line,
    show_check,
    show_engines,
)
from sovits_runtime.errors import printable

if TYPE_CHECKING:
    from sovits_engines.build import EngineResult
    from sovits_runtime.bundle import Bundle

logger = logging.getLogger(__name__)

_FLAVOUR = click.option(
    "--flavour",
    type=click.Choice(["rtx", "trt"]),
    help="TensorRT for RTX, or TensorRT [rtx for the cards of its list, where it is installed].",
)


def _target_names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Splits names of targets and checks them."""
    from sovits_engines.targets import parse_target
    from sovits_runtime.errors import BackendError

    names = tuple(name.strip() for name in value.split(",")) if value else ()
    try:
        for name in names:
            parse_target(name)
    except BackendError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    return names


TARGET = click.option(
    "--target",
    "targets",
    metavar="SM,...",
    callback=_target_names,
    help="GPUs to build for, such as sm75,sm86,sm89,sm120; they need not be here.",
)


@dataclass(frozen=True, kw_only=True)
class EngineBuildOptions:
    """Which engines to build; the attributes are the options."""

    bundle: Path
    shared: Path | None
    targets: tuple[str, ...]
    flavour: str | None
    graphs: tuple[str, ...]
    cache_sizes: tuple[int, ...]
    rows: bool
    refittable: bool
    strict: bool
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class RefitOptions:
    """Which voices get engines of which voice; the attributes are the options."""

    bundles: tuple[Path, ...]
    source: Path
    shared: Path | None
    flavour: str | None
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """Whose engines to list; the attributes are the options."""

    bundle: Path
    shared: Path | None
    as_json: bool


@dataclass(frozen=True, kw_only=True)
class PruneOptions:
    """Which engines to remove; the attributes are the options."""

    bundle: Path
    shared: Path | None
    every: bool
    as_json: bool


@click.group()
def engine() -> None:
    """TensorRT engines of a bundle, one a graph and GPU."""


engine.add_command(debug)


@engine.command()
@BUNDLE
@SHARED
@TARGET
@_FLAVOUR
@click.option("--graph", "graphs", multiple=True, help="Build this graph only; may be repeated [all].")
@click.option(
    "--cache-size",
    "cache_sizes",
    type=click.IntRange(16),
    multiple=True,
    help="Rows of the decode step's cache; may be repeated [512, 1024, 2048].",
)
@click.option(
    "--rows", is_flag=True, help="Also steps for 1 to 32 sentences together, which servers and engines use."
)
@click.option(
    "--refittable", is_flag=True, help="Engines that 'engine refit' can put other voices' weights into."
)
@click.option(
    "--strict", is_flag=True, help="Fail where an engine is damaged or stale, rather than build it anew."
)
@AS_JSON
@takes(EngineBuildOptions)
def build(options: EngineBuildOptions) -> None:
    """Build the engines that BUNDLE lacks. Those that are there and fit are kept."""
    from sovits_runtime.bundle import Bundle

    results = run_build(
        Bundle.open(options.bundle, shared=options.shared),
        options.targets,
        flavour=options.flavour,
        graphs=options.graphs,
        cache_sizes=options.cache_sizes,
        rows=options.rows,
        refittable=options.refittable,
        strict=options.strict,
    )
    if options.as_json:
        print_json([engine_json(r) for r in results])
    else:
        show_engines(results)


def run_build(
    bundle: Bundle,
    targets: Sequence[str],
    *,
    flavour: str | None = None,
    graphs: tuple[str, ...] = (),
    cache_sizes: tuple[int, ...] = (),
    rows: bool = False,
    refittable: bool = False,
    strict: bool = False,
) -> list[EngineResult]:
    """Builds with a progress line."""
    from sovits_engines.build import build_engines
    from sovits_engines.targets import build_targets
    from sovits_runtime.machine.cuda_packages import installed_mix
    from sovits_runtime.t2s.device_step import CACHE_LENGTHS

    if mix := installed_mix():
        logger.warning("%s", mix)
    build_for = build_targets(targets, flavour=flavour)
    with progress_line() as progress:
        return build_engines(
            bundle,
            build_for,
            graphs=graphs,
            cache_sizes=cache_sizes or CACHE_LENGTHS,
            rows=rows,
            refittable=refittable,
            strict=strict,
            progress=progress,
        )


@engine.command()
@click.argument("bundles", metavar="BUNDLE...", nargs=-1, required=True, type=PATH)
@click.option(
    "--from",
    "source",
    type=PATH,
    required=True,
    help="A voice of the same architecture with engines of 'engine build --refittable' for the GPU here.",
)
@SHARED
@_FLAVOUR
@AS_JSON
@takes(RefitOptions)
def refit(options: RefitOptions) -> None:
    """Make engines of each BUNDLE from those of another voice, without a build.

    Each voice is loaded from its new engines and verified on its own golden values before they count.
    """
    from sovits_engines.refit_voice import refit_voice
    from sovits_engines.targets import build_targets
    from sovits_runtime.bundle import Bundle

    target = build_targets((), flavour=options.flavour)[0]
    source = Bundle.open(options.source, shared=options.shared)
    voices = [Bundle.open(path, shared=options.shared) for path in options.bundles]
    reports = []
    for voice in voices:
        with progress_line() as progress:
            report = refit_voice(voice, source, target, progress=progress)
        reports.append(
            {
                "bundle": str(voice.path),
                "seconds": report.seconds,
                "engines": [engine_json(r) for r in report.engines],
                "verification": report.verification.to_json() if report.verification else None,
            }
        )
        if not options.as_json:
            checks = report.verification.checks if report.verification else ()
            for check in checks:
                show_check(check)
            show_engines(report.engines)
            state = "verified on its own golden values" if checks else "its engines were there"
            click.echo(f"{voice.path}: {state}, {report.seconds:.1f} s")
    if options.as_json:
        print_json(reports)


@engine.command("list")
@BUNDLE
@SHARED
@AS_JSON
@takes(ListOptions)
def list_(options: ListOptions) -> None:
    """List the engines of BUNDLE, and what is wrong with them."""
    from sovits_engines.build import list_engines
    from sovits_runtime.bundle import Bundle

    engines = list_engines(Bundle.open(options.bundle, shared=options.shared))
    if options.as_json:
        print_json(
            [
                {**(record.to_json() if record else {}), "record": str(path), "problem": problem}
                for path, record, problem in engines
            ]
        )
        return
    for path, record, problem in engines:
        mark = click.style(printable(problem), fg="red") if problem else click.style("ok", fg="green")
        click.echo(f"{engine_title(record.to_json()) if record else printable(str(path))}  {mark}")
    if not engines:
        click.echo(f"{options.bundle}: no engines; sovits-export engine build {options.bundle}")


@engine.command()
@BUNDLE
@SHARED
@click.option("--all", "every", is_flag=True, help="Remove every engine.")
@AS_JSON
@takes(PruneOptions)
def prune(options: PruneOptions) -> None:
    """Remove engines of BUNDLE that are damaged, or were made of graphs as they no longer are."""
    from sovits_engines.build import prune_engines
    from sovits_runtime.bundle import Bundle

    removed = prune_engines(Bundle.open(options.bundle, shared=options.shared), every=options.every)
    if options.as_json:
        print_json([str(path) for path in removed])
        return
    for path in removed:
        click.echo(f"removed {printable(str(path))}")
    click.echo(f"{len(removed)} files removed")
