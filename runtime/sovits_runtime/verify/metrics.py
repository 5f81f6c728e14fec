"""Measures of how far outputs of a graph, or a waveform, are from what they should be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio.spectrogram import log_mel
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.errors import AudioError, ShapeError

_DB_PER_NEPER = 20.0 / np.log(10.0)
_RANGE_DB = 80.0
_LEAST_SCALE = 1e-9


def relative_error(expected: Array, got: Array) -> float:
    """Measures the largest difference over the largest magnitude; of whole numbers, the fraction that differs.

    Returns:
        inf where the shapes differ or a number is not finite; an output of zeros is measured against 1e-9.
    """
    if expected.shape != got.shape:
        return float("inf")
    if expected.size == 0:
        return 0.0
    if expected.dtype.kind != "f":
        return float(np.mean(expected != got))
    scale = max(float(np.abs(expected).max()), _LEAST_SCALE)
    error = float(np.abs(expected.astype(np.float64) - got).max()) / scale
    return error if np.isfinite(error) else float("inf")


def cosine(expected: Array, got: Array) -> float:
    """Cosine of the angle between two arrays of one shape, taken as vectors; NaN where one is not finite."""
    a, b = expected.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else float(np.array_equal(a, b))


def kl_divergence(expected: NDArray[np.float32], got: NDArray[np.float32]) -> float:
    """KL divergence in nats of the distribution of logits `got` [V] from that of `expected` [V]."""
    p, q = (_log_softmax(x.astype(np.float64)) for x in (expected, got))
    return float(np.sum(np.exp(p) * (p - q)))


def _log_softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = x - x.max()
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return result


def snr_db(reference: NDArray[np.float32], test: NDArray[np.float32]) -> float:
    """Measures how far below the reference the error lies: 10 log10(sum(ref^2) / sum((ref - test)^2)).

    Args:
        reference: [n] float32.
        test: [n] float32.

    Returns:
        dB; inf when the waves are equal (two silent ones too), -inf when only the reference is silent.

    Raises:
        ShapeError: The waves are not one-dimensional or differ in length.
        AudioError: A wave is empty or holds NaN or infinity, so that no measure could be trusted.
    """
    _check_pair(reference, test)
    signal = np.asarray(reference, np.float64)
    noise_power = float(np.sum((signal - test) ** 2))
    signal_power = float(np.sum(signal**2))
    if noise_power == 0.0:
        return float("inf")
    if signal_power == 0.0:
        return float("-inf")
    return float(10.0 * np.log10(signal_power / noise_power))


def log_mel_distance_db(reference: NDArray[np.float32], test: NDArray[np.float32], rate: int) -> float:
    """Measures the mean absolute difference of two log-mel spectrograms, over all frames and 80 bands.

    Levels more than 80 dB below the reference's loudest band count as that, the usual range of a mel spectrogram in
    decibels: below it lie the empty bands and the silence of a trained voice, where what differs is not heard.
    Unlike in `snr_db`, phase hardly matters.

    Args:
        reference: [n] float32 samples in [-1, 1].
        test: [n] float32, of the same length and rate.
        rate: Sample rate of both, in Hz.

    Returns:
        dB; 0 for equal waves.

    Raises:
        ShapeError: The waves are not one-dimensional or differ in length.
        AudioError: A wave is too short (384 samples or less) or holds NaN or infinity.
    """
    _check_pair(reference, test)
    expected, got = log_mel(reference, rate), log_mel(test, rate)
    floor = expected.max() - _RANGE_DB / _DB_PER_NEPER
    difference = np.maximum(expected, floor) - np.maximum(got, floor)
    return float(np.mean(np.abs(difference), dtype=np.float64) * _DB_PER_NEPER)


def _check_pair(reference: NDArray[np.float32], test: NDArray[np.float32]) -> None:
    if np.ndim(reference) != 1 or np.shape(reference) != np.shape(test):
        raise ShapeError(
            f"comparison: got waves of shape {np.shape(reference)} and {np.shape(test)}, "
            "expected two of the same [n]; cut them to the same length first"
        )
    if len(reference) == 0:
        raise AudioError("comparison: got two empty waves, expected at least one sample")
    for name, wave in (("reference", reference), ("tested", test)):
        bad = int(np.count_nonzero(~np.isfinite(wave)))
        if bad:
            raise AudioError(
                f"comparison: the {name} wave holds {bad} NaN or infinite samples of {len(wave)}, "
                "expected finite ones; check the model that made it"
            )
