"""FP32 graph to strongly typed mixed precision: every operator says in its types what it computes in.

Weights and compute become FP16 but for the nodes that shall stay FP32; a Cast stands where the two meet and nowhere
else. Inputs and outputs keep their types, but for those that the caller names (the key-value caches). Nothing here
decides which nodes stay FP32; see `sovits_calibration.fp32_nodes`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass

from sovits_engines.passes.attention import is_plain, write_out
from sovits_engines.passes.operator_rules import FP16_MAX, LINEAR, is_float
from sovits_runtime.errors import BundleError

_SHAPE_ONLY = frozenset({"Shape", "Size"})
_KEEPS_ITS_PRECISION = LINEAR | {"Attention", "TensorScatter"}


@dataclass(frozen=True)
class Fp16Conversion:
    """What became of a graph.

    Attributes:
        changed: Whether anything was changed.
        fp32_nodes: The nodes that stayed FP32, each by its first output: those that were to stay, and what lies
            between them where FP16 would only cost two Casts.
    """

    changed: bool
    fp32_nodes: frozenset[str]


def lower_to_fp16(
    model: ir.Model, *, fp32_nodes: Collection[str], fp16_io: Collection[str]
) -> Fp16Conversion:
    """Turns an FP32 model into mixed precision.

    Args:
        model: An exported FP32 model.
        fp32_nodes: Nodes that stay FP32, each named by its first output.
        fp16_io: Inputs and outputs of the graph that become FP16.

    Raises:
        BundleError: The graph holds what cannot be converted: a subgraph, an operator without schema, attention in
            FP32 of a form that the exporter does not write, or a constant that FP16 cannot hold of a node that does
            not stay FP32.
    """
    lifted = LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model).modified
    conversion = _Conversion(model, fp32_nodes, fp16_io)
    fp32_names = conversion.run()
    return Fp16Conversion(lifted or conversion.changed, fp32_names)


class _Conversion:
    def __init__(self, model: ir.Model, fp32_nodes: Collection[str], fp16_io: Collection[str]) -> None:
        self.model = model
        self.graph = model.graph
        self.fp16_io = fp16_io
        self.changed = False
        self.slots = {node: _float_slots(node, model) for node in self.graph}
        self.fp32 = {n for n in self.graph if n.outputs[0].name in fp32_nodes}
        self.casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def run(self) -> frozenset[str]:
        self._join_between()
        fp32_names = frozenset(n.outputs[0].name or "" for n in self.fp32)
        for node in [n for n in self.graph if n in self.fp32 and n.op_type == "Attention"]:
            self._replace_attention(node)
        types = {v: v.dtype for v in (*self.graph.inputs, *self.graph.outputs)}
        for value in types:
            if value.name in self.fp16_io:
                self.changed |= value.dtype != ir.DataType.FLOAT16
                types[value] = value.dtype = ir.DataType.FLOAT16
        for node in list(self.graph):
            self._retype(node)
        for index, value in enumerate(self.graph.outputs):
            self._restore_output(index, value, types[value])
        self.changed |= bool(RemoveUnusedNodesPass()(self.model).modified)
        for value in list(self.graph.initializers.values()):
            official = (value.name or "").removesuffix(".fp16")
            if official not in self.graph.initializers:
                value.name = official
        return fp32_names

    def _join_between(self) -> None:
        """Keeps in FP32 what has FP32 on both sides anyway: chains of cheap operators between FP32 nodes and I/O."""
        chosen, between = self.fp32, {n for n in self.slots if self._may_join(n)} - self.fp32
        while True:
            self.fp32 = chosen | between
            outside = {n for n in between if not self._is_surrounded(n)}
            if not outside:
                return
            between -= outside

    def _may_join(self, node: ir.Node) -> bool:
        return node.op_type not in _KEEPS_ITS_PRECISION and bool(self._float_values(node)[1])

    def _is_surrounded(self, node: ir.Node) -> bool:
        inputs, outputs = self._float_values(node)
        moving = [v for v in inputs if not v.is_initializer()]
        return all(map(self._comes_in_fp32, moving)) and all(map(self._goes_to_fp32, outputs))

    def _float_values(self, node: ir.Node) -> tuple[list[ir.Value], list[ir.Value]]:
        slots, _ = self.slots[node]
        inputs = [v for i, v in enumerate(node.inputs) if v is not None and i in slots]
        return inputs, [v for v in node.outputs if is_float(v)]

    def _comes_in_fp32(self, value: ir.Value) -> bool:
        producer = value.producer()
        return producer in self.fp32 if producer is not None else value.name not in self.fp16_io

    def _goes_to_fp32(self, value: ir.Value) -> bool:
        users = [u.node for u in value.uses() if u.node.op_type not in _SHAPE_ONLY]
        is_output = value.is_graph_output() and value.name not in self.fp16_io
        return all(n in self.fp32 for n in users) and (bool(users) or is_output)

    def _replace_attention(self, node: ir.Node) -> None:
        if not is_plain(node, node.inputs):
            raise BundleError(
                f"graph {self.graph.name}: this form of Attention cannot be kept in FP32: {node}"
            )
        self.changed = True
        self.fp32.discard(node)
        name = node.outputs[0].name
        for new in write_out(node, self.graph, node.inputs, prefix=f"{name}.", last=f"{name}.result"):
            self.slots[new] = _float_slots(new, self.model)
            self.fp32.add(new)

    def _retype(self, node: ir.Node) -> None:
        slots, results = self.slots[node]
        want = ir.DataType.FLOAT if node in self.fp32 else ir.DataType.FLOAT16
        for i, value in enumerate(node.inputs):
            if value is None or node.op_type in _SHAPE_ONLY:
                continue
            if i in slots:
                node.replace_input_with(i, self._as(value, want, node))
            elif value.dtype == ir.DataType.FLOAT16 and value.producer() is not None:
                node.replace_input_with(i, self._as(value, ir.DataType.FLOAT, node))
        for i in results:
            self.changed |= node.outputs[i].dtype != want
            node.outputs[i].dtype = want
            node.outputs[i].type = ir.TensorType(want)
        _retype_attributes(node, want)

    def _as(self, value: ir.Value, want: ir.DataType, before: ir.Node) -> ir.Value:
        """The value in another precision: a weight is stored in it, anything else passes a Cast made once."""
        if value.dtype == want:
            return value
        key = (value, want)
        if key not in self.casts:
            self.changed = True
            converted = (
                self._weight(value, want) if value.is_initializer() else self._cast(value, want, before)
            )
            self.casts[key] = converted
        return self.casts[key]

    def _weight(self, value: ir.Value, want: ir.DataType) -> ir.Value:
        assert value.const_value is not None
        numbers = value.const_value.numpy()
        with np.errstate(over="ignore"):
            rounded = numbers.astype(np.float16)
        if not np.isfinite(rounded).all():
            raise BundleError(
                f"graph {self.graph.name}: {value.name} holds {np.abs(numbers).max():.3g}, more than FP16's "
                f"{FP16_MAX:.0f}; the calibration that chose its precision missed it, please report it"
            )
        name = f"{value.name}.fp16"
        weight = ir.Value(name=name, type=ir.TensorType(want), shape=value.shape)
        weight.const_value = ir.Tensor(rounded, name=name)
        self.graph.register_initializer(weight)
        return weight

    def _cast(self, value: ir.Value, want: ir.DataType, before: ir.Node) -> ir.Value:
        cast = _cast_node(value, want)
        producer = value.producer()
        if producer is None:
            self.graph.insert_before(before, cast)
        else:
            self.graph.insert_after(producer, cast)
        return cast.outputs[0]

    def _restore_output(self, index: int, value: ir.Value, want: ir.DataType | None) -> None:
        if value.dtype == want or want is None:
            return
        name, shape, producer = value.name, value.shape, value.producer()
        assert producer is not None
        value.name = f"{name}.fp16"
        cast = _cast_node(value, want)
        cast.outputs[0].name, cast.outputs[0].shape = name, shape
        self.graph.insert_after(producer, cast)
        self.graph.outputs[index] = cast.outputs[0]


def _cast_node(value: ir.Value, want: ir.DataType) -> ir.Node:
    short = "fp16" if want == ir.DataType.FLOAT16 else "fp32"
    cast = ir.node("Cast", [value], attributes={"to": int(want)}, name=f"to_{short}.{value.name}")
    cast.outputs[0].name = f"{value.name}.{short}"
    cast.outputs[0].type, cast.outputs[0].shape = ir.TensorType(want), value.shape
    return cast


def _float_slots(node: ir.Node, model: ir.Model) -> tuple[frozenset[int], tuple[int, ...]]:
    """Inputs and outputs of a node that follow its precision; the others have a type of their own by the schema."""
    if any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values()):
        raise BundleError(
            f"graph {model.graph.name}: {node.op_type} holds a subgraph, which cannot become FP16"
        )
    try:
        schema = onnx.defs.get_schema(node.op_type, model.opset_imports[node.domain], node.domain)
    except (onnx.defs.SchemaError, KeyError) as error:
        raise BundleError(
            f"graph {model.graph.name}: {node.domain}::{node.op_type} is not a standard ONNX operator, so its "
            "precision cannot be changed"
        ) from error
    flexible = {
        c.type_param_str
        for c in schema.type_constraints
        if {"tensor(float)", "tensor(float16)"} <= set(c.allowed_type_strs)
    }
    inputs = [
        i
        for i, v in enumerate(node.inputs)
        if is_float(v) and schema.inputs[min(i, len(schema.inputs) - 1)].type_str in flexible
    ]
    outputs = [
        i
        for i, v in enumerate(node.outputs)
        if is_float(v) and schema.outputs[min(i, len(schema.outputs) - 1)].type_str in flexible
    ]
    return frozenset(inputs), tuple(outputs)


def _retype_attributes(node: ir.Node, want: ir.DataType) -> None:
    if node.op_type == "Cast" and node.attributes["to"].as_int() == ir.DataType.FLOAT:
        node.attributes["to"] = ir.AttrInt64("to", int(want))
    elif node.op_type == "ConstantOfShape" and "value" in node.attributes:
        tensor = node.attributes["value"].as_tensor()
        if tensor.dtype == ir.DataType.FLOAT:
            node.attributes["value"] = ir.AttrTensor("value", ir.Tensor(tensor.numpy().astype(want.numpy())))


def casts(graph: ir.Graph) -> Iterator[ir.Node]:
    """The Casts between FP16 and FP32."""
    floats = {ir.DataType.FLOAT, ir.DataType.FLOAT16}
    for node in graph:
        if node.op_type == "Cast" and node.inputs[0] is not None:
            source, target = node.inputs[0].dtype, node.outputs[0].dtype
            if source in floats and target in floats:
                yield node
