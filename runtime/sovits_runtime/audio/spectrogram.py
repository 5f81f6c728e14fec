"""Spectrograms: those that the model reads, and log-mel."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import AudioError, ShapeError

_FRAMES_PER_BLOCK = 512
_POWER_FLOOR = 1e-8
_MEL_FLOOR = 1e-5


def linear_spectrogram(
    wave: NDArray[np.float32], *, n_fft: int = 2048, hop: int = 640, win: int = 2048
) -> NDArray[np.float32]:
    """Computes the magnitude spectrogram that the style encoder reads (with the defaults, of a 32 kHz wave).

    The wave is reflected by (n_fft - hop) / 2 samples at both ends; frames are not centred. Transforms run in
    float64, so the result does not depend on the NumPy version.

    Source: GPT-SoVITS, module/mel_processing.py, spectrogram_torch.

    Args:
        wave: [n] float32 samples in [-1, 1].
        n_fft: Length of the transform, in samples.
        hop: Distance of two frames, in samples.
        win: Length of the periodic Hann window, centred in the transform.

    Returns:
        [n_fft // 2 + 1, frames] float32, sqrt(re^2 + im^2 + 1e-8); frames = 1 + (n + 2 * pad - n_fft) // hop.

    Raises:
        ShapeError: `wave` is not one-dimensional, or the sizes do not fit each other.
        AudioError: `wave` is too short to be reflected.
    """
    frames = _reflected_frames(wave, n_fft, hop, win)
    return _map_blocks(frames, _window(n_fft, win), lambda power: np.sqrt(power + _POWER_FLOOR))


def log_mel(
    wave: NDArray[np.float32], rate: int, *, n_mels: int = 80, n_fft: int = 1024, hop: int = 256
) -> NDArray[np.float32]:
    """Computes ln(max(mel, 1e-5)) of a wave: Slaney bands from 0 Hz to rate / 2 over `linear_spectrogram`.

    Source: GPT-SoVITS, module/mel_processing.py, mel_spectrogram_torch.

    Args:
        wave: [n] float32 samples in [-1, 1].
        rate: Sample rate, in Hz.
        n_mels: Number of bands.
        n_fft: Length of the transform and of the window, in samples.
        hop: Distance of two frames, in samples.

    Returns:
        [n_mels, frames] float32, in nepers (natural logarithm of a magnitude).

    Raises:
        ShapeError: As `linear_spectrogram`.
        AudioError: As `linear_spectrogram`.
    """
    bands = mel_filterbank(rate, n_fft, n_mels=n_mels)
    frames = _reflected_frames(wave, n_fft, hop, n_fft)

    def log_bands(power: NDArray[np.float64]) -> NDArray[np.float64]:
        mel: NDArray[np.float64] = np.sqrt(power + _POWER_FLOOR) @ bands.T
        return np.log(np.maximum(mel, _MEL_FLOOR))

    return _map_blocks(frames, _window(n_fft, n_fft), log_bands)


def mel_filterbank(rate: int, n_fft: int, *, n_mels: int) -> NDArray[np.float64]:
    """Returns triangular mel bands of equal area on Slaney's scale, as librosa makes them by default.

    Args:
        rate: Sample rate, in Hz; the bands span 0 Hz to rate / 2.
        n_fft: Length of the transform, in samples.
        n_mels: Number of bands.

    Returns:
        [n_mels, n_fft // 2 + 1] float64.

    Raises:
        ShapeError: A size is not positive.
    """
    if min(rate, n_fft, n_mels) < 1:
        raise ShapeError(f"mel bands: got rate {rate}, n_fft {n_fft}, n_mels {n_mels}; expected all above 0")
    return _mel_filterbank(rate, n_fft, n_mels)


def hz_from_mel(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Converts Slaney mels to Hz: 200 / 3 Hz a mel up to 1 kHz, then a factor of 6.4 every 27 mels."""
    return np.where(mel < 15.0, mel * (200.0 / 3.0), 1000.0 * 6.4 ** ((mel - 15.0) / 27.0))


def mel_from_hz(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Converts Hz to Slaney mels; the inverse of `hz_from_mel`."""
    logarithmic = 15.0 + 27.0 * np.log(np.maximum(hz, 1.0) / 1000.0) / np.log(6.4)
    return np.where(hz < 1000.0, hz * (3.0 / 200.0), logarithmic)


@lru_cache(maxsize=8)
def _mel_filterbank(rate: int, n_fft: int, n_mels: int) -> NDArray[np.float64]:
    top_mel = mel_from_hz(np.array(rate / 2.0))
    edges = hz_from_mel(np.linspace(0.0, float(top_mel), n_mels + 2))
    bins = np.arange(n_fft // 2 + 1) * (rate / n_fft)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    bands: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low))
    bands.setflags(write=False)
    return bands


@lru_cache(maxsize=8)
def _window(n_fft: int, win: int) -> NDArray[np.float64]:
    """Returns the periodic Hann window of `win` samples, centred in `n_fft` zeros."""
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(win) / win)
    left = (n_fft - win) // 2
    window = np.pad(hann, (left, n_fft - win - left))
    window.setflags(write=False)
    return window


def _reflected_frames(wave: NDArray[np.float32], n_fft: int, hop: int, win: int) -> NDArray[np.float32]:
    """Returns the frames [count, n_fft] of the wave reflected by (n_fft - hop) / 2, as a view."""
    if np.ndim(wave) != 1:
        raise ShapeError(
            f"spectrogram: got a wave of shape {np.shape(wave)}, expected [n]; average the channels"
        )
    if not (0 < hop <= n_fft and 0 < win <= n_fft):
        raise ShapeError(
            f"spectrogram: got n_fft {n_fft}, hop {hop}, win {win}; expected 0 < hop, win <= n_fft"
        )
    pad = (n_fft - hop) // 2
    shortest = max(pad + 1, n_fft - 2 * pad)
    if len(wave) < shortest:
        raise AudioError(
            f"spectrogram: got a wave of {len(wave)} samples, expected at least {shortest} "
            f"(it is reflected by {pad} at both ends); use a longer recording"
        )
    padded = np.pad(np.asarray(wave, np.float32), pad, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]


def _map_blocks(
    frames: NDArray[np.float32],
    window: NDArray[np.float64],
    bands_from_power: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float32]:
    """Applies `bands_from_power` to the power spectra [block, bins]; returns [bands, frames]."""
    blocks = []
    for start in range(0, len(frames), _FRAMES_PER_BLOCK):
        spectrum = np.fft.rfft(frames[start : start + _FRAMES_PER_BLOCK] * window)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        blocks.append(bands_from_power(power).astype(np.float32))
    return np.ascontiguousarray(np.concatenate(blocks).T)
