"""Which nodes FP16 cannot serve, from what was measured: too large, sums too large, or too many digits lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from sovits_calibration.measure import Measurements
from sovits_engines.passes.operator_rules import FP16_MAX, back_to_layers, is_float, loses_digits_with


@dataclass(frozen=True)
class Margins:
    """How far from trouble FP16 must stay.

    Attributes:
        range: A tensor may grow by this factor beyond what was measured; the corpus is small.
        sum: The same for sums; smaller, since the sum of magnitudes is itself a bound that signs keep away from.
        error: Largest change that rounding its inputs and output may make to a node, as a fraction of its norm.
    """

    range: float = 8.0
    sum: float = 2.0
    error: float = 1e-2

    def stricter(self) -> Margins:
        """Margins that keep more in FP32."""
        return Margins(self.range, self.sum, self.error / 4)


def needs_fp32(
    graph: ir.Graph, measured: Measurements, margins: Margins
) -> Iterator[tuple[ir.Node, str, str]]:
    """Yields each node that must stay FP32 with the reason (a key of `fp32_nodes.REASONS`) and the numbers."""
    for node in graph:
        name = node.outputs[0].name or ""
        values = [v for v in (*node.inputs, *node.outputs) if v is not None and is_float(v)]
        for value in values:
            largest = measured.largest.get(value.name or "", 0.0)
            if not largest * margins.range <= FP16_MAX:
                yield node, "range", _beyond(f"{value.name} reaches", largest, margins.range)
        total = measured.sums.get(name, 0.0)
        if not total * margins.sum <= FP16_MAX:
            yield node, "sums", _beyond(f"the magnitudes that {name} adds up reach", total, margins.sum)
    for node in graph:
        error = measured.error.get(node.outputs[0].name or "", 0.0)
        if not error <= margins.error:
            detail = f"rounding changes {node.outputs[0].name} by {error:.1e} of its norm, limit {margins.error:.1e}"
            for part in back_to_layers([node], loses_digits_with):
                yield part, "error", detail


def _beyond(what: str, number: float, margin: float) -> str:
    return f"{what} {number:.4g}, {margin:g} times that is beyond {FP16_MAX:.0f}"
