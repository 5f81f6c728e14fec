"""A benchmark as one self-contained HTML page, with its chart and its JSON."""

from __future__ import annotations

from html import escape
from pathlib import Path

from sovits_runtime.bench.result import BenchResult, StageTiming, Timing
from sovits_runtime.bundle.files import json_text, write_files
from sovits_runtime.bundle.names import STEP
from sovits_runtime.drawing.bar_chart import bar_chart_svg
from sovits_runtime.drawing.page import facts, page, table, versions_line


def write_bench_report(result: BenchResult, folder: Path) -> Path:
    """Writes bench.html, bench.json and bench.svg, whole or not at all.

    Args:
        result: Of `bench`.
        folder: Made if missing; files of an older report are replaced.

    Returns:
        Path of bench.html.

    Raises:
        SovitsError: The folder cannot be written.
    """
    chart = bench_chart(result)
    parts = [
        _bench_verdict(result),
        f"<h2>Stages</h2><figure>{chart}</figure>",
        _stage_table(result),
        "<h2>Figures</h2>",
        _figure_table(result),
        "<h2>Conditions</h2>",
        facts(_conditions(result)),
    ]
    html = page(f"Benchmark of {_name(result.conditions['bundle'])}", "\n".join(parts))
    files = {
        "bench.svg": chart.encode("utf-8"),
        "bench.json": json_text(result.to_json()).encode("utf-8"),
        "bench.html": html.encode("utf-8"),
    }
    write_files(folder, files)
    return folder / "bench.html"


def bench_chart(result: BenchResult) -> str:
    """Draws the medians of the stages, of one token and of imports not, as an <svg> element.

    The factor beside a name is the median of the ratios of each repetition, as in the table.
    """
    stages = [s for s in result.stages if s.name not in {STEP, "import"}]
    groups = [(f"{s.name}  {s.ratio:.2f}×" if s.ratio else s.name, _bars(s, result)) for s in stages]
    machine, work = result.conditions["machine"], result.conditions["workload"]
    note = (
        f"{machine['cpu']}, {result.conditions['threads']} threads, {result.audio_s:g} s of speech "
        f"({work['generated_tokens']} tokens), medians of {result.conditions['repeats']} repetitions"
    )
    series = [result.baseline, "sovits-export"] if result.baseline else ["sovits-export"]
    title = f"Seconds by stage, beside {result.baseline}" if result.baseline else "Seconds by stage"
    return bar_chart_svg(title, groups, series=series, unit="s", note=note, width=1000)


def _bars(stage: StageTiming, result: BenchResult) -> list[float | None]:
    ours = [stage.ours.p50]
    return [stage.baseline.p50 if stage.baseline else None, *ours] if result.baseline else [*ours]


def _bench_verdict(result: BenchResult) -> str:
    utterance = result.stage("utterance")
    title = f"{result.audio_s:g} s of speech in {utterance.ours.p50:.2f} s" if utterance else "Benchmark"
    text = f"Real-time factor {result.rtf():.3f}, {result.gpt[0].tokens_per_s:.1f} tokens a second"
    beside = ""
    if result.baseline and utterance and utterance.baseline and utterance.ratio:
        beside = (
            f"<p>{escape(result.baseline)} took {utterance.baseline.p50:.2f} s: {utterance.ratio:.2f} times as long "
            f"(median of {len(utterance.ratios)} repetitions side by side). "
            f'<span class="soft">{escape(result.agreement)}.</span></p>'
        )
    return (
        f'<div class="verdict"><h1>{title}</h1><p>{escape(_name(result.conditions["bundle"]))}: {text}.</p>'
        f"{beside}</div>"
    )


def _stage_table(result: BenchResult) -> str:
    heads = ["Stage", "p50", "p95", "p99", "min", "max", "warm-up", "samples"]
    if result.baseline:
        heads += [f"{result.baseline} p50", "p95", "ratio"]
    rows = []
    for s in result.stages:
        row = [f"{escape(s.name)}<small>{escape(s.what)}</small>", *_timing_cells(s.ours)]
        if result.baseline:
            ratio = f"{s.ratio:.2f}" if s.ratio else "–"
            cells = [_ms(s.baseline.p50), _ms(s.baseline.percentile(95))] if s.baseline else ["–", "–"]
            row += [*cells, f"<b>{ratio}</b>"]
        rows.append(row)
    note = (
        '<p class="soft">Milliseconds. p95 and p99 of few samples say little: with fewer than 20 they are near the '
        "maximum. Ratio: the baseline's time over ours, median over repetitions in which both took turns.</p>"
    )
    return note + table(heads, rows, numbers=range(1, len(heads)))


def _timing_cells(t: Timing) -> list[str]:
    warmup = _ms(t.warmup_s) if t.warmup_s is not None else "–"
    percentiles = [_ms(t.percentile(q)) for q in (50, 95, 99)]
    return [*percentiles, _ms(min(t.samples)), _ms(max(t.samples)), warmup, str(len(t.samples))]


def _figure_table(result: BenchResult) -> str:
    rows = []
    for i, name in enumerate(result.runners):
        gpt, first = result.gpt[i], result.stage("first_audio")
        timing = None if first is None else (first.ours, first.baseline)[i]
        peak, private = (
            result.peak_bytes(i),
            [p.private_bytes for p in result.processes[i] if p.private_bytes],
        )
        rows.append(
            (
                escape(name),
                f"{result.rtf(i):.3f}",
                f"{timing.p50:.2f} s" if timing else "–",
                f"{gpt.tokens_per_s:.1f}",
                f"{gpt.gb_per_s:.1f}" if gpt.gb_per_s else "–",
                f"{peak / 1e6:,.0f} MB" if peak else "–",
                f"{max(private) / 1e6:,.0f} MB" if private else "–",
            )
        )
    heads = ("", "RTF", "First audio", "Tokens/s", "GB/s", "Peak memory", "of it private")
    note = (
        '<p class="soft">Memory is the resident size of a fresh process that loaded the voice and spoke the utterance '
        "once; private: at its end, without pages that mirror files. GB/s: weights and cached rows that a step must "
        f"read ({(result.bytes_per_token or 0) / 1e6:,.0f} MB) over the median step.</p>"
    )
    return note + table(heads, rows, numbers=range(1, len(heads)))


def _conditions(result: BenchResult) -> dict[str, str]:
    c = result.conditions
    machine = c["machine"]
    memory = f", {machine['memory_bytes'] / 2**30:.1f} GiB" if machine["memory_bytes"] else ""
    rows = {
        "Bundle": str(c["bundle"]),
        "Digest": str(c["digest"]),
        "Device": f"{c['device']} ({c['provider']}), {c['threads']} threads",
        "Machine": f"{machine['cpu']}, {machine['usable_cores']} cores usable{memory}; {machine['system']}",
        "Features": ", ".join(machine["features"]) or "none known",
        "Versions": versions_line(c["versions"]),
        "Workload": ", ".join(f"{k.replace('_', ' ')} {v:g}" for k, v in c["workload"].items()),
        "Load average": f"{c['load_average_before']} before, {c['load_average_after']} after",
        "Time": str(c["time"]),
    }
    return {**rows, "Baseline": result.baseline_note} if result.baseline else rows


def _ms(seconds: float) -> str:
    ms = 1000 * seconds
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"


def _name(path: str) -> str:
    return Path(path).name or path
