"""A synthetic reference recording: a buzzing voice that follows a list of phones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sovits_exporter.demo.weights import unit

SAMPLE_RATE = 32000
PEAK = 0.6

Floats = NDArray[np.float64]

# Relative length, loudness of the voice, loudness of the noise, formants in Hz.
_Sound = tuple[float, float, float, tuple[float, float]]

_VOWEL_FORMANTS = {
    "AA": (730, 1090),
    "AE": (660, 1720),
    "AH": (620, 1190),
    "AO": (570, 840),
    "AW": (700, 1050),
    "AY": (680, 1450),
    "EH": (530, 1840),
    "ER": (490, 1350),
    "EY": (450, 2050),
    "IH": (390, 1990),
    "IY": (280, 2290),
    "OW": (470, 950),
    "OY": (510, 1050),
    "UH": (440, 1020),
    "UW": (300, 870),
}
_NEUTRAL = (350.0, 1300.0)
_SILENCE: _Sound = (1.0, 0.0, 0.0, _NEUTRAL)
_CLASSES: dict[str, _Sound] = {
    **dict.fromkeys(("L", "M", "N", "NG", "R", "W", "Y"), (0.8, 0.5, 0.0, _NEUTRAL)),
    **dict.fromkeys(("DH", "JH", "V", "Z", "ZH"), (0.8, 0.3, 0.04, _NEUTRAL)),
    **dict.fromkeys(("CH", "F", "HH", "S", "SH", "TH"), (1.0, 0.0, 0.08, _NEUTRAL)),
    **dict.fromkeys(("B", "D", "G", "K", "P", "T"), (0.7, 0.05, 0.02, _NEUTRAL)),
    **dict.fromkeys((",", ".", "!", "?", "…", "-"), (4.0, 0.0, 0.0, _NEUTRAL)),
}
_THIRD_FORMANT_HZ, _HIGHEST_HZ = 2600.0, 5500.0
_BANDWIDTH_HZ = (90.0, 120.0, 180.0)
_STEPS_HZ, _GLIDE_STEPS = 200, 7


def speech_like(phones: Sequence[str], *, seconds: float = 5.0, seed: int = 0) -> Floats:
    """Returns a sound with the pitch movement, formants, hiss and pauses of speech.

    Args:
        phones: ARPAbet symbols and marks; they share the time by their kind.
        seconds: Length of the sound.
        seed: Selects the noise.

    Returns:
        [samples], float64 within +-0.6, 32 kHz.
    """
    steps, samples = round(seconds * _STEPS_HZ), round(seconds * SAMPLE_RATE)
    tracks = _tracks([_SILENCE, *map(_sound, phones), _SILENCE], steps)
    voice, noise = (_at_sample_rate(track, samples) for track in tracks[:2])
    hiss = np.diff(unit("reference.wav", (samples + 1,), seed).astype(np.float64))
    wave = voice * _buzz(tracks[2], tracks[3], samples) + noise * hiss
    return np.asarray(wave * (PEAK / np.abs(wave).max()), dtype=np.float64)


def _sound(phone: str) -> _Sound:
    vowel = phone.rstrip("012")
    if vowel in _VOWEL_FORMANTS:
        return (1.6, 1.0, 0.0, _VOWEL_FORMANTS[vowel])
    return _CLASSES[phone]


def _tracks(sounds: Sequence[_Sound], steps: int) -> Floats:
    """Returns loudness of voice and noise and both formants at every step, gliding: [4, steps]."""
    ends = np.cumsum([sound[0] for sound in sounds])
    at = np.searchsorted(ends, np.arange(steps) * (ends[-1] / steps), side="right")
    tracks = np.array([(voice, noise, *formants) for _, voice, noise, formants in sounds])[at].T
    padded = np.pad(tracks, ((0, 0), (_GLIDE_STEPS // 2,) * 2), mode="edge")
    glided = np.lib.stride_tricks.sliding_window_view(padded, _GLIDE_STEPS, axis=1).mean(axis=2)
    return np.asarray(glided, dtype=np.float64)


def _at_sample_rate(track: Floats, samples: int) -> Floats:
    return np.interp(np.linspace(0.0, len(track) - 1.0, samples), np.arange(len(track)), track)


def _buzz(first: Floats, second: Floats, samples: int) -> Floats:
    """Sums the harmonics of a moving pitch, each as loud as the formants are at its frequency: [samples]."""
    seconds = np.arange(len(first)) / _STEPS_HZ
    pitch = 125.0 - 4.0 * seconds + 14.0 * np.sin(4.4 * seconds) + 3.0 * np.sin(28.0 * seconds)
    phase = 2 * math.pi / SAMPLE_RATE * np.cumsum(_at_sample_rate(pitch, samples))
    formants = (first, second, np.full_like(first, _THIRD_FORMANT_HZ))
    total = np.zeros(samples)
    for k in range(1, int(_HIGHEST_HZ / pitch.max()) + 1):
        loudness = np.zeros_like(pitch)
        for formant, width in zip(formants, _BANDWIDTH_HZ, strict=True):
            loudness += 1.0 / (1.0 + ((k * pitch - formant) / width) ** 2)
        total += _at_sample_rate(loudness / k**0.5, samples) * np.sin(k * phase)
    return total
