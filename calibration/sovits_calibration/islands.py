"""Which nodes of a graph stay FP32, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from sovits_calibration import semantics, weights

REASONS: Mapping[str, str] = {
    "choice": "decides something: an ArgMax, a comparison or an index is computed from it",
    "root": "a root or logarithm, and what it is taken of",
    "sum": "adds up many terms: softmax, mean, norm",
    "exponential": "multiplies absolute errors by its result",
    "position": "whole numbers, or sines of them, beyond what FP16 counts exactly",
    "weight": "FP16 does not hold this constant",
    "shared": "another graph on the same weights keeps this one in FP32",
    "between": "lies between parts in FP32, where FP16 would only cost two casts",
}
"""What each reason means, for people."""


@dataclass(frozen=True)
class Island:
    """One node that stays FP32.

    Attributes:
        node: The node, by its first output.
        op: Operator.
        reason: A key of `REASONS`.
        detail: Which tensor, which range, which margin, where numbers decided.
    """

    node: str
    op: str
    reason: str
    detail: str = ""


def choose(models: Sequence[ir.Model]) -> list[dict[str, Island]]:
    """Chooses the islands of graphs that share one weight file.

    Returns:
        One dict a graph, by node name; a constant that one graph keeps in FP32 is FP32 in all of them.
    """
    chosen = [_of_one(model.graph) for model in models]
    kept = {
        value.name: node.outputs[0].name
        for model, islands in zip(models, chosen, strict=True)
        for node in model.graph
        if node.outputs[0].name in islands and node.op_type in semantics.LINEAR
        for value in node.inputs
        if value is not None and value.is_initializer() and semantics.is_float(value)
    }
    for model, islands in zip(models, chosen, strict=True):
        for node in model.graph:
            for value in node.inputs:
                if value is not None and value.name in kept:
                    _add(islands, node, "shared", f"{value.name}, which {kept[value.name]} keeps in FP32")
    return chosen


def _of_one(graph: ir.Graph) -> dict[str, Island]:
    islands: dict[str, Island] = {}
    for node, reason in semantics.islands(graph).items():
        _add(islands, node, reason, "")
    for value, complaint in weights.complaints(graph).items():
        for use in value.uses():
            _add(islands, use.node, "weight", f"{value.name} {complaint}")
    return islands


def _add(islands: dict[str, Island], node: ir.Node, reason: str, detail: str) -> None:
    name = node.outputs[0].name or ""
    islands.setdefault(name, Island(name, node.op_type, reason, detail))
