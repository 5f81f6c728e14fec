"""A mixed-precision graph as it would compute on hardware that rounds after every FP16 operator.

ONNX Runtime has few FP16 operators on the CPU: it computes in FP32 and leaves out the rounding between two of them, so
an overflow there goes unseen. Here every operator computes in FP32 and an explicit pair of Casts rounds its result.
"""

from __future__ import annotations

import onnx_ir as ir

from sovits_engines.passes.operator_rules import MOVES

_FP32, _FP16 = ir.DataType.FLOAT, ir.DataType.FLOAT16
_KEEPS_ROUNDED = MOVES | {"TensorScatter", "Relu", "Neg", "Abs", "Max", "Min"}
"""Operators whose results are FP16 numbers when their inputs are."""


def simulate_fp16(model: ir.Model) -> bool:
    """Changes a mixed-precision model into one that computes in FP32 and rounds where it says FP16.

    Inputs and outputs keep their types.
    """
    graph = model.graph
    computed = (value for node in graph for value in node.outputs)
    if not any(v.dtype == _FP16 for v in (*graph.inputs, *graph.initializers.values(), *computed)):
        return False
    for value in list(graph.initializers.values()):
        if value.dtype == _FP16 and value.const_value is not None:
            numbers = value.const_value.numpy().astype(_FP32.numpy())
            value.const_value = ir.Tensor(numbers, name=value.name)
            value.dtype = _FP32
    nodes = list(graph)
    for value in [v for v in graph.inputs if v.dtype == _FP16]:
        users = [n for n in nodes if value in n.inputs]
        fp32 = _cast(graph, value, _FP32, before=users[0] if users else None)
        value.replace_all_uses_with(fp32)
        fp32.producer().replace_input_with(0, value)  # type: ignore[union-attr]
    for node in nodes:
        _widen(graph, node)
    for i, value in enumerate(graph.outputs):
        if value.dtype == _FP16:
            _narrow_output(graph, i, value)
    return True


def _widen(graph: ir.Graph, node: ir.Node) -> None:
    rounded = [v for v in node.outputs if v.dtype == _FP16]
    if node.op_type == "Cast" and node.attributes["to"].as_int() == _FP16:
        node.attributes["to"] = ir.AttrInt64("to", int(_FP32))
    if node.op_type == "ConstantOfShape" and rounded:
        filled = node.attributes["value"].as_tensor().numpy().astype(_FP32.numpy())
        node.attributes["value"] = ir.AttrTensor("value", ir.Tensor(filled))
    for value in rounded:
        if value.is_graph_output():
            continue
        value.type = ir.TensorType(_FP32)
        if node.op_type not in _KEEPS_ROUNDED:
            _round(graph, value)


def _round(graph: ir.Graph, value: ir.Value) -> None:
    fp16 = _cast(graph, value, _FP16)
    fp32 = _cast(graph, fp16, _FP32)
    value.replace_all_uses_with(fp32)
    fp16.producer().replace_input_with(0, value)  # type: ignore[union-attr]


def _narrow_output(graph: ir.Graph, index: int, value: ir.Value) -> None:
    """An FP16 output: the operator gives FP32 under another name, and a Cast gives what it rounds to."""
    name = value.name
    value.name, value.type = f"{name}.full", ir.TensorType(_FP32)
    fp16 = _cast(graph, value, _FP16)
    fp32 = _cast(graph, fp16, _FP32)
    fp16.name = name
    graph.outputs[index] = fp16
    value.replace_all_uses_with(fp32)
    fp16.producer().replace_input_with(0, value)  # type: ignore[union-attr]


def _cast(graph: ir.Graph, value: ir.Value, to: ir.DataType, *, before: ir.Node | None = None) -> ir.Value:
    node = ir.node("Cast", [value], attributes={"to": int(to)})
    node.outputs[0].type, node.outputs[0].shape = ir.TensorType(to), value.shape
    producer = value.producer()
    if producer is not None:
        graph.insert_after(producer, node)
    elif before is not None:
        graph.insert_before(before, node)
    return node.outputs[0]
