"""`sovits-export bench`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovits_exporter.cli.options import (
    AS_JSON,
    BACKEND,
    BUNDLE,
    DEVICE,
    GPT_STEPS,
    PATH,
    PLAN,
    SHARED,
    THREADS,
    VOCODER_ENGINE,
    takes,
)
from sovits_exporter.cli.output import print_json, progress_line
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.t2s.generator import MAX_NEW_TOKENS

if TYPE_CHECKING:
    from sovits_runtime.bench.compare import CompareResult
    from sovits_runtime.bench.result import BenchResult
    from sovits_runtime.bench.runner import Runner


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What to time, where, and against what; the attributes are the options."""

    bundle: Path
    shared: Path | None
    load: LoadOptions
    repeats: int
    tokens: int
    compare: str | None
    place: str | None
    hubert: Path | None
    base: Path | None
    report: Path | None
    concurrent: str | None
    as_json: bool


@click.command()
@BUNDLE
@SHARED
@DEVICE
@BACKEND
@THREADS
@GPT_STEPS
@VOCODER_ENGINE
@PLAN
@click.option(
    "--repeats", type=click.IntRange(1, 10_000), default=5, show_default=True, help="Runs of every stage."
)
@click.option(
    "--tokens",
    type=click.IntRange(4, MAX_NEW_TOKENS),
    default=150,
    show_default=True,
    help="Length; 25 are 1 s.",
)
@click.option(
    "--compare",
    metavar="PLAN,PLAN",
    help="Time several plans in turn, such as none,exact,tuned; see --plan. On the CPU only.",
)
@click.option(
    "--against-eager",
    "place",
    metavar="FOLDER|GPT,SOVITS",
    help="Also time eager PyTorch on these checkpoints, in turn with the bundle; on the CPU only.",
)
@click.option("--hubert", type=PATH, help="chinese-hubert-base, for --against-eager [a folder beside them].")
@click.option("--base", type=PATH, help="For --against-eager: the SoVITS file that a LoRA was trained on.")
@click.option("--report", type=PATH, help="Folder for bench.html with a chart, bench.svg and bench.json.")
@click.option(
    "--concurrent",
    metavar="N,N,...",
    help="So many listeners at once instead, for example 1,2,4,8,16: speech a second, first sound, gaps, memory.",
)
@AS_JSON
@takes(BenchOptions)
def bench(options: BenchOptions) -> None:
    """Time every stage of BUNDLE: latencies, tokens per second, memory; beside eager PyTorch if wanted.

    The utterance has a fixed length: 40 + 60 phones, 125 prompt tokens, 150 new tokens (6 s of speech).
    """
    if options.concurrent is not None:
        _concurrent(options, _counts(options))
        return
    from sovits_runtime.bench import bench as run
    from sovits_runtime.bench.compare import compare_plans
    from sovits_runtime.bench.report import write_bench_report
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.machine import read_machine

    load = options.load
    if options.place is not None and load.device != "cpu":
        raise click.UsageError(
            f"--against-eager runs PyTorch on the CPU, which says nothing beside --device {load.device}; 'python "
            "benchmarks/gpu/report.py BUNDLE --checkpoints FOLDER' compares both on the GPU"
        )
    if options.compare is not None and (load.device != "cpu" or options.report is not None):
        raise click.UsageError(
            "--compare runs on --device cpu, and has no --report; --json has all that it measured"
        )
    bundle = Bundle.open(options.bundle, shared=options.shared)
    threads = load.threads or read_machine().usable_cores
    with progress_line() as progress:
        baseline: Runner | None = None
        if options.place is not None:
            progress("load PyTorch", 0, 1)
            baseline = _eager(options, options.place, version=bundle.spec.version, threads=threads)
        if options.compare is not None:
            compared = compare_plans(
                bundle,
                options.compare.split(","),
                threads=threads,
                tokens=options.tokens,
                repeats=options.repeats,
                baseline=baseline,
                progress=progress,
            )
            _show_compared(compared, options.as_json)
            return
        result = run(
            bundle,
            device=load.device,
            backend=load.backend,
            threads=threads,
            gpt_steps=load.gpt_steps,
            vocoder_engine=load.vocoder_engine,
            plan=load.plan,
            tokens=options.tokens,
            repeats=options.repeats,
            baseline=baseline,
            progress=progress,
        )
    if options.report is not None:
        click.echo(f"report: {write_bench_report(result, options.report)}", err=options.as_json)
    if options.as_json:
        print_json(result.to_json())
    else:
        click.echo("\n".join(_lines(result)))


def _show_compared(result: CompareResult, as_json: bool) -> None:
    from sovits_runtime.bench.compare import compare_lines

    if as_json:
        print_json(result.to_json())
    else:
        click.echo("\n".join(compare_lines(result)))


def _counts(options: BenchOptions) -> list[int]:
    if options.place is not None:
        raise click.UsageError("--concurrent times one engine; leave --against-eager out")
    counts = [word.strip() for word in str(options.concurrent).split(",")]
    if not all(word.isdecimal() and int(word) for word in counts):
        raise click.BadParameter(
            f"got {options.concurrent!r}, expected numbers of listeners, such as 1,2,4,8,16",
            param_hint="'--concurrent'",
        )
    return [int(word) for word in counts]


def _concurrent(options: BenchOptions, counts: list[int]) -> None:
    from sovits_runtime.bench.concurrent import bench_concurrent
    from sovits_runtime.bench.concurrent_report import concurrent_lines, write_concurrent_report
    from sovits_runtime.bundle import Bundle

    bundle = Bundle.open(options.bundle, shared=options.shared)
    with progress_line() as progress:
        result = bench_concurrent(
            bundle,
            counts,
            load=options.load,
            tokens=options.tokens,
            repeats=options.repeats,
            progress=progress,
        )
    if options.report is not None:
        click.echo(f"report: {write_concurrent_report(result, options.report)}", err=options.as_json)
    if options.as_json:
        print_json(result.to_json())
    else:
        click.echo("\n".join(concurrent_lines(result)))


def _eager(options: BenchOptions, place: str, *, version: str, threads: int) -> Runner:
    from sovits_exporter.building.pretrained_tree import HUBERT
    from sovits_exporter.eager.baseline import EagerBaseline, find_pair

    gpt, sovits = find_pair(place, base=options.base)
    return EagerBaseline(
        gpt,
        sovits,
        hubert=options.hubert or HUBERT.find(gpt.parent),
        base=options.base,
        version=version,
        threads=threads,
    )


def _lines(result: BenchResult) -> list[str]:
    """Describes the result for a terminal."""
    c = result.conditions
    lines = [
        f"{c['bundle']}: {result.audio_s:g} s of speech, {c['threads']} threads on {c['machine']['cpu']}",
        f"{'stage (ms)':<16} {'p50':>9} {'p95':>9} {'p99':>9} {'warm-up':>9}",
    ]
    if result.baseline:
        lines[-1] += f" | {result.baseline:>14} {'ratio':>7}"
    for s in result.stages:
        figures = [s.ours.p50, s.ours.percentile(95), s.ours.percentile(99)]
        cells = [f"{1000 * x:>9.2f}" for x in figures]
        warmup = f"{1000 * s.ours.warmup_s:>9.2f}" if s.ours.warmup_s is not None else f"{'-':>9}"
        line = f"{s.name:<16} {' '.join(cells)} {warmup}"
        if s.baseline and s.ratio:
            line += f" | {1000 * s.baseline.p50:>14.2f} {s.ratio:>6.2f}x"
        lines.append(line)
    for i, name in enumerate(result.runners):
        gpt, peak = result.gpt[i], result.peak_bytes(i)
        bandwidth = f", {gpt.gb_per_s:.1f} GB/s" if gpt.gb_per_s else ""
        memory = f", peak memory {peak / 1e6:.0f} MB" if peak else ""
        lines.append(f"{name}: RTF {result.rtf(i):.3f}, {gpt.tokens_per_s:.1f} tokens/s{bandwidth}{memory}")
    return [*lines, result.agreement] if result.agreement else lines
