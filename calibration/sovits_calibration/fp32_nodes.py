"""Which nodes of a graph stay FP32, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from sovits_calibration import weights
from sovits_calibration.fp16_ranges import Margins, needs_fp32
from sovits_calibration.measure import Measurements
from sovits_engines.passes.operator_rules import LINEAR, fp32_by_meaning, is_float

REASONS: Mapping[str, str] = {
    "choice": "decides something: an ArgMax, a comparison or an index is computed from it",
    "root": "a root or logarithm, and what it is taken of",
    "sum": "adds up many terms: softmax, mean, norm",
    "exponential": "multiplies absolute errors by its result",
    "position": "whole numbers, or sines of them, beyond what FP16 counts exactly",
    "weight": "FP16 does not hold this constant",
    "range": "a tensor comes near the end of FP16's range, or passes it",
    "sums": "what a layer adds up could pass the end of FP16's range on the way",
    "error": "rounding its inputs or its result costs too many digits",
    "shared": "another graph on the same weights keeps this one in FP32",
    "kept": "was named by the file of --keep, which 'engine debug' wrote",
    "between": "lies between parts in FP32, where FP16 would only cost two casts",
}
"""What each reason means, for people."""


@dataclass(frozen=True)
class Fp32Node:
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


def choose(
    models: Sequence[ir.Model],
    measured: Sequence[Measurements | None],
    margins: Margins,
    *,
    asked: Mapping[str, Sequence[Fp32Node]] | None = None,
) -> list[dict[str, Fp32Node]]:
    """Chooses the FP32 nodes of graphs that share one weight file.

    Args:
        models: FP32 models.
        measured: What was measured in each; None where nothing could be.
        margins: How far from trouble FP16 must stay.
        asked: By graph, what shall stay FP32 whatever was measured.

    Returns:
        One dict a graph, by node name. A layer's weight or a cache that one graph keeps in FP32 is FP32 in all.
    """
    chosen = [
        _of_one(model.graph, of_graph, margins) for model, of_graph in zip(models, measured, strict=True)
    ]
    for model, fp32_nodes in zip(models, chosen, strict=True):
        for node in (asked or {}).get(model.graph.name or "", ()):
            fp32_nodes.setdefault(node.node, node)
    shared: dict[str, str] = {}
    for model, fp32_nodes in zip(models, chosen, strict=True):
        shared |= {key: node for node, key in _common(model.graph) if node in fp32_nodes}
    for model, fp32_nodes in zip(models, chosen, strict=True):
        nodes = {n.outputs[0].name: n for n in model.graph}
        for name, key in _common(model.graph):
            if key in shared:
                _add(fp32_nodes, nodes[name], "shared", f"{key}, which another graph keeps in FP32")
    return chosen


def _common(graph: ir.Graph) -> Iterator[tuple[str, str]]:
    """Nodes that graphs on the same weights have in common, each with the name of the weight or cache."""
    for node in graph:
        name = node.outputs[0].name or ""
        if node.op_type == "TensorScatter":
            yield name, name
        elif node.op_type in LINEAR:
            for value in node.inputs:
                if value is not None and value.is_initializer() and is_float(value):
                    yield name, value.name or ""


def _of_one(graph: ir.Graph, measured: Measurements | None, margins: Margins) -> dict[str, Fp32Node]:
    fp32_nodes: dict[str, Fp32Node] = {}
    for node, reason in fp32_by_meaning(graph).items():
        _add(fp32_nodes, node, reason, "")
    for value, complaint in weights.complaints(graph).items():
        for use in value.uses():
            _add(fp32_nodes, use.node, "weight", f"{value.name} {complaint}")
    if measured is not None:
        for node, reason, detail in needs_fp32(graph, measured, margins):
            _add(fp32_nodes, node, reason, detail)
    return fp32_nodes


def _add(fp32_nodes: dict[str, Fp32Node], node: ir.Node, reason: str, detail: str) -> None:
    name = node.outputs[0].name or ""
    fp32_nodes.setdefault(name, Fp32Node(name, node.op_type, reason, detail))
