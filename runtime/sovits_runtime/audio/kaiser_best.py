"""Windowed-sinc resampling with the numbers of resampy's `kaiser_best`, which the original uses for HuBERT since v5.

Output sample `m` lies at input position `c = m / ratio`, with `ratio = to_rate / from_rate`, and is the sum of
`x[i] * s * h(s * (i - c))` over the input, with `s = min(1, ratio)` and

    h(d) = r * sinc(r * d) * kaiser(d / 50)   for |d| < 50, else 0

where `h` is tabled at 8192 points a zero crossing, with straight lines between them. Outside the wave `x` is zero.

Source: resampy 0.4.3, filters.py (sinc_window) for `h`; GPT-SoVITS, TTS_infer_pack/TTS.py, resample (match_librosa),
for positions in float32, which behind ten seconds of 48 kHz are off by up to a 64th of a sample.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import ShapeError

_ZERO_CROSSINGS = 50
_PRECISION = 8192
_ROLLOFF = 0.9173473712608761
_BETA = 12.984585247040012
_BLOCK_ELEMENTS = 1 << 18
"""Gathered taps held at a time: bounds memory at a few MB whatever the length of the wave."""


def resample_kaiser_best(wave: NDArray[np.float32], *, from_rate: int, to_rate: int) -> NDArray[np.float32]:
    """Resamples a mono wave; equal rates give the wave itself.

    Args:
        wave: [n] float32.
        from_rate: Sample rate of `wave`, in Hz.
        to_rate: Wanted sample rate, in Hz.

    Returns:
        [floor(n * to_rate / from_rate)] float32.

    Raises:
        ShapeError: `wave` is not one-dimensional.
    """
    if np.ndim(wave) != 1:
        raise ShapeError(f"resample: got a wave of shape {np.shape(wave)}, expected [n]")
    if from_rate == to_rate:
        return wave
    ratio = to_rate / from_rate
    scale = min(1.0, ratio)
    stride = int(scale * _PRECISION)
    taps = -(-_ZERO_CROSSINGS * _PRECISION // stride)
    position = np.arange(int(len(wave) * ratio), dtype=np.float32) / np.float32(ratio)
    before = np.floor(position)
    fraction = scale * (position - before).astype(np.float64)
    first = before.astype(np.int64) + taps
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(wave, (taps, taps + 1)), taps)
    out = np.empty(len(position), np.float32)
    block = max(1, _BLOCK_ELEMENTS // taps)
    for start in range(0, len(out), block):
        part = slice(start, start + block)
        earlier = _filter(fraction[part], stride, taps) * windows[first[part] - taps + 1, ::-1]
        later = _filter(scale - fraction[part], stride, taps) * windows[first[part] + 1]
        out[part] = scale * (earlier.sum(axis=1) + later.sum(axis=1))
    return out


def _filter(distance: NDArray[np.float64], stride: int, taps: int) -> NDArray[np.float64]:
    """Values [m, taps] of the filter at distances [m] in zero crossings, and in steps of `stride` points from there."""
    table, between = _table()
    at = distance * _PRECISION
    point = at.astype(np.int64)
    index = np.minimum(point[:, None] + stride * np.arange(taps), len(table) - 1)
    values: NDArray[np.float64] = table[index] + (at - point)[:, None] * between[index]
    return values


@lru_cache(maxsize=1)
def _table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right half of the filter, with a zero behind its last point, and how far from each point the next one is."""
    count = _ZERO_CROSSINGS * _PRECISION
    crossing = np.linspace(0.0, _ZERO_CROSSINGS, count + 1)
    half = np.kaiser(2 * count + 1, _BETA)[count:] * _ROLLOFF * np.sinc(_ROLLOFF * crossing)
    half = np.append(half, 0.0)
    return half, np.diff(half, append=0.0)
