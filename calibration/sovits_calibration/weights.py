"""Constants that FP16 cannot hold: too large, or so small that they vanish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sovits_engines.passes.operator_rules import FP16_MAX, is_float

MAX_VANISHED = 0.01
MAX_ROUNDING = 1e-3
"""Of a weight's numbers, the largest fraction that may become zero; and the largest change of the whole, as a fraction
of its norm (FP16 by itself gives at most 5e-4)."""


@dataclass(frozen=True)
class WeightLoss:
    """What a constant loses in FP16.

    Attributes:
        largest: Largest magnitude.
        vanished: Fraction of its numbers, zeros apart, that become zero.
        rounding: Norm of the change as a fraction of the norm.
    """

    largest: float
    vanished: float
    rounding: float

    def complaint(self) -> str:
        """Says what is wrong, or "" when FP16 holds the constant well."""
        if not self.largest <= FP16_MAX:
            return f"reaches {self.largest:.3g}, FP16 ends at {FP16_MAX:.0f}"
        if self.vanished > MAX_VANISHED:
            return f"{100 * self.vanished:.1f} % of it would become zero"
        if self.rounding > MAX_ROUNDING:
            return f"would change by {self.rounding:.1e} of its norm"
        return ""


def weight_loss(numbers: NDArray[Any]) -> WeightLoss:
    """Measures what FP16 makes of a float32 array of any shape; infinities count as too large, NaN as well."""
    full = numbers.astype(np.float64).ravel()
    largest = float(np.abs(full).max(initial=0.0))
    if not largest <= FP16_MAX:
        return WeightLoss(largest, 0.0, 0.0)
    rounded = numbers.astype(np.float16).astype(np.float64).ravel()
    norm = float(np.linalg.norm(full))
    vanished = np.count_nonzero((rounded == 0) & (full != 0)) / max(int(np.count_nonzero(full)), 1)
    return WeightLoss(largest, vanished, float(np.linalg.norm(full - rounded)) / norm if norm else 0.0)


def complaints(graph: ir.Graph) -> dict[ir.Value, str]:
    """The float constants of a graph that FP16 does not hold well, each with what is wrong."""
    problems = {}
    for value in graph.initializers.values():
        if is_float(value) and value.const_value is not None:
            complaint = weight_loss(value.const_value.numpy()).complaint()
            if complaint:
                problems[value] = complaint
    return problems
