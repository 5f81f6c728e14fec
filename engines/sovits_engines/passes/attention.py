"""Attention written out as MatMul, Where and Softmax, where there is no fused kernel for it.

TensorRT builds an ONNX Attention only where it has a fused kernel for it, and refuses the others rather than take them
apart. Tried with TensorRT for RTX 1.7, for sm75, sm89 and sm120: one query row with four heads or more, or any rows in
FP16; the width of a head a multiple of 8, up to 256. So attention that calibration keeps in FP32 is written out too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sovits_engines.passes.edits import constant, take_place
from sovits_engines.passes.tensor_types import tensor_types

BLOCKED: Mapping[ir.DataType, float] = {
    ir.DataType.FLOAT16: -3e4,
    ir.DataType.BFLOAT16: -1e30,
    ir.DataType.FLOAT: -1e30,
}
"""By type, the score of what must not be seen; softmax makes exactly zero of it, and FP16 holds it."""
_ROW_WIDTHS, _FUSED_WIDTHS = range(8, 257, 8), range(16, 257, 8)
_ROW_HEADS = 4
_CHANGES_SCORES = ("is_causal", "softcap", "softmax_precision", "qk_matmul_output_mode")

Operands = Sequence[ir.Value | None]
"""Query, key, value and mask of a node, with type and shape; shorter where the node has fewer."""


def decompose_attention(model: ir.Model, *, every: bool = False) -> bool:
    """Writes out attention that TensorRT has no fused kernel for; forms that this project does not export stay.

    Args:
        model: The graph; types of its tensors are inferred, weights are not read.
        every: Also where a fused kernel is expected.
    """
    graph = model.graph
    nodes = [n for n in graph if n.op_type == "Attention"]
    types = tensor_types(model) if nodes else {}
    changed = False
    for node in nodes:
        operands = [None if v is None else types.get(v.name or "") for v in node.inputs]
        query = operands[0]
        if query is None or not is_plain(node, operands):
            continue
        if every or not has_fused_kernel(sizes_of(query), query.dtype):
            name = node.outputs[0].name or ""
            write_out(node, graph, operands, prefix=f"{node.name or name}/", last=name)
            changed = True
    return changed


def has_fused_kernel(query: Sequence[object], dtype: ir.DataType | None) -> bool:
    """Whether TensorRT is expected to have a fused kernel for attention of such queries.

    Args:
        query: Sizes of the queries [batch, heads, rows, width]; what is no whole number varies.
        dtype: Their type.
    """
    _, heads, rows, width = query
    if rows == 1:
        return isinstance(heads, int) and heads >= _ROW_HEADS and width in _ROW_WIDTHS
    return dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16) and width in _FUSED_WIDTHS


def is_plain(node: ir.Node, operands: Operands) -> bool:
    """Whether attention is of the form that this project exports.

    That is 4-D, with as many heads of keys as of queries, no cache, and no more than a mask that changes its scores.
    """
    if len(operands) not in (3, 4) or len(node.outputs) != 1:
        return False
    if any(
        v is not None and (o is None or o.dtype is None) for v, o in zip(node.inputs, operands, strict=True)
    ):
        return False
    sizes = [() if v is None else sizes_of(v) for v in operands[:3]]
    if any(len(s) != 4 for s in sizes) or any(_is_set(node, name) for name in _CHANGES_SCORES):
        return False
    (_, heads, _, width), (_, key_heads, _, _), _ = sizes
    return isinstance(heads, int) and heads == key_heads and isinstance(width, int)


def _is_set(node: ir.Node, name: str) -> bool:
    return name in node.attributes and bool(node.attributes[name].value)


def sizes_of(value: ir.Value) -> tuple[int | str | None, ...]:
    """Sizes of a tensor, names for those that vary; () where not even the rank is known."""
    if value.shape is None:
        return ()
    return tuple(d if isinstance(d, int) else d.value for d in value.shape)


def write_out(node: ir.Node, graph: ir.Graph, operands: Operands, *, prefix: str, last: str) -> list[ir.Node]:
    """Puts smaller operators in the place of one plain attention, in the type of its query.

    Args:
        node: Attention of [B, H, n, D] queries over [B, H, m, D] keys and values.
        graph: The graph that holds it.
        operands: Its inputs, with type and shape.
        prefix: Begin of the names of new nodes, values and constants.
        last: Name of the last node; its value has the name of attention's.

    Returns:
        The new nodes, in order.
    """
    query, mask = operands[0], operands[3] if len(operands) > 3 else None
    assert query is not None
    dtype = query.dtype
    assert dtype is not None
    nodes: list[ir.Node] = []

    def add(op: str, inputs: Sequence[ir.Value | None], name: str, **attributes: int | list[int]) -> ir.Value:
        new = ir.node(op, inputs, attributes=attributes, name=prefix + name)
        new.outputs[0].name, new.outputs[0].type = prefix + name, ir.TensorType(dtype)
        graph.insert_before(node, new)
        nodes.append(new)
        return new.outputs[0]

    def number(name: str, value: float) -> ir.Value:
        return constant(graph, prefix + name, np.array(value, dtype.numpy()))

    q, k, v = node.inputs[:3]
    scale = node.attributes.get_float("scale", 0.0) or 1 / math.sqrt(float(sizes_of(query)[3] or 1))
    # Scaled before the product, which an FP16 product of long keys might not survive.
    scaled = add("Mul", [q, number("scale", scale)], "scaled")
    scores = add("MatMul", [scaled, add("Transpose", [k], "turned", perm=[0, 1, 3, 2])], "scores")
    if mask is not None and mask.dtype == ir.DataType.BOOL:
        scores = add("Where", [node.inputs[3], scores, number("blocked", BLOCKED[dtype])], "seen")
    elif mask is not None:
        scores = add("Add", [scores, node.inputs[3]], "seen")
    add("MatMul", [add("Softmax", [scores], "share", axis=-1), v], "result")
    nodes[-1].name = last
    take_place(nodes[-1], node)
    return nodes
