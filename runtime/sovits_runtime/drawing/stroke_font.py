"""A small font of pen strokes, so that a picture can carry numbers and units without a font library.

A glyph is one or more strokes on a grid 9 high: pairs of digits are the x and y of control points, y upwards
from the base line. Corners inside a stroke are rounded; where two strokes meet they stay sharp. Text is drawn
by distance to the strokes, hence smooth at any size.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import ShapeError

_CAP_HEIGHT = 9.0
_GAP = 2.6
_PEN = 1.25
_GLYPHS: dict[str, tuple[float, str]] = {
    " ": (2.2, ""),
    "-": (3.6, "04 44"),
    ".": (0.2, "00 00"),
    "0": (5.6, "30 00 04 09 39 69 65 60 30"),
    "1": (3.2, "07 39|39 30"),
    "2": (5.4, "07 09 39 69 65 32 00|00 60"),
    "3": (5.4, "08 19 39 69 65 35 25|25 35 65 60 30 10 01"),
    "4": (6.0, "40 49|49 02|02 62"),
    "5": (5.4, "59 19|19 05|05 26 66 60 30 10 01"),
    "6": (5.6, "58 49 39 09 05 04|04 00 30 60 66 36 06 04"),
    "7": (5.4, "09 69|69 20"),
    "8": (5.6, "35 05 09 39 69 65 35|35 05 00 30 60 65 35"),
    "9": (5.6, "65 69 39 09 03 33 63 65|65 64 60 30 20 11"),
    "B": (5.6, "00 09|09 39 69 65 35|05 35 65 60 30|30 00"),
    "H": (5.8, "00 09|60 69|05 65"),
    "d": (5.0, "59 50|53 56 26 06 03 00 30 50 53"),
    "k": (4.6, "00 09|02 46|23 50"),
    "s": (4.2, "45 36 06 03 43 40 10 01"),
    "z": (4.4, "06 46|46 00|00 40"),
}


def text_width(text: str, size: float) -> float:
    """Returns the width of `text` in pixels when its capitals are `size` pixels high.

    Raises:
        ShapeError: A character has no glyph.
    """
    return (sum(_glyph_width(char) + _GAP for char in text) - _GAP) * size / _CAP_HEIGHT


def text_coverage(text: str, size: float) -> NDArray[np.float64]:
    """Draws `text` with capitals `size` pixels high.

    Args:
        text: Digits, ".", "-", blanks and the letters of Hz, kHz, s, dB.
        size: Height of the capitals, in pixels.

    Returns:
        [height, width] float64, the fraction of each pixel that ink covers; a narrow margin surrounds the text.

    Raises:
        ShapeError: A character has no glyph.
    """
    scale = size / _CAP_HEIGHT
    margin = int(np.ceil(0.5 * _PEN * scale + 1.0))
    width, height = int(np.ceil(text_width(text, size))) + 2 * margin, int(np.ceil(size)) + 2 * margin
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x - margin + 0.5, size + margin - y - 0.5], axis=-1)
    distance = np.full((height, width), np.inf)
    pen_x = 0.0
    for char in text:
        for start, end in _segments(char):
            offset = np.array([pen_x, 0.0])
            distance = np.minimum(
                distance, _distance(pixels, (start + offset) * scale, (end + offset) * scale)
            )
        pen_x += _glyph_width(char) + _GAP
    ink: NDArray[np.float64] = np.clip(0.5 + 0.5 * _PEN * scale - distance, 0.0, 1.0)
    return ink


def _glyph_width(char: str) -> float:
    if char not in _GLYPHS:
        raise ShapeError(f"picture text: got {char!r}, expected one of {''.join(_GLYPHS)!r}")
    return _GLYPHS[char][0]


@lru_cache(maxsize=len(_GLYPHS))
def _segments(char: str) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Returns the straight pieces of a glyph, in grid units."""
    pieces = []
    for stroke in filter(None, _GLYPHS[char][1].split("|")):
        points = np.array([[float(pair[0]), float(pair[1])] for pair in stroke.split()])
        for _ in range(3 if len(points) > 2 else 0):
            points = _cut_corners(points)
        pieces += list(pairwise(points))
    return pieces


def _cut_corners(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replaces each corner by two points (Chaikin); the ends stay."""
    early = 0.75 * points[:-1] + 0.25 * points[1:]
    late = 0.25 * points[:-1] + 0.75 * points[1:]
    inner = np.stack([early, late], axis=1).reshape(-1, 2)[1:-1]
    return np.concatenate([points[:1], inner, points[-1:]])


def _distance(
    pixels: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the distance [height, width] of each pixel [height, width, 2] to a straight piece."""
    along = end - start
    position = np.clip((pixels - start) @ along / max(float(along @ along), 1e-12), 0.0, 1.0)
    distance: NDArray[np.float64] = np.linalg.norm(pixels - start - position[..., None] * along, axis=-1)
    return distance
