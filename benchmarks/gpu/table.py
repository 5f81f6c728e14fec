"""The result of `report.py` as Markdown: what became of every claim, conditions, figures, and every part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LATENCY = "latency, "
FP16, FP32 = f"{LATENCY}eager FP16", f"{LATENCY}eager FP32"
HEADS = (
    "", "tokens/s, decoding", "x eager FP16", "x eager FP32", "tokens/s with prefill", "prefill, ms",
    "first chunk, ms", "at new lengths", "first sentence of 3 s, ms", "RTF", "at new lengths", "GPU memory, MiB",
    "tokens as eager FP32",
)  # fmt: skip


def markdown(result: Mapping[str, Any]) -> str:
    """Returns the whole page."""
    state = [] if result["finished"] else ["**Unfinished**: what follows is what was known when it ended."]
    return "\n\n".join(
        [
            *state, conditions(result), claims_table(result["claims"]), figures(result["parts"]),
            parts_table(result["parts"]),
        ]
    ) + "\n"  # fmt: skip


def conditions(result: Mapping[str, Any]) -> str:
    """One line that says what measured what, when and how."""
    facts = [", ".join(gpu["name"] for gpu in result["gpus"]) or "no GPU", result["time"]]
    facts.append(f"driver {result['driver']} for CUDA up to {'.'.join(map(str, result['driver_cuda']))}")
    for when, gpus in result["nvidia_smi"].items():
        facts += [f"{when}: {gpus if isinstance(gpus, str) else '; '.join(map(_now, gpus))}"]
    git = result["git"]
    facts.append(
        f"commit {git}"
        if isinstance(git, str)
        else f"commit {git['commit'][:12]}{' and changes' if git['changed'] else ''}"
    )
    versions = result["parts"].get("versions", {})
    loaded = {k: v for k, v in versions.get("loaded", {}).items() if not str(v).startswith("not loaded")}
    facts += [f"{name} {_version(value)}" for name, value in loaded.items()]
    facts += [
        f"{name} {version}" for name, version in versions.get("packages", {}).items() if "cudnn" in name
    ]
    bundle = result["bundle"]
    facts.append(f"bundle {bundle['digest'][:12]}, {bundle['precision']}" if bundle else "no bundle")
    facts.append(f"{result['tokens']} tokens, medians of {result['repeats']} runs (eager: half of them)")
    return "; ".join(facts) + "."


def figures(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """The latency parts side by side."""
    rows = []
    for name, part in parts.items():
        if not name.startswith(LATENCY):
            continue
        title = name.removeprefix(LATENCY)
        if "decode_tokens_per_s" in part:
            rows.append([title, *_cells(part, parts)])
        else:
            rows.append(
                [title, f"{part['status']}: {_line(part.get('reason', ''))}", *[""] * (len(HEADS) - 2)]
            )
    return _table(HEADS, rows)


def claims_table(claims: Iterable[Mapping[str, str]]) -> str:
    """Every claim of docs/gpu.md with its verdict."""
    rows = ([row["claim"], f"**{row['verdict']}**", _line(row["why"])] for row in claims)
    return _table(("claim", "", "why"), rows)


def parts_table(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """All parts with what became of them."""
    rows = [
        [name, part["status"], f"{part['seconds']:.0f}", _line(part.get("reason", part.get("summary", "")))]
        for name, part in parts.items()
    ]
    return _table(("part", "", "s", ""), rows)


def _cells(part: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    def ms(name: str) -> str:
        return f"{1000 * part[name]['median_s']:.1f}" if name in part else "-"

    def number(name: str) -> str:
        return f"{part[name]:.4f}" if name in part else "-"

    def ratio(baseline: str) -> str:
        rate = parts.get(baseline, {}).get("decode_tokens_per_s")
        return f"{part['decode_tokens_per_s'] / rate:.1f}" if rate else "-"

    expected = parts.get(FP32, {}).get("first", [])
    equal = sum(a == b for a, b in zip(part["first"], expected, strict=False))
    return [
        f"{part['decode_tokens_per_s']:.0f}",
        ratio(FP16),
        ratio(FP32),
        f"{part['tokens_per_s']:.0f}",
        ms("prefill"),
        ms("first_chunk"),
        ms("first_chunk_new_lengths"),
        ms("first_sentence"),
        number("rtf"),
        number("rtf_new_lengths"),
        f"{part['gpu_bytes'] / 2**20:.0f}",
        f"{equal} of {len(expected)}" if expected else "-",
    ]


def _now(gpu: Mapping[str, str]) -> str:
    """How a GPU is running: its clocks, limit and temperature."""
    celsius = f"{gpu['temperature.gpu']} °C" if "temperature.gpu" in gpu else ""
    known = [gpu.get(name, "") for name in ("clocks.sm", "clocks.mem", "power.limit")]
    return ", ".join(filter(None, [*known, celsius]))


def _version(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    more = [f"{k} {v}" for k, v in value.items() if k in ("cuda", "cudnn") and v]
    return f"{value['version']}{f' ({chr(44).join(more)})' if more else ''}"


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
