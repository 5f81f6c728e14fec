"""Windowed-sinc resampling with the numbers of torchaudio's default, in NumPy.

Output sample `m` lies at input position `c = m * from_rate / to_rate` and is the sum of `x[i] * h(i - c)`
over the taps near it, with

    h(d) = s * sinc(s * d) * cos(pi * s * d / 12) ** 2   for |s * d| < 6, else 0
    s = 0.99 * min(1, to_rate / from_rate)

so six zero crossings a side under a Hann window, and a cutoff 1 % below the lower Nyquist frequency. Outside
the wave `x` is zero. The weights depend only on the phase `m % new` (rates reduced by their common divisor),
so they are made once per pair of rates.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import ShapeError

_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99
_BLOCK_ELEMENTS = 1 << 18
"""Gathered taps held at a time: bounds memory at a few MB whatever the length of the wave."""


def resample(wave: NDArray[np.float32], *, from_rate: int, to_rate: int) -> NDArray[np.float32]:
    """Resamples a mono wave; equal rates give the wave itself.

    Source: torchaudio, transforms.Resample (defaults: sinc_interp_hann, width 6, rolloff 0.99).

    Args:
        wave: [n] float32.
        from_rate: Sample rate of `wave`, in Hz.
        to_rate: Wanted sample rate, in Hz.

    Returns:
        [ceil(n * to_rate / from_rate)] float32.

    Raises:
        ShapeError: `wave` is not one-dimensional, or a rate is not a positive whole number.
    """
    _check(wave, from_rate, to_rate)
    wave = np.asarray(wave, np.float32)
    if from_rate == to_rate or wave.size == 0:
        return wave
    divisor = math.gcd(from_rate, to_rate)
    orig, new = int(from_rate) // divisor, int(to_rate) // divisor
    weights, first = _phase_weights(orig, new)
    out_len = -(-new * wave.size // orig)
    out = np.empty(out_len, np.float32)

    taps = weights.shape[1]
    left = -int(first[0])
    right = max(0, (out_len - 1) // new * orig + int(first[-1]) + taps - wave.size)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(wave, (left, right)), taps)
    block = max(1, _BLOCK_ELEMENTS // taps)
    for start in range(0, out_len, block):
        period, phase = np.divmod(np.arange(start, min(start + block, out_len)), new)
        window = windows[period * orig + first[phase] + left]
        out[start : start + block] = np.einsum("mk,mk->m", window, weights[phase])
    return out


@lru_cache(maxsize=8)
def _phase_weights(orig: int, new: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns the filter of every phase: weights [new, taps], and the input offset [new] of its first tap."""
    scale = min(orig, new) * _ROLLOFF / orig
    half = math.ceil(_ZERO_CROSSINGS / scale)
    phase = np.arange(new)
    first = phase * orig // new - half
    # torchaudio rounds the phase to float32 before it goes on in float64, which moves samples by up to 2e-5.
    centre = (phase.astype(np.float32) / np.float32(new)).astype(np.float64) * orig
    distance = first[:, None] + np.arange(2 * half + 2) - centre[:, None]
    crossing = np.clip(scale * distance, -_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    hann = np.cos(crossing * (np.pi / (2 * _ZERO_CROSSINGS))) ** 2
    weights = (scale * np.sinc(crossing) * hann).astype(np.float32)
    weights.setflags(write=False)
    first.setflags(write=False)
    return weights, first


def _check(wave: NDArray[np.float32], from_rate: int, to_rate: int) -> None:
    if np.ndim(wave) != 1:
        raise ShapeError(
            f"resample: got a wave of shape {np.shape(wave)}, expected [n]; average the channels first"
        )
    for rate in (from_rate, to_rate):
        if rate < 1 or int(rate) != rate:
            raise ShapeError(f"resample: got the sample rate {rate}, expected a whole number of Hz above 0")
