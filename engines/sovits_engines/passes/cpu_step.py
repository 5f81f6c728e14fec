"""The step graph in the form that ONNX Runtime runs fastest on a CPU: a third of the operators, equal numbers.

A step computes one row, so its time is that of reading the weights and caches once, plus a few microseconds an
operator. ONNX Runtime's GroupQueryAttention takes the packed projection as it is, writes the new row into the caches,
and reads only the rows that are filled; SkipLayerNormalization adds and normalizes in one pass. Both are ONNX Runtime's
own operators, so this form stands beside the portable one, which GPUs and TensorRT run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from sovits_engines.passes.edits import constant, take_place
from sovits_engines.passes.opset import lower_opset
from sovits_runtime.errors import BundleError

CONTRIB = "com.microsoft"
SUFFIX = ".cpu"
OPSET = 21
"""Which ONNX Runtime has known since 1.18; without TensorScatter and Attention, nothing needs the exported 24."""
_MOVES = {"Gather", "Squeeze", "Transpose", "Reshape"}
"""What stands between the packed projection and Attention: views of the heads of queries, keys and values."""


@dataclass(frozen=True)
class _Layer:
    attention: ir.Node
    keys: ir.Node
    values: ir.Node
    packed: ir.Value
    projection: ir.Node


def write_cpu_step(path: Path) -> Path:
    """Writes the CPU's form of a step graph beside it; both read the same weights.

    Returns:
        Its path.

    Raises:
        BundleError: The graph is not built as the exporter builds it.
    """
    model = ir.load(path)
    fuse_step(model)
    model.graph.name = f"{path.stem}{SUFFIX}"
    target = path.with_name(f"{model.graph.name}.onnx")
    ir.save(model, target)
    return target


def fuse_step(model: ir.Model) -> bool:
    """Fuses an exported step graph; its inputs and outputs stay as they are.

    Raises:
        BundleError: The graph is not built as the exporter builds it.
    """
    graph = model.graph
    attentions = [n for n in graph if n.op_type == "Attention"]
    if not attentions and any(n.op_type == "GroupQueryAttention" for n in graph):
        return False
    if not attentions:
        raise BundleError(f"graph {graph.name}: holds no Attention; expected the step graph of a GPT")
    layers = [_layer(n, graph) for n in attentions]
    lengths = _lengths(layers[0], graph)
    for layer in layers:
        _fuse_attention(layer, lengths, graph)
    for node in [n for n in graph if n.op_type == "LayerNormalization"]:
        _fuse_norm(node)
    model.opset_imports[CONTRIB] = 1
    RemoveUnusedNodesPass()(model)
    lower_opset(model, opset=OPSET)
    return True


def _layer(attention: ir.Node, graph: ir.Graph) -> _Layer:
    heads = []
    for value in attention.inputs[:3]:
        node = value.producer() if value is not None else None
        heads.append(node)
    query, keys, values = heads
    if keys is None or values is None or keys.op_type != "TensorScatter" or values.op_type != "TensorScatter":
        raise BundleError(
            f"graph {graph.name}: {attention.name} does not read caches written by TensorScatter"
        )
    sources = {_source(v) for v in (attention.inputs[0], keys.inputs[1], values.inputs[1])}
    if query is None or len(sources) != 1:
        raise BundleError(f"graph {graph.name}: {attention.name} does not read one packed projection")
    merged = attention.outputs[0]
    while (user := _only_user(merged, graph)).op_type in _MOVES:
        merged = user.outputs[0]
    return _Layer(attention, keys, values, sources.pop(), user)


def _source(value: ir.Value | None) -> ir.Value:
    assert value is not None
    node = value.producer()
    while node is not None and node.op_type in _MOVES:
        value = node.inputs[0]
        assert value is not None
        node = value.producer()
    return value


def _only_user(value: ir.Value, graph: ir.Graph) -> ir.Node:
    users = {use.node for use in value.uses()}
    if len(users) != 1:
        raise BundleError(f"graph {graph.name}: {value.name} is read by {len(users)} operators, expected one")
    return users.pop()


def _lengths(layer: _Layer, graph: ir.Graph) -> tuple[ir.Value, ir.Value]:
    """Positions filled before this step [B] and the most after it [], int32, inputs of the fused attention."""
    rows = ir.node("Cast", [layer.keys.inputs[2]], attributes={"to": int(ir.DataType.INT32)})
    most = ir.node("ReduceMax", rows.outputs, attributes={"keepdims": 0})
    total = ir.node("Add", [most.outputs[0], constant(graph, "cpu_step.one", np.array(1, np.int32))])
    before = layer.packed.producer()
    assert before is not None
    graph.insert_before(before, [rows, most, total])
    return rows.outputs[0], total.outputs[0]


def _fuse_attention(layer: _Layer, lengths: tuple[ir.Value, ir.Value], graph: ir.Graph) -> None:
    cache = layer.keys.inputs[0]
    assert cache is not None
    assert cache.shape is not None
    count = cache.shape[1]
    assert isinstance(count, int)
    axis = constant(graph, "cpu_step.row_axis", np.array([1], np.int64))
    row = ir.node("Unsqueeze", [layer.packed, axis])
    inputs = [row.outputs[0], None, None, cache, layer.values.inputs[0], *lengths]
    heads = {"num_heads": count, "kv_num_heads": count}
    fused = ir.node("GroupQueryAttention", inputs, attributes=heads, domain=CONTRIB, num_outputs=3)
    merged = ir.node("Squeeze", [fused.outputs[0], axis])
    graph.insert_before(layer.projection, [row, fused, merged])
    for old, new in zip((layer.keys.outputs[0], layer.values.outputs[0]), fused.outputs[1:], strict=True):
        new.name, new.type, new.shape = old.name, old.type, old.shape
        old.name = f"{old.name}.unfused"
        graph.outputs[list(graph.outputs).index(old)] = new
    layer.projection.replace_input_with(0, merged.outputs[0])


def _fuse_norm(norm: ir.Node) -> None:
    add = norm.inputs[0].producer() if norm.inputs[0] is not None else None
    if add is None or add.op_type != "Add":
        return
    fused = ir.node(
        "SkipLayerNormalization",
        [*add.inputs, *norm.inputs[1:]],
        attributes={"epsilon": norm.attributes.get_float("epsilon", 1e-5)},
        domain=CONTRIB,
    )
    take_place(fused, norm)
