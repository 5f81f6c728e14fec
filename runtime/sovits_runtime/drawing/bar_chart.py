"""Bar charts as SVG: a few series side by side, group by group, with their values."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from sovits_runtime.errors import ShapeError

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'Noto Sans CJK SC',sans-serif"

_COLOURS = ("#94a3b8", "#4f46e5", "#0d9488", "#d97706")
_DARK, _MIDDLE, _PALE = "#0f172a", "#475569", "#64748b"
_MARGIN, _BAR, _BAR_GAP, _GROUP_GAP = 24, 15, 3, 20
_VALUE_ROOM, _RATIO_ROOM = 78, 84

Group = tuple[str, Sequence[float | None]]


def bar_chart_svg(
    title: str,
    groups: Sequence[Group],
    *,
    series: Sequence[str],
    unit: str,
    note: str = "",
    higher_is_better: bool = False,
    ratio: str = "",
    width: int = 760,
) -> str:
    """Draws horizontal bars from zero, one per series in every group.

    Args:
        title: Heading.
        groups: Name and values of each group, one value per series; None where nothing was measured.
        series: Names of the series, at most four; the first is the grey baseline.
        unit: Unit of all values, such as "ms".
        note: Line under the heading: the machine, or how it was measured.
        higher_is_better: Which direction the chart calls better.
        ratio: Heading of a last column that tells how many times better than the first series the second is
            (below 1: worse); empty for no such column.
        width: Width in pixels.

    Returns:
        An <svg> element that fits a web page and stands alone as a file.

    Raises:
        ShapeError: No groups, no series or more than four, a group with another number of values, a value
            that is negative or not finite, or a ratio without two series.
    """
    _check(groups, series, ratio)
    frame = _frame(groups, series, note=note, ratio=ratio, width=width)
    direction = "higher" if higher_is_better else "lower"
    axis_title = f"{unit}, {direction} is better"
    parts = [
        _text(_MARGIN, 36, title, size=17, weight=600, colour=_DARK),
        _text(_MARGIN, 58, note, size=12.5, colour=_PALE),
        *_legend(series, frame.top - 24),
        *_grid(frame),
        *_bars(groups, frame),
        _text((frame.left + frame.right) / 2, frame.bottom + 44, axis_title, colour=_PALE, anchor="middle"),
    ]
    if ratio:
        parts += _ratios(groups, frame, ratio=ratio, higher_is_better=higher_is_better)
    height = frame.bottom + 62
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:g}" '
        f'viewBox="0 0 {width} {height:g}" role="img" font-family="{FONT}" '
        f'style="max-width:100%;height:auto"><title>{escape(title)}</title>'
        f'<rect width="{width}" height="{height:g}" rx="8" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def nice_ticks(top: float, count: int) -> list[float]:
    """Returns 0 and the multiples of a round step (1, 2 or 5 times a power of ten) up to `top`.

    Args:
        top: Largest value, above 0.
        count: Most steps.
    """
    least = top / count
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
    return [float(f"{index * step:.10g}") for index in range(int(top / step + 1e-9) + 1)]


@dataclass(frozen=True)
class _Frame:
    """The field of the bars, in pixels, and the value at its right edge."""

    left: float
    right: float
    top: float
    pitch: float
    bottom: float
    top_value: float

    def x(self, value: float) -> float:
        return self.left + value / self.top_value * (self.right - self.left)


def _frame(groups: Sequence[Group], series: Sequence[str], *, note: str, ratio: str, width: int) -> _Frame:
    top = 116 if note else 96
    pitch = len(series) * (_BAR + _BAR_GAP) - _BAR_GAP + _GROUP_GAP
    left = _MARGIN + min(0.4 * width, max(_text_width(name, 13) for name, _ in groups)) + 14
    right = width - _MARGIN - _VALUE_ROOM - (_RATIO_ROOM if ratio else 0)
    top_value = max((value for _, values in groups for value in values if value is not None), default=0.0)
    return _Frame(left, right, top, pitch, top + pitch * len(groups), top_value or 1.0)


def _legend(series: Sequence[str], y: float) -> Iterator[str]:
    x = float(_MARGIN)
    for name, colour in zip(series, _COLOURS, strict=False):
        yield f'<rect x="{x:.1f}" y="{y - 10:g}" width="12" height="12" rx="3" fill="{colour}"/>'
        yield _text(x + 18, y, name, colour=_MIDDLE)
        x += 18 + _text_width(name, 13) + 24


def _grid(frame: _Frame) -> Iterator[str]:
    for tick in nice_ticks(frame.top_value, max(2, int((frame.right - frame.left) / 90))):
        x = frame.x(tick)
        colour = "#e2e8f0" if tick else "#94a3b8"
        yield f'<path d="M{x:.1f} {frame.top:g}V{frame.bottom:g}" stroke="{colour}"/>'
        yield _text(x, frame.bottom + 20, f"{tick:,.10g}", size=12, colour=_PALE, anchor="middle")


def _bars(groups: Sequence[Group], frame: _Frame) -> Iterator[str]:
    for row, (name, values) in enumerate(groups):
        top = frame.top + row * frame.pitch + _GROUP_GAP / 2
        middle = frame.top + (row + 0.5) * frame.pitch
        yield _text(frame.left - 14, middle + 4.5, name, colour=_DARK, anchor="end")
        for index, (value, colour) in enumerate(zip(values, _COLOURS, strict=False)):
            y = top + index * (_BAR + _BAR_GAP)
            if value is None:
                yield _text(frame.left + 8, y + 12, "not measured", size=12, colour="#94a3b8")
                continue
            if value > 0:
                yield _bar(frame.left, frame.x(value), y, colour)
            yield _text(
                frame.x(value) + 8, y + 12, _number(value), size=12.5, colour=_DARK if index else _MIDDLE
            )


def _bar(left: float, right: float, y: float, colour: str) -> str:
    """A bar whose right corners are round; never thinner than a hairline, so that a small value is seen."""
    length = max(right - left, 1.0)
    radius = min(3.0, length)
    return (
        f'<path d="M{left:.1f} {y:g}h{length - radius:.1f}a{radius:g} {radius:g} 0 0 1 {radius:g} {radius:g}'
        f'v{_BAR - 2 * radius:g}a{radius:g} {radius:g} 0 0 1 -{radius:g} {radius:g}h-{length - radius:.1f}z" '
        f'fill="{colour}"/>'
    )


def _ratios(groups: Sequence[Group], frame: _Frame, *, ratio: str, higher_is_better: bool) -> Iterator[str]:
    x = frame.right + _VALUE_ROOM + _RATIO_ROOM
    yield _text(x, frame.top - 24, ratio, size=12.5, colour=_PALE, anchor="end")
    for row, (_, values) in enumerate(groups):
        base, ours = values[0], values[1]
        if not base or not ours:
            continue
        gain = ours / base if higher_is_better else base / ours
        y = frame.top + (row + 0.5) * frame.pitch + 5
        colour = _COLOURS[1] if gain >= 1.0 else "#b91c1c"
        text = f"{gain:.2f}×" if gain < 10 else f"{gain:,.0f}×"
        yield _text(x, y, text, size=15, weight=600, colour=colour, anchor="end")


def _number(value: float) -> str:
    """Three significant digits, thousands grouped, never an exponent."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(value)))
    return f"{value:,.{min(decimals, 6)}f}"


def _text_width(text: str, size: float) -> float:
    """Estimates the width of `text` in pixels; the browser's font is not known here."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return size * (wide + 0.56 * (len(text) - wide))


def _text(
    x: float,
    y: float,
    text: str,
    *,
    colour: str,
    size: float = 13,
    weight: int = 400,
    anchor: str = "start",
) -> str:
    if not text:
        return ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
    )


def _check(groups: Sequence[Group], series: Sequence[str], ratio: str) -> None:
    if not groups or not 1 <= len(series) <= len(_COLOURS):
        raise ShapeError(
            f"bar chart: got {len(groups)} groups and {len(series)} series, "
            f"expected at least one group and 1 to {len(_COLOURS)} series"
        )
    if ratio and len(series) < 2:
        raise ShapeError(
            "bar chart: got one series, expected two or more to show a ratio; leave `ratio` empty"
        )
    for name, values in groups:
        bad = [value for value in values if value is not None and not 0.0 <= value < math.inf]
        if bad or len(values) != len(series):
            raise ShapeError(
                f"bar chart: group {name!r} has the values {list(values)}, "
                f"expected {len(series)} finite ones of 0 or more, or None"
            )
