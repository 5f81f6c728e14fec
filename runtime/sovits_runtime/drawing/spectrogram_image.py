"""Pictures without a plotting library: spectrograms with axes, as PNG and as SVG."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import Audio
from sovits_runtime.audio.spectrogram import hz_from_mel, mel_from_hz
from sovits_runtime.drawing.bar_chart import FONT, bar_chart_svg, nice_ticks
from sovits_runtime.drawing.png import colour_map, png_bytes
from sovits_runtime.drawing.stroke_font import text_coverage
from sovits_runtime.errors import AudioError, ShapeError

__all__ = ["bar_chart_svg", "colour_map", "png_bytes", "spectrogram_png", "spectrogram_svg"]

_DYNAMIC_RANGE_DB = 70
_INK = (51, 65, 85)
_TICK = (148, 163, 184)
_LEAST_PITCH_DISTANCE = 22
"""Layout pixels between two labels of the pitch axis."""
_FREQUENCIES_HZ = (0, 500, 1000, 2000, 4000, 8000, 16000)


def spectrogram_png(audio: Audio, *, width: int = 960, height: int = 320, scale: int = 2) -> bytes:
    """Draws a spectrogram with labelled axes as a picture file of its own.

    Time runs to the right, pitch (on the mel scale) upwards; colours span 70 dB below the strongest point.

    Args:
        audio: Speech to draw.
        width: Width in layout pixels, axes included.
        height: Height in layout pixels, axes included.
        scale: Picture pixels per layout pixel; 2 looks sharp on dense displays.

    Returns:
        The content of a .png file, `width * scale` by `height * scale`.

    Raises:
        AudioError: The audio is empty.
        ShapeError: The picture is too small for its axes.
    """
    axes = _axes(audio, width, height)
    canvas = np.full((height * scale, width * scale, 3), 255, np.uint8)
    for box, picture in _rasters(audio, axes, scale):
        canvas[box.top * scale : box.bottom * scale, box.left * scale : box.right * scale] = picture
    for mark in axes.marks:
        x0, y0, x1, y1 = (round(edge * scale) for edge in mark.tick)
        canvas[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = _TICK
        _draw_text(canvas, mark, scale)
    return png_bytes(canvas)


def spectrogram_svg(
    audio: Audio, *, title: str = "", width: int = 960, height: int = 320, scale: int = 1
) -> str:
    """Draws a spectrogram with labelled axes as SVG, to stand in a web page or alone.

    Args:
        audio: Speech to draw.
        title: Line above the picture, and its description for screen readers.
        width: Width in pixels, axes included.
        height: Height in pixels, axes included; a title comes on top.
        scale: Pixels of the embedded picture per layout pixel; 2 is sharper and four times the size.

    Returns:
        An <svg> element.

    Raises:
        AudioError: The audio is empty.
        ShapeError: The picture is too small for its axes.
    """
    axes = _axes(audio, width, height)
    head = 30 if title else 0
    parts = [_image(box, picture) for box, picture in _rasters(audio, axes, scale)]
    parts += [_mark_svg(mark) for mark in axes.marks]
    heading = (
        f'<text x="{axes.plot.left}" y="22" font-size="15" font-weight="600" fill="#0f172a">'
        f"{escape(title)}</text>"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height + head}" '
        f'viewBox="0 0 {width} {height + head}" role="img" font-family="{FONT}" '
        f'style="max-width:100%;height:auto"><title>{escape(title or "Spectrogram")}</title>'
        f'<rect width="{width}" height="{height + head}" rx="8" fill="#ffffff"/>{heading if title else ""}'
        f'<g transform="translate(0 {head})">{"".join(parts)}</g></svg>\n'
    )


@dataclass(frozen=True)
class _Box:
    """Edges in layout pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


@dataclass(frozen=True)
class _Mark:
    """A tick and its text, which lies level with `y`; `anchor` says which part of it is at `x`."""

    tick: tuple[float, float, float, float]
    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"]


@dataclass(frozen=True)
class _Axes:
    """Where everything of a spectrogram lies, in layout pixels."""

    plot: _Box
    level_bar: _Box
    marks: list[_Mark]


def _axes(audio: Audio, width: int, height: int) -> _Axes:
    if len(audio.samples) == 0:
        raise AudioError("spectrogram: got audio without samples, expected at least one")
    if width < 240 or height < 120:
        raise ShapeError(f"spectrogram: got a picture of {width} x {height}, expected at least 240 x 120")
    plot = _Box(62, 12, width - 92, height - 32)
    bar = _Box(width - 76, 12, width - 64, height - 32)
    marks = [*_time_marks(plot, audio.duration_s), *_pitch_marks(plot, audio.sample_rate), *_level_marks(bar)]
    return _Axes(plot, bar, marks)


def _time_marks(plot: _Box, duration_s: float) -> Iterator[_Mark]:
    for second in nice_ticks(duration_s, max(2, plot.width // 80)):
        x = plot.left + second / duration_s * plot.width
        tick = (x - 0.5, plot.bottom, x + 0.5, plot.bottom + 5)
        text = f"{second:.6f}".rstrip("0").rstrip(".")
        yield _Mark(tick, x, plot.bottom + 16, f"{text} s", "middle")


def _pitch_marks(plot: _Box, rate: int) -> Iterator[_Mark]:
    top_mel = float(mel_from_hz(np.array(rate / 2)))
    last_y = float("inf")
    for hz in _FREQUENCIES_HZ:
        y = plot.bottom - float(mel_from_hz(np.array(float(hz)))) / top_mel * plot.height
        if y < plot.top - 0.5 or last_y - y < _LEAST_PITCH_DISTANCE:
            continue
        last_y = y
        text = f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz"
        yield _Mark((plot.left - 5, y - 0.5, plot.left, y + 0.5), plot.left - 9, y, text, "end")


def _level_marks(bar: _Box) -> Iterator[_Mark]:
    for db in range(0, _DYNAMIC_RANGE_DB + 1, 10 if bar.height >= 150 else 35):
        y = bar.top + db / _DYNAMIC_RANGE_DB * bar.height
        yield _Mark((bar.right, y - 0.5, bar.right + 5, y + 0.5), bar.right + 9, y, f"{-db} dB", "start")


def _rasters(audio: Audio, axes: _Axes, scale: int) -> list[tuple[_Box, NDArray[np.uint8]]]:
    """Returns the spectrogram and the bar of levels, each with its place."""
    width, height = axes.plot.width * scale, axes.plot.height * scale
    ramp = np.linspace(1.0, 0.0, height)[:, None].repeat(axes.level_bar.width * scale, 1)
    colours = colour_map()
    levels = [(axes.plot, _levels(audio, width, height)), (axes.level_bar, ramp)]
    return [(box, colours[np.rint(level * (len(colours) - 1)).astype(np.intp)]) for box, level in levels]


def _levels(audio: Audio, width: int, height: int) -> NDArray[np.float64]:
    """Returns the picture [height, width] as levels from 0 (70 dB below the peak) to 1 (the peak)."""
    power = _column_power(audio, width)
    db = 10.0 * np.log10(np.maximum(power, 1e-14))
    top_mel = float(mel_from_hz(np.array(audio.sample_rate / 2)))
    hz = hz_from_mel(top_mel * (1.0 - (np.arange(height) + 0.5) / height))
    position = hz / (audio.sample_rate / 2) * (db.shape[1] - 1)
    below = np.minimum(position.astype(np.intp), db.shape[1] - 2)
    share = (position - below)[:, None]
    rows = (1.0 - share) * db.T[below] + share * db.T[below + 1]
    # A silent wave has no peak worth scaling to: -60 dB keeps it dark.
    top_db = max(float(rows.max()), -60.0)
    levels: NDArray[np.float64] = np.clip(1.0 + (rows - top_db) / _DYNAMIC_RANGE_DB, 0.0, 1.0)
    return levels


def _column_power(audio: Audio, width: int) -> NDArray[np.float64]:
    """Returns the mean power spectrum [width, bins] around each column; a sine at full scale has power 1."""
    window_len = 1 << max(4, round(np.log2(0.032 * audio.sample_rate)))
    window = np.hanning(window_len + 1)[:-1]
    window /= window.sum() / 2.0
    count = len(audio.samples)
    per_column = -(-count // (width * (window_len // 2)))
    centres = ((np.arange(width * per_column) + 0.5) * (count / (width * per_column))).astype(np.intp)
    padded = np.pad(audio.samples, window_len // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window_len)
    columns = []
    for column in range(width):
        block = frames[centres[column * per_column : (column + 1) * per_column]] * window
        columns.append(np.mean(np.abs(np.fft.rfft(block, 2 * window_len)) ** 2, axis=0))
    return np.array(columns)


def _image(box: _Box, picture: NDArray[np.uint8]) -> str:
    data = base64.b64encode(png_bytes(picture)).decode()
    return (
        f'<image x="{box.left}" y="{box.top}" width="{box.width}" height="{box.height}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
    )


def _mark_svg(mark: _Mark) -> str:
    x0, y0, x1, y1 = mark.tick
    text = mark.text.replace("-", "\N{MINUS SIGN}")
    return (
        f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" fill="#94a3b8"/>'
        f'<text x="{mark.x:.1f}" y="{mark.y:.1f}" dy="0.35em" text-anchor="{mark.anchor}" '
        f'font-size="12" fill="#334155">{text}</text>'
    )


def _draw_text(canvas: NDArray[np.uint8], mark: _Mark, scale: int) -> None:
    """Blends the text of `mark` into `canvas`, in eight steps of ink."""
    ink = np.rint(text_coverage(mark.text, 8.6 * scale) * 8.0)[..., None] / 8.0
    height, width = ink.shape[:2]
    shift = {"start": 0, "middle": width / 2, "end": width}[mark.anchor]
    left = min(max(0, round(mark.x * scale - shift)), canvas.shape[1] - width)
    top = min(max(0, round(mark.y * scale - height / 2)), canvas.shape[0] - height)
    area = canvas[top : top + height, left : left + width]
    area[:] = np.rint(area * (1.0 - ink) + np.array(_INK) * ink).astype(np.uint8)
