"""Filter bank features of the speaker network, in NumPy.

Source: GPT-SoVITS, eres2net/kaldi.py, fbank; sv.py, SV.compute_embedding3.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import ShapeError

RATE = 16000
BANDS = 80
FRAME, HOP, N_FFT = 400, 160, 512
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_WINDOW_POWER = 0.85
_FLOOR = float(np.finfo(np.float32).eps)


def fbank(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log energies of 80 mel bands, one frame every 10 ms, without any normalisation.

    Args:
        wave: float32 [n] at 16 kHz, within [-1, 1].

    Returns:
        float32 [1 + (n - 400) // 160, 80].

    Raises:
        ShapeError: Not one-dimensional, or shorter than one frame of 25 ms.
    """
    if np.ndim(wave) != 1 or len(wave) < FRAME:
        raise ShapeError(
            f"filter bank: got a wave of shape {list(np.shape(wave))}, expected [n] with n >= {FRAME} samples at "
            f"{RATE} Hz"
        )
    frames = np.lib.stride_tricks.sliding_window_view(wave.astype(np.float64), FRAME)[::HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    spectrum = np.fft.rfft((frames - _PREEMPHASIS * before) * _window(), N_FFT)
    power = spectrum.real**2 + spectrum.imag**2
    energies: NDArray[np.float32] = np.log(np.maximum(power @ _bands().T, _FLOOR)).astype(np.float32)
    return energies


@lru_cache(maxsize=1)
def _window() -> NDArray[np.float64]:
    """Returns the window called povey: a symmetric Hann window to the power of 0.85."""
    window: NDArray[np.float64] = np.hanning(FRAME) ** _WINDOW_POWER
    window.setflags(write=False)
    return window


@lru_cache(maxsize=1)
def _bands() -> NDArray[np.float64]:
    """Returns triangles [80, 257] that are equally wide on the mel scale and peak at 1."""
    bins = _mel(np.arange(N_FFT // 2 + 1, dtype=np.float64) * (RATE / N_FFT))
    low, high = _mel(np.array([_LOWEST_HZ, RATE / 2]))
    edges = np.linspace(low, high, BANDS + 2)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    bands: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    bands[:, -1] = 0.0  # the original's bands end one bin below the highest frequency
    bands.setflags(write=False)
    return bands


def _mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1127.0 * np.log1p(hz / 700.0), np.float64)
