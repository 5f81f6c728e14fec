"""Operators added to an FP32 graph that measure it while it runs: ranges, sums, and what rounding to FP16 would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from sovits_engines.passes.edits import constant
from sovits_engines.passes.operator_rules import LINEAR, is_float

_FP32, _FP16 = ir.DataType.FLOAT, ir.DataType.FLOAT16
_MEASURED_ALONE = frozenset({"Cast", "TensorScatter"})


@dataclass(frozen=True)
class Probes:
    """What was added.

    Attributes:
        names: New outputs, a number each: `largest:VALUE`, `sums:NODE` or `error:NODE`, a node by its first output.
    """

    names: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether there was anything to measure."""
        return bool(self.names)


def add_probes(model: ir.Model) -> Probes:
    """Adds operators and outputs that tell about every FP32 value and every node that makes one.

    The largest magnitude of a value; the largest sum of the magnitudes that a linear layer or attention adds up; the
    change of a node's output when its inputs and its output are rounded to FP16, as a fraction of the output's norm.

    Args:
        model: An FP32 graph; weights are not read.
    """
    return Probes(tuple(_Instrument(model.graph).add()))


class _Instrument:
    """Adds the measuring operators and outputs."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.probes: list[str] = []
        self.rounded: dict[ir.Value, ir.Value] = {}

    def add(self) -> list[str]:
        nodes = list(self.graph)
        for value in self.graph.inputs:
            if is_float(value):
                self._probe("largest", value.name, self._largest(value))
        for node in nodes:
            outputs = [v for v in node.outputs if is_float(v) and (v.uses() or v.is_graph_output())]
            for value in outputs:
                self._probe("largest", value.name, self._largest(value))
            if not outputs or node.op_type in _MEASURED_ALONE:
                continue
            self._probe("error", node.outputs[0].name, self._error(node))
            if node.op_type in LINEAR or node.op_type == "Attention":
                self._probe("sums", node.outputs[0].name, self._sum(node))
        return self.probes

    def _probe(self, kind: str, of: str | None, value: ir.Value) -> None:
        value.name = f"{kind}:{of}"
        value.type, value.shape = ir.TensorType(_FP32), ir.Shape([])
        self.probes.append(value.name)
        self.graph.outputs.append(value)

    def _node(self, op: str, inputs: Sequence[ir.Value | None], **attributes: int) -> ir.Value:
        node = ir.node(op, inputs, attributes=attributes)
        self.graph.append(node)
        return node.outputs[0]

    def _largest(self, value: ir.Value) -> ir.Value:
        return self._node("ReduceMax", [self._node("Abs", [value])], keepdims=0)

    def _round(self, value: ir.Value) -> ir.Value:
        if value not in self.rounded:
            rounded = self._node("Cast", [value], to=int(_FP16))
            self.rounded[value] = self._node("Cast", [rounded], to=int(_FP32))
        return self.rounded[value]

    def _again(self, node: ir.Node, inputs: Sequence[ir.Value | None]) -> ir.Value:
        twin = ir.Node(
            node.domain, node.op_type, inputs, node.attributes.values(), num_outputs=len(node.outputs)
        )
        self.graph.append(twin)
        return twin.outputs[0]

    def _error(self, node: ir.Node) -> ir.Value:
        inputs = [self._round(v) if v is not None and is_float(v) else v for v in node.inputs]
        exact = node.outputs[0]
        change = self._node("Sub", [self._round(self._again(node, inputs)), exact])
        tiny = constant(self.graph, "calibration:tiny", np.array(1e-30, np.float32))
        norms = [self._node("ReduceL2", [v], keepdims=0) for v in (change, exact)]
        return self._node("Div", [norms[0], self._node("Add", [norms[1], tiny])])

    def _sum(self, node: ir.Node) -> ir.Value:
        sizes = [self._node("Abs", [v]) if v is not None and is_float(v) else v for v in node.inputs]
        if node.op_type != "Attention":
            return self._node("ReduceMax", [self._again(node, sizes)], keepdims=0)
        keys = ir.node("Transpose", [sizes[1]], attributes={"perm": [0, 1, 3, 2]})
        self.graph.append(keys)
        return self._node("ReduceMax", [self._node("MatMul", [sizes[0], keys.outputs[0]])], keepdims=0)
