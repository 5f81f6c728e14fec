"""How far the output of a graph is from what it should be."""

from __future__ import annotations

from typing import Any

import numpy as np


def relative_error(expected: np.ndarray[Any, Any], got: np.ndarray[Any, Any]) -> float:
    """Largest difference over the largest magnitude for floats; share of differing entries otherwise; inf for NaN."""
    if expected.shape != got.shape:
        return float("inf")
    if expected.size == 0:
        return 0.0
    if expected.dtype.kind != "f":
        return float(np.mean(expected != got))
    scale = max(float(np.abs(expected).max()), 1e-9)
    error = float(np.abs(expected.astype(np.float64) - got).max()) / scale
    return error if np.isfinite(error) else float("inf")
