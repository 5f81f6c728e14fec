"""What the decoder's latent stands for in the demo voice: spectral envelope and pitch, one frame every 20 ms.

A VITS decoder usually learns its latent together with a posterior encoder. On two cores that takes days; a latent of
known meaning lets prior and waveform decoder be trained side by side, each against measured values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from corpus import RATE, Recording
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FRAME = 320  # samples of a frame at 16 kHz
HALVES = 2  # spectra and pitches in a frame, 10 ms apart
WINDOW, FFT = 400, 512
BANDS = 40
LATENT = 64
SPECTRAL = LATENT - 2 * HALVES
LOWEST_HZ, HIGHEST_HZ = 90.0, 330.0
PITCH_WINDOW = 800
FLOOR = 1e-3


@dataclass(frozen=True)
class Basis:
    """How log mel spectra become the spectral part of a latent, and the scale of the pitch.

    Attributes:
        mean: float32 [80]: of the two spectra of a frame.
        forward: float32 [80, 60]: principal directions, each scaled towards unit variance.
        pitch: Mean and deviation of the natural logarithm of the pitch in Hz.
    """

    mean: Floats
    forward: Floats
    pitch: tuple[float, float]


def n_frames(n_samples: int) -> int:
    """Returns the frames that a wave at 16 kHz has: two a token, as the speech encoder counts them."""
    return (n_samples - 80) // FRAME // 2 * 2


def log_mel(wave: Floats, frames: int) -> Floats:
    """Returns log mel energies float32 [frames, 2 * 40] of a wave at 16 kHz."""
    power = np.abs(np.fft.rfft(_cut(wave, frames, WINDOW) * np.hanning(WINDOW), FFT)) ** 2
    return np.log(power @ _mel_bands().T + FLOOR).reshape(frames, -1).astype(np.float32)


def pitch(wave: Floats, frames: int) -> tuple[Floats, Floats]:
    """Returns log pitch and voicing (0 or 1), float32 [frames, 2] each; the pitch goes on through unvoiced stretches.

    The best path through the peaks of the normalised autocorrelation.
    """
    pieces = _cut(wave, frames, PITCH_WINDOW)
    pieces = pieces - pieces.mean(1, keepdims=True)
    size = 2048
    spectrum = np.fft.rfft(pieces * np.hanning(PITCH_WINDOW), size)
    spectrum[:, int(1000 * size / RATE) :] = 0
    window = np.fft.rfft(np.hanning(PITCH_WINDOW), size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2) / np.fft.irfft(np.abs(window) ** 2).clip(1e-3)
    lags = np.arange(int(RATE / HIGHEST_HZ), int(RATE / LOWEST_HZ))
    energy = correlation[:, :1] + 1e-4
    score = (correlation / energy)[:, lags] - 0.0008 * lags  # the shorter of two equal periods
    path = _best_path(score)
    strength = (correlation / energy)[np.arange(len(path)), lags[path]]
    voiced = (strength > 0.45) & (energy[:, 0] / PITCH_WINDOW > 1e-6)
    log_hz = np.log(RATE / lags[path])
    if voiced.any():
        log_hz = np.interp(np.arange(len(path)), np.flatnonzero(voiced), log_hz[voiced])
    kernel = np.hanning(7)[1:-1] / np.hanning(7)[1:-1].sum()
    log_hz = np.convolve(np.pad(log_hz, 2, mode="edge"), kernel, mode="valid")
    shape = (frames, HALVES)
    return log_hz.reshape(shape).astype(np.float32), voiced.reshape(shape).astype(np.float32)


def fit(spectra: Floats, log_hz: Floats, voiced: Floats) -> Basis:
    """Fits a basis to frames [n, 80], [n, 2], [n, 2]."""
    mean = spectra.mean(0)
    values, vectors = np.linalg.eigh(np.cov((spectra - mean).T.astype(np.float64)))
    values, vectors = values[::-1][:SPECTRAL], vectors[:, ::-1][:, :SPECTRAL]
    scale = 1.0 / np.sqrt(values + 0.01 * values[0])
    spoken = log_hz[voiced > 0]
    return Basis(mean, (vectors * scale).astype(np.float32), (float(spoken.mean()), float(spoken.std())))


def latent(spectra: Floats, log_hz: Floats, voiced: Floats, basis: Basis) -> Floats:
    """Returns latents float32 [n, 64]: spectral directions, pitch, voicing."""
    mean, deviation = basis.pitch
    tones = (log_hz - mean) / deviation
    return np.concatenate([(spectra - basis.mean) @ basis.forward, tones, 2 * voiced - 1], 1).astype(
        np.float32
    )


def measure(recordings: list[Recording], basis: Basis | None = None) -> tuple[list[Floats], Basis]:
    """Returns the latent float32 [frames, 64] of each recording, and the basis, fitted if none is given."""
    parts = []
    for recording in recordings:
        wave = recording.wave.astype(np.float32) / 32768.0
        frames = n_frames(len(wave))
        parts.append((log_mel(wave, frames), *pitch(wave, frames)))
    if basis is None:
        basis = fit(*(np.concatenate([part[i] for part in parts]) for i in range(3)))
    return [latent(*part, basis) for part in parts], basis


def save_latents(path: Path, latents: list[Floats]) -> None:
    """Writes latents [frames, 64] of several recordings, in half precision."""
    ends = np.cumsum([len(z) for z in latents])
    np.savez(path, latents=np.concatenate(latents).astype(np.float16), ends=ends)


def load_latents(path: Path) -> list[Floats]:
    """Reads what `save_latents` wrote."""
    with np.load(path) as file:
        return np.split(file["latents"].astype(np.float32), file["ends"][:-1])


def save_basis(path: Path, basis: Basis) -> None:
    """Writes a basis."""
    np.savez(path, mean=basis.mean, forward=basis.forward, pitch=np.array(basis.pitch))


def load_basis(path: Path) -> Basis:
    """Reads what `save_basis` wrote."""
    with np.load(path) as file:
        mean, deviation = file["pitch"]
        return Basis(file["mean"], file["forward"], (float(mean), float(deviation)))


def _cut(wave: Floats, frames: int, window: int) -> Floats:
    """Cuts pieces [2 * frames, window] around the middles of half frames."""
    half = FRAME // HALVES
    padded = np.pad(wave, (window, window))
    starts = np.arange(frames * HALVES) * half + half // 2 - window // 2 + window
    return padded[starts[:, None] + np.arange(window)]


def _best_path(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Finds the path through score [n, lags] with the highest sum where a lag moves by at most 8% a step."""
    reach = 5
    n, lags = score.shape
    total = score[0]
    back = np.zeros((n, lags), np.int64)
    for i in range(1, n):
        padded = np.pad(total, reach, constant_values=-np.inf)
        around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
        around = around - 0.004 * np.abs(np.arange(-reach, reach + 1))
        best = around.argmax(1)
        back[i] = np.arange(lags) + best - reach
        total = score[i] + around[np.arange(lags), best]
    path = np.zeros(n, np.int64)
    path[-1] = total.argmax()
    for i in range(n - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    return path


def _mel_bands() -> NDArray[np.float64]:
    """Triangular filters [40, 257] from 40 Hz to 7.8 kHz."""
    top = 2595 * np.log10(1 + 7800 / 700)
    low = 2595 * np.log10(1 + 40 / 700)
    edges = 700 * (10 ** (np.linspace(low, top, BANDS + 2) / 2595) - 1)
    hz = np.arange(FFT // 2 + 1) * RATE / FFT
    rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(rising, falling), 0, None)
