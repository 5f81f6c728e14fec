"""`sovits-export bench`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sovits_exporter.cli.options import AS_JSON, BACKEND, BUNDLE, DEVICE, NATIVE, PATH, SHARED, THREADS
from sovits_runtime.bench.result import BenchResult
from sovits_runtime.bench.runner import Party


@click.command()
@BUNDLE
@SHARED
@DEVICE
@BACKEND
@THREADS
@NATIVE
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Runs of every stage.")
@click.option("--tokens", type=click.IntRange(4), default=150, show_default=True, help="Length; 25 are 1 s.")
@click.option(
    "--against-eager",
    "place",
    metavar="FOLDER|GPT,SOVITS",
    help="Also time eager PyTorch on these checkpoints, in turn with the bundle; on the CPU only.",
)
@click.option("--hubert", type=PATH, help="chinese-hubert-base, for --against-eager [a folder beside them].")
@click.option("--base", type=PATH, help="For --against-eager: the SoVITS file that a LoRA was trained on.")
@click.option("--report", type=PATH, help="Folder for bench.html with a chart, bench.svg and bench.json.")
@AS_JSON
def bench(
    bundle: Path,
    shared: Path | None,
    device: str,
    backend: str,
    threads: int | None,
    native: bool | None,
    repeats: int,
    tokens: int,
    place: str | None,
    hubert: Path | None,
    base: Path | None,
    report: Path | None,
    as_json: bool,
) -> None:
    """Time every stage of BUNDLE: latencies, tokens per second, memory; beside eager PyTorch if wanted.

    The utterance has a fixed length: 40 + 60 phones, 125 prompt tokens, 150 new tokens (6 s of speech).
    """
    from sovits_runtime.bench import bench as run
    from sovits_runtime.bench.report import write_bench_report
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.drawing.page import json_text
    from sovits_runtime.machine import read_machine

    if place is not None and device != "cpu":
        raise click.UsageError(
            f"--against-eager runs PyTorch on the CPU, which says nothing beside --device {device}; 'python "
            "benchmarks/gpu/report.py BUNDLE --checkpoints FOLDER' compares both on the GPU"
        )
    opened = Bundle.open(bundle, shared=shared)
    threads = threads or read_machine().usable_cores
    rival: Party | None = None
    if place is not None:
        _progress("load PyTorch", 0, 1)
        rival = _rival(place, opened.spec.version, hubert=hubert, base=base, threads=threads)
    result = run(
        opened,
        device=device,
        backend=backend,
        threads=threads,
        native=native,
        tokens=tokens,
        repeats=repeats,
        rival=rival,
        progress=_progress,
    )
    _progress("", 0, 0)
    if report is not None:
        click.echo(f"report: {write_bench_report(result, report)}", err=as_json)
    click.echo(json_text(result.to_json()).rstrip() if as_json else "\n".join(_lines(result)))


def _rival(place: str, version: str, *, hubert: Path | None, base: Path | None, threads: int) -> Party:
    from sovits_exporter.eager.baseline import EagerRival, find_pair

    gpt, sovits = find_pair(place, base=base)
    beside = gpt.parent / "chinese-hubert-base"
    folder = hubert or (beside if beside.is_dir() else None)
    return EagerRival(gpt, sovits, hubert=folder, base=base, version=version, threads=threads)


def _lines(result: BenchResult) -> list[str]:
    """Describes the result for a terminal."""
    c = result.conditions
    lines = [
        f"{c['bundle']}: {result.audio_s:g} s of speech, {c['threads']} threads on {c['machine']['cpu']}",
        f"{'stage (ms)':<16} {'p50':>9} {'p95':>9} {'p99':>9} {'warm-up':>9}",
    ]
    if result.rival:
        lines[-1] += f" | {result.rival:>14} {'ratio':>7}"
    for s in result.stages:
        figures = [s.ours.p50, s.ours.percentile(95), s.ours.percentile(99)]
        cells = [f"{1000 * x:>9.2f}" for x in figures]
        warmup = f"{1000 * s.ours.warmup_s:>9.2f}" if s.ours.warmup_s is not None else f"{'-':>9}"
        line = f"{s.name:<16} {' '.join(cells)} {warmup}"
        if s.rival and s.ratio:
            line += f" | {1000 * s.rival.p50:>14.2f} {s.ratio:>6.2f}x"
        lines.append(line)
    for i, name in enumerate(result.parties):
        gpt, peak = result.gpt[i], result.peak_bytes(i)
        bandwidth = f", {gpt.gb_per_s:.1f} GB/s" if gpt.gb_per_s else ""
        memory = f", peak memory {peak / 1e6:.0f} MB" if peak else ""
        lines.append(f"{name}: RTF {result.rtf(i):.3f}, {gpt.tokens_per_s:.1f} tokens/s{bandwidth}{memory}")
    return [*lines, result.agreement] if result.agreement else lines


def _progress(what: str, done: int, total: int) -> None:
    """Shows one line of progress on a terminal, one line a step elsewhere; a total of 0 clears it."""
    tty = sys.stderr.isatty()
    if total:
        line = f"[{done:>3}/{total}] {what}"
        click.echo(f"\r{line:<78.78}" if tty else line, nl=not tty, err=True)
    elif tty:
        click.echo("\r" + " " * 78 + "\r", nl=False, err=True)
