"""The benchmark of many listeners as lines for a terminal, and as a page with its chart and its JSON."""

from __future__ import annotations

from pathlib import Path

from sovits_runtime.bench.concurrent import ConcurrentResult
from sovits_runtime.bundle.files import json_text, write_files
from sovits_runtime.drawing.bar_chart import bar_chart_svg
from sovits_runtime.drawing.page import facts, page, table, versions_line

HEADS = ("Listeners", "Audio s/s", "First p50", "First p95", "Gap p95", "Tokens/s", "Rows/step", "Memory")


def concurrent_lines(result: ConcurrentResult) -> list[str]:
    """Describes the result for a terminal."""
    c = result.conditions
    lines = [
        f"{c['bundle']}: {c['workload']['audio_s']:g} s of speech a listener, {c['threads']} threads on "
        f"{c['machine']['cpu']}; steps: {c['provider']}",
        " ".join(f"{head:>10}" for head in HEADS),
    ]
    return [*lines, *(" ".join(f"{cell:>10}" for cell in row) for row in _rows(result))]


def _rows(result: ConcurrentResult) -> list[tuple[str, ...]]:
    return [
        (
            str(each.count),
            f"{each.audio_per_s:.2f}",
            f"{each.first_p50_s:.2f} s",
            f"{each.first_p95_s:.2f} s",
            f"{each.gap_p95_s:.2f} s",
            f"{each.tokens_per_s:.0f}",
            f"{each.rows_per_step:.1f}",
            f"{each.memory_bytes / 1e6:.0f} MB" if each.memory_bytes else "-",
        )
        for each in result.listeners
    ]


def concurrent_chart(result: ConcurrentResult) -> str:
    """Draws seconds of sound a second by the number of listeners, as an <svg> element."""
    c = result.conditions
    groups = [
        (f"{each.count} listener{'s' if each.count > 1 else ''}", [each.audio_per_s])
        for each in result.listeners
    ]
    note = f"{c['machine']['cpu']}, {c['threads']} threads, {c['provider']}, {c['repeats']} rounds"
    return bar_chart_svg(
        "Speech a second, of all listeners together",
        groups,
        series=["sovits-export"],
        unit="seconds of speech a second",
        note=note,
        higher_is_better=True,
        width=1000,
    )


def write_concurrent_report(result: ConcurrentResult, folder: Path) -> Path:
    """Writes concurrent.html, concurrent.json and concurrent.svg; as `write_bench_report` does.

    Returns:
        Path of concurrent.html.
    """
    c, chart = result.conditions, concurrent_chart(result)
    machine = c["machine"]
    told = {
        "Bundle": f"{c['bundle']} ({c['precision']}), {c['digest']}",
        "Steps": f"{c['provider']}, {c['threads']} threads; sound {'beside' if c['beside'] else 'between'} them",
        "Machine": f"{machine['cpu']}, {machine['usable_cores']} cores usable; {machine['system']}",
        "Versions": versions_line(c["versions"]),
        "Load average": f"{c['load_average_before']} before",
        "Time": str(c["time"]),
    }
    note = (
        '<p class="soft">All listeners begin at once. Gap: how long a player that begins with the first chunk would '
        "have nothing to play, at worst.</p>"
    )
    body = [
        f"<h1>Many listeners at once</h1><figure>{chart}</figure>",
        note + table(HEADS, _rows(result), numbers=range(len(HEADS))),
        "<h2>Conditions</h2>",
        facts(told),
    ]
    files = {
        "concurrent.svg": chart.encode("utf-8"),
        "concurrent.json": json_text(result.to_json()).encode("utf-8"),
        "concurrent.html": page(f"Many listeners of {c['bundle']}", "\n".join(body)).encode("utf-8"),
    }
    write_files(folder, files)
    return folder / "concurrent.html"
