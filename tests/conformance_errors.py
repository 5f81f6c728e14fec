"""How far computed values are from recorded ones; wrong shapes and NaN are infinitely far."""

from __future__ import annotations

import numpy as np

from sovits_runtime.bundle.graph_spec import Array


def absolute(got: Array, expected: Array) -> float:
    """Largest difference."""
    if got.shape != expected.shape:
        return float("inf")
    error = float(np.abs(got.astype(np.float64) - expected).max())
    return error if np.isfinite(error) else float("inf")


def relative(got: Array, expected: Array) -> float:
    """Largest difference over the largest magnitude."""
    return absolute(got, expected) / float(np.abs(expected).max())


def differing(got: Array, expected: Array) -> float:
    """Share of entries that differ."""
    return float(np.mean(got != expected)) if got.shape == expected.shape else 1.0


def noise_share(got: Array, expected: Array) -> float:
    """Root of the error's energy over the signal's; an SNR of 60 dB is 1e-3."""
    if got.shape != expected.shape:
        return float("inf")
    error = np.sum((got.astype(np.float64) - expected) ** 2) / np.sum(expected.astype(np.float64) ** 2)
    return float(np.sqrt(error)) if np.isfinite(error) else float("inf")
