"""`sovits-export engine`: build, refit, list, prune."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sovits_exporter.cli.options import SHARED
from sovits_exporter.cli.output import print_json, progress_line, show_check

if TYPE_CHECKING:
    from sovits_engines.build import EngineResult
    from sovits_runtime.bundle import Bundle

logger = logging.getLogger(__name__)

_PATH = click.Path(path_type=Path)
_BUNDLE = click.argument("bundle", type=_PATH)
_FLAVOUR = click.option(
    "--flavour",
    type=click.Choice(["rtx", "trt"]),
    help="TensorRT for RTX, or TensorRT [rtx for the cards of its list, where it is installed].",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


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


@click.group()
def engine() -> None:
    """TensorRT engines of a bundle, one a graph and GPU."""


@engine.command()
@_BUNDLE
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
    "--refittable", is_flag=True, help="Engines that 'engine refit' can put other voices' weights into."
)
@click.option(
    "--strict", is_flag=True, help="Fail where an engine is damaged or stale, rather than build it anew."
)
@_JSON
def build(
    bundle: Path,
    shared: Path | None,
    targets: tuple[str, ...],
    flavour: str | None,
    graphs: tuple[str, ...],
    cache_sizes: tuple[int, ...],
    refittable: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Build the engines that BUNDLE lacks. Those that are there and fit are kept."""
    from sovits_runtime.bundle import Bundle

    opened = Bundle.open(bundle, shared=shared)
    results = run_build(
        opened,
        targets,
        flavour=flavour,
        graphs=graphs,
        cache_sizes=cache_sizes,
        refittable=refittable,
        strict=strict,
    )
    if as_json:
        print_json([result_json(r) for r in results])
    else:
        show_results(results)


def run_build(
    bundle: Bundle,
    targets: Sequence[str],
    *,
    flavour: str | None = None,
    graphs: tuple[str, ...] = (),
    cache_sizes: tuple[int, ...] = (),
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
    wanted = build_targets(targets, flavour=flavour)
    with progress_line() as progress:
        return build_engines(
            bundle,
            wanted,
            graphs=graphs,
            cache_sizes=cache_sizes or CACHE_LENGTHS,
            refittable=refittable,
            strict=strict,
            progress=progress,
        )


def show_results(results: Sequence[EngineResult]) -> None:
    """Prints what became of each engine."""
    for r in results:
        what = f"built in {r.seconds:.1f} s" if r.built else "found"
        why = f" ({r.reason})" if r.reason else ""
        click.echo(f"{_title(r.record.to_json())}  {what}{why}")
    total = sum(r.record.bytes for r in results)
    built = sum(r.built for r in results)
    seconds = sum(r.seconds for r in results)
    click.echo(f"{len(results)} engines, {total / 1e6:.0f} MB; {built} built in {seconds:.1f} s")


def result_json(result: EngineResult) -> dict[str, Any]:
    """One engine for machines."""
    return {
        **result.record.to_json(),
        "plan": str(result.record.plan),
        "found": not result.built,
        "seconds": result.seconds,
        "reason": result.reason,
    }


@engine.command()
@click.argument("bundles", metavar="BUNDLE...", nargs=-1, required=True, type=_PATH)
@click.option(
    "--from",
    "source",
    type=_PATH,
    required=True,
    help="A voice of the same architecture with engines of 'engine build --refittable' for the GPU here.",
)
@SHARED
@_FLAVOUR
@_JSON
def refit(
    bundles: tuple[Path, ...], source: Path, shared: Path | None, flavour: str | None, as_json: bool
) -> None:
    """Make engines of each BUNDLE from those of another voice, without a build.

    Each voice is loaded from its new engines and verified on its own golden values before they count.
    """
    from sovits_engines.refit_voice import refit_voice
    from sovits_engines.targets import build_targets
    from sovits_runtime.bundle import Bundle

    target = build_targets((), flavour=flavour)[0]
    opened, voices = Bundle.open(source, shared=shared), [Bundle.open(b, shared=shared) for b in bundles]
    told = []
    for voice in voices:
        with progress_line() as progress:
            report = refit_voice(voice, opened, target, progress=progress)
        checks = report.verification.checks if report.verification else ()
        told.append(
            {
                "bundle": str(voice.path),
                "seconds": report.seconds,
                "engines": [result_json(r) for r in report.engines],
                "verification": report.verification.to_json() if report.verification else None,
            }
        )
        if not as_json:
            for check in checks:
                show_check(check)
            show_results(report.engines)
            state = "verified on its own golden values" if checks else "its engines were there"
            click.echo(f"{voice.path}: {state}, {report.seconds:.1f} s")
    if as_json:
        print_json(told)


@engine.command("list")
@_BUNDLE
@SHARED
@_JSON
def list_(bundle: Path, shared: Path | None, as_json: bool) -> None:
    """List the engines of BUNDLE, and what is wrong with them."""
    from sovits_engines.build import list_engines
    from sovits_runtime.bundle import Bundle

    found = list_engines(Bundle.open(bundle, shared=shared))
    if as_json:
        print_json(
            [
                {**(record.to_json() if record else {}), "record": str(path), "problem": problem}
                for path, record, problem in found
            ]
        )
        return
    for path, record, problem in found:
        mark = click.style(problem, fg="red") if problem else click.style("ok", fg="green")
        click.echo(f"{_title(record.to_json()) if record else path}  {mark}")
    if not found:
        click.echo(f"{bundle}: no engines; sovits-export engine build {bundle}")


@engine.command()
@_BUNDLE
@SHARED
@click.option("--all", "every", is_flag=True, help="Remove every engine.")
@_JSON
def prune(bundle: Path, shared: Path | None, every: bool, as_json: bool) -> None:
    """Remove engines of BUNDLE that are damaged, or were made of graphs as they no longer are."""
    from sovits_engines.build import prune_engines
    from sovits_runtime.bundle import Bundle

    removed = prune_engines(Bundle.open(bundle, shared=shared), every=every)
    if as_json:
        print_json([str(path) for path in removed])
        return
    for path in removed:
        click.echo(f"removed {path}")
    click.echo(f"{len(removed)} files removed")


def _title(record: dict[str, Any]) -> str:
    made = record["ingredients"]
    target = f"{made['capability']} {made['flavour']} {made['version']}"
    return f"{record['name']:<18} {target:<20} {record['bytes'] / 1e6:>8.1f} MB"
