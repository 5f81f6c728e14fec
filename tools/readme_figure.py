"""Draws the README's figure from a committed result, for light and dark pages, in English and Chinese.

    python tools/readme_figure.py [--check]

Reads benchmarks/results/low-latency-v2-full-2cpu.json and writes docs/images/speed-*.svg. With --check nothing is
written, and the exit status is 1 where a file is not what would be drawn.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks/results/low-latency-v2-full-2cpu.json"
IMAGES = ROOT / "docs/images"
THREADS = "2"

FONT = (
    "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,"
    "'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif"
)
WIDTH, ROW, BAR = 860, 34, 20
LABELS_END, PANEL, PANEL_GAP = 166, 260, 84
ROWS_TOP = 76


@dataclass(frozen=True)
class Theme:
    """Colours on a page whose background is not drawn."""

    text: str
    muted: str
    ours: str
    others: str


THEMES = {
    "light": Theme(text="#0f172a", muted="#64748b", ours="#4f46e5", others="#94a3b8"),
    "dark": Theme(text="#e6edf3", muted="#9198a1", ours="#818cf8", others="#59636e"),
}


@dataclass(frozen=True)
class Words:
    """What stands in the figure.

    Attributes:
        runners: Key in the result -> name, in the order of the rows.
        title: For readers who cannot see it.
        tokens: Heading of the left panel, and which way is better.
        whole: Heading of the right panel, and which way is better.
        seconds: Unit behind a time.
        note: Last line, with room for the processor, its cores and the rounds.
    """

    runners: Mapping[str, str]
    title: str
    tokens: tuple[str, str]
    whole: tuple[str, str]
    seconds: str
    note: str


WORDS = {
    "": Words(
        runners={
            "ours int8": "sovits-export int8",
            "ours fp32": "sovits-export FP32",
            "Genie-TTS": "Genie-TTS",
            "original": "original PyTorch",
        },
        title="Speed on a CPU with 2 threads: sovits-export, Genie-TTS and the original",
        tokens=("Semantic tokens a second", "higher is better"),
        whole=("6 s of speech take", "lower is better"),
        seconds=" s",
        note="Full-size v2, 2 threads, {cpu} with AVX-512, {cores} cores; medians of {rounds} rounds",
    ),
    ".zh-CN": Words(
        runners={
            "ours int8": "sovits-export int8",
            "ours fp32": "sovits-export FP32",
            "Genie-TTS": "Genie-TTS",
            "original": "原版 PyTorch",
        },
        title="CPU 双线程速度对比：sovits-export、Genie-TTS 与原版",
        tokens=("每秒语义 token 数", "越高越好"),
        whole=("合成 6 秒语音用时", "越低越好"),
        seconds=" 秒",
        note="全尺寸 v2，2 线程，{cpu}（AVX-512），{cores} 核；{rounds} 轮的中位数",
    ),
}


def figure(result: Mapping[str, Any], words: Words, theme: Theme) -> str:
    """Draws both panels.

    Args:
        result: What `benchmarks/cpu/low_latency.py` wrote.
        words: Names and headings.
        theme: Colours.

    Returns:
        An SVG file.
    """
    whole = result["whole"][THREADS]
    rows = [(name, whole["parties"][key], key.startswith("ours")) for key, name in words.runners.items()]
    height = ROWS_TOP + ROW * len(rows) + 34
    note = words.note.format(
        cpu=result["machine"]["cpu"], cores=result["machine"]["usable_cores"], rounds=whole["rounds"]
    )
    tokens = [row["tokens_per_s"] for _, row, _ in rows]
    seconds = [row["whole_s"] for _, row, _ in rows]
    ours = [own for _, _, own in rows]
    parts = [
        *(
            _text(
                LABELS_END - 14, _middle(i), name, fill=theme.text, weight=600 if own else 400, anchor="end"
            )
            for i, (name, _, own) in enumerate(rows)
        ),
        *_panel(LABELS_END, words.tokens, tokens, ours=ours, texts=[f"{t:.0f}" for t in tokens], theme=theme),
        *_panel(
            LABELS_END + PANEL + PANEL_GAP,
            words.whole,
            seconds,
            ours=ours,
            texts=[f"{s:.2f}{words.seconds}" for s in seconds],
            theme=theme,
        ),
        _text(LABELS_END, height - 10, note, fill=theme.muted, size=12),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" font-family="{FONT}"><title>{escape(words.title)}</title>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _panel(
    left: float,
    heading: tuple[str, str],
    values: Sequence[float],
    *,
    ours: Sequence[bool],
    texts: Sequence[str],
    theme: Theme,
) -> Iterator[str]:
    yield _text(left, 30, heading[0], fill=theme.text, weight=600, size=16)
    yield _text(left, 52, heading[1], fill=theme.muted, size=12)
    for i, (value, own, text) in enumerate(zip(values, ours, texts, strict=True)):
        length = PANEL * value / max(values)
        yield (
            f'<rect x="{left}" y="{_middle(i) - BAR / 2:g}" width="{length:.1f}" height="{BAR}" rx="3" '
            f'fill="{theme.ours if own else theme.others}"/>'
        )
        yield _text(left + length + 8, _middle(i), text, fill=theme.text, weight=600 if own else 400)


def _middle(row: int) -> float:
    return ROWS_TOP + ROW * (row + 0.5)


def _text(
    x: float, y: float, text: str, *, fill: str, size: int = 14, weight: int = 400, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:g}" dy="0.35em" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(text)}</text>'
    )


def drawings() -> dict[Path, str]:
    """Every file and what belongs in it."""
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    return {
        IMAGES / f"speed-{name}{language}.svg": figure(result, words, theme)
        for language, words in WORDS.items()
        for name, theme in THEMES.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the figures, or checks them; 1 where one is not what would be drawn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    stale = False
    for path, text in drawings().items():
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale = True
            print(f"{path.relative_to(ROOT)} is not what {Path(__file__).name} draws")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
