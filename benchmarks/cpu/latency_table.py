"""The result of `low_latency.py` as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from contestants import RIVALS

MEMORY_ROWS = {
    "loaded": "loaded",
    "reference_read": "a recording was read (HuBERT)",
    "released": "HuBERT released",
    "spoken": "6 s spoken, peak since the release",
    "second_process": "a second process beside it, spoken too",
}
MEMORY_FIELDS = {
    "peak": "peak",
    "peak_proportional": "peak, shared pages once",
    "resident": "resident",
    "proportional": "resident, shared pages once",
    "private": "private",
}


def markdown(result: dict[str, Any]) -> str:
    """Returns every scenario that ran as a table, with machine and versions."""
    parts = [_head(result)]
    for name, write in WRITERS.items():
        scenario = result.get(name)
        if scenario:
            parts.append(f"{name}: failed: {scenario['failed']}" if "failed" in scenario else write(scenario))
    return "\n\n".join(parts) + "\n"


def _head(result: dict[str, Any]) -> str:
    machine = result["machine"]
    cores = f"{machine['usable_cores']} of {machine['logical_cores']} logical cores usable"
    facts = [
        result["time"],
        f"{machine['cpu']}, {cores} ({', '.join(machine['features'])})",
        machine["system"],
        f"Python {machine['python']}, " + ", ".join(f"{k} {v}" for k, v in result["versions"].items()),
    ]
    for name, known in result.get("rivals", {}).items():
        facts.append(f"{name}: " + ", ".join(f"{k} {v[:14]}" for k, v in known.items()))
    before, after = result["load_average_before"], result.get("load_average_after", 0.0)
    return "; ".join([*facts, f"load average {before:.1f} before, {after:.1f} after"]) + "."


def _whole(scenario: dict[str, Any]) -> str:
    parts = []
    for threads in (key for key in scenario if key.isdigit()):
        run = scenario[threads]
        heads = ["", "prefill s", "tokens/s", f"GPT {scenario['audio_s']:g} s", "SoVITS s", "whole s", "RTF"]
        baselines = [baseline for baseline in RIVALS if baseline in run["parties"]]
        heads += [f"{what} / {baseline}" for baseline in baselines for what in ("tokens/s", "whole")]
        rows = []
        for name, p in run["parties"].items():
            row = [name, f"{p['prefill_s']:.2f}", f"{p['tokens_per_s']:.1f}"]
            row += [f"{p[key]:.2f}" for key in ("gpt_s", "sovits_s", "whole_s", "rtf")]
            for baseline in baselines:
                ratios = p["times_faster"].get(baseline)
                row += [f"{ratios[key]:.2f}x" if ratios else "1" for key in ("tokens", "whole")]
            rows.append(row)
        others = max(run["share_of_others"])
        title = f"Whole utterance, {scenario['audio_s']:g} s of speech, threads: {threads} (medians of {run['rounds']} "
        title += f"rounds; other programs took up to {100 * others:.0f} %)"
        parts.append(f"{title}\n\n{_table(heads, rows)}")
    return "\n\n".join(parts)


def _stream(scenario: dict[str, Any]) -> str:
    heads = [
        "",
        "first audio s",
        "first chunk sounds s",
        "RTF",
        "least margin of a player s",
        "runs it starved in",
    ]
    keys: Sequence[tuple[str, str]] = (
        ("first_audio_s", ".2f"),
        ("first_chunk_sounds_s", ".2f"),
        ("rtf", ".2f"),
        ("least_margin_s", ".2f"),
        ("starved_runs", "d"),
    )
    rows = [[name, *(format(p[key], form) for key, form in keys)] for name, p in scenario["parties"].items()]
    title = f"Streaming a sentence of {scenario['sentence_s']} s, threads: {scenario['threads']}"
    return f"{title}\n\n{_table(heads, rows)}"


def _chunks(scenario: dict[str, Any]) -> str:
    heads = ["", "of a chunk", "median s", "highest / lowest", "last third / first"]
    whats = {
        "sound_cpu_s": "sound, processor time",
        "sound_s": "sound, wall",
        "tokens_cpu_s": "tokens, processor time",
        "tokens_s": "tokens, wall",
    }
    rows = [
        [name, what]
        + [f"{p[key][field]:.3f}" for field in ("median_s", "highest_over_lowest", "last_third_over_first")]
        for name, p in scenario["parties"].items()
        for key, what in whats.items()
    ]
    title = f"Chunks of {scenario['chunk_tokens']} tokens of a sentence of {scenario['sentence_s']} s, "
    return (
        f"{title}from the second to the last but one, threads: {scenario['threads']}\n\n{_table(heads, rows)}"
    )


def _memory(scenario: dict[str, Any]) -> str:
    names = list(scenario["parties"])
    rows = [["load s", *(f"{scenario['parties'][n]['load_s']:.2f}" for n in names)]]
    rows += [["imports s", *(f"{scenario['parties'][n]['import_s']:.2f}" for n in names)]]
    for key, what in MEMORY_ROWS.items():
        for field, name in MEMORY_FIELDS.items():
            values = [scenario["parties"][n]["memory_bytes"][key][field] for n in names]
            rows.append([f"{what}: {name} MB", *(f"{v / 1e6:.0f}" for v in values)])
    return f"Load and memory, threads: {scenario['threads']}\n\n{_table(['', *names], rows)}"


def _soak(scenario: dict[str, Any]) -> str:
    return (
        f"{scenario['requests']} streamed requests, {scenario['cancelled']} of them cancelled midway: private memory "
        f"grew by {scenario['growth_bytes'] / 1e6:.1f} MB (bound {scenario['bound_bytes'] / 1e6:.0f}), "
        f"{scenario['threads_left']} threads left: {'passed' if scenario['passed'] else 'FAILED'}"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


WRITERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "whole": _whole,
    "stream": _stream,
    "chunks": _chunks,
    "memory": _memory,
    "soak": _soak,
}
