"""Measures the numbers inside a graph: their range, what sums could reach, and what rounding to FP16 would do.

The measurements are operators added to the graph, so only a few numbers leave each run and memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from sovits_calibration.observe import Feeds
from sovits_engines.passes.operator_rules import LINEAR, is_float
from sovits_runtime.errors import BackendError
from sovits_runtime.machine.onnx_runtime import load_onnxruntime

_FLOAT, _HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
_MEASURED_ALONE = frozenset({"Cast", "TensorScatter"})


@dataclass(frozen=True)
class Measurements:
    """What was measured over all runs of one graph.

    Attributes:
        largest: By value, the largest magnitude.
        sums: By node (its first output), the largest sum of the magnitudes that a linear layer or attention adds up.
        error: By node, the largest change of its output when its inputs and its output are rounded to FP16, as a
            fraction of the output's norm; infinite where FP16 cannot hold them.
    """

    largest: dict[str, float]
    sums: dict[str, float]
    error: dict[str, float]


def measure(path: Path, runs: Sequence[Feeds]) -> Measurements:
    """Measures an FP32 graph on given inputs.

    Args:
        path: The `.onnx` file.
        runs: One dict of inputs a run.

    Raises:
        BackendError: ONNX Runtime cannot run the graph.
    """
    model = ir.load(path)
    probes = _Instrument(model.graph).add()
    # Every value is looked at, so little can be fused, and trying takes as long as running the graph.
    session = open_in_memory(model, path.parent, fuse=False)
    found: dict[str, float] = dict.fromkeys(probes, 0.0)
    for feeds in runs:
        for name, number in zip(probes, session.run(probes, dict(feeds)), strict=True):
            found[name] = max(found[name], float(number)) if np.isfinite(number) else float("inf")
    kinds: dict[str, dict[str, float]] = {"largest": {}, "sums": {}, "error": {}}
    for name, number in found.items():
        kind, _, of = name.partition(":")
        kinds[kind][of] = number
    return Measurements(**kinds)


def open_in_memory(model: ir.Model, base: Path, *, fuse: bool = True) -> Any:
    """Opens a changed model whose weights still lie in `base`; operators run as early as they can, freeing memory.

    Args:
        model: The model.
        base: Folder of its weights.
        fuse: Whether ONNX Runtime looks for operators to put together.
    """
    ort = load_onnxruntime()
    levels = ort.GraphOptimizationLevel
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = _relative(value.const_value)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if fuse else levels.ORT_ENABLE_BASIC
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(base))
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leaves the cores to others
    try:
        return ort.InferenceSession(
            ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime raises a class of its own for each kind of failure
        raise BackendError(
            f"graph {model.graph.name}: ONNX Runtime cannot open it for calibration: {error}"
        ) from error


def _relative(tensor: ir.ExternalTensor) -> ir.ExternalTensor:
    return ir.ExternalTensor(
        tensor.location, tensor.offset, tensor.length, tensor.dtype, shape=tensor.shape, name=tensor.name
    )


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
        value.type, value.shape = ir.TensorType(_FLOAT), ir.Shape([])
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
            half = self._node("Cast", [value], to=int(_HALF))
            self.rounded[value] = self._node("Cast", [half], to=int(_FLOAT))
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
        tiny = self._constant("tiny", 1e-30)
        norms = [self._node("ReduceL2", [v], keepdims=0) for v in (change, exact)]
        return self._node("Div", [norms[0], self._node("Add", [norms[1], tiny])])

    def _sum(self, node: ir.Node) -> ir.Value:
        sizes = [self._node("Abs", [v]) if v is not None and is_float(v) else v for v in node.inputs]
        if node.op_type != "Attention":
            return self._node("ReduceMax", [self._again(node, sizes)], keepdims=0)
        keys = ir.node("Transpose", [sizes[1]], attributes={"perm": [0, 1, 3, 2]})
        self.graph.append(keys)
        return self._node("ReduceMax", [self._node("MatMul", [sizes[0], keys.outputs[0]])], keepdims=0)

    def _constant(self, name: str, number: float) -> ir.Value:
        name = f"calibration:{name}"
        if name not in self.graph.initializers:
            value = ir.Value(name=name, type=ir.TensorType(_FLOAT), shape=ir.Shape([]))
            value.const_value = ir.Tensor(np.array(number, np.float32), name=name)
            self.graph.register_initializer(value)
        return self.graph.initializers[name]
