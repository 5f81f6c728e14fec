"""Attention written out as MatMul, Where and Softmax, for what TensorRT has no fused kernel.

TensorRT builds an ONNX Attention only where it has a fused kernel for it, and refuses the others rather than take them
apart. Tried with TensorRT for RTX 1.7, for sm75, sm89 and sm120: one query row with four heads or more, or any rows in
FP16; the width of a head a multiple of 8, up to 256.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sovits_engines.passes.plain_attention import Mask, constants, operations

_HALF = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
_ROW_WIDTHS, _FUSED_WIDTHS = range(8, 257, 8), range(16, 257, 8)
_ROW_HEADS = 4


def decompose_attention(model: onnx.ModelProto, *, every: bool = False) -> list[str]:
    """Writes out attention in place.

    Args:
        model: The graph; types of its tensors are inferred, weights are not read.
        every: Also where a fused kernel is expected.

    Returns:
        Names of the nodes that were written out.
    """
    if not any(node.op_type == "Attention" for node in model.graph.node):
        return []
    types = tensor_types(model)
    nodes: list[onnx.NodeProto] = []
    done = []
    for node in model.graph.node:
        if (
            node.op_type == "Attention"
            and _is_plain(node, types)
            and (every or not has_fused_kernel(node, types))
        ):
            nodes += _written_out(node, types, model.graph)
            done.append(node.name or node.output[0])
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return done


def tensor_types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto.Tensor]:
    """Infers element type and shape of every tensor of the main graph."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    types = {v.name: v.type.tensor_type for v in (*graph.input, *graph.value_info, *graph.output)}
    for tensor in graph.initializer:
        types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims).tensor_type
    return types


def has_fused_kernel(node: onnx.NodeProto, types: dict[str, onnx.TypeProto.Tensor]) -> bool:
    """Whether TensorRT is expected to have a fused kernel for an Attention node."""
    query = types[node.input[0]]
    _, heads, rows, width = (dim.dim_value for dim in query.shape.dim)
    if rows == 1:
        return heads >= _ROW_HEADS and width in _ROW_WIDTHS
    return query.elem_type in _HALF and width in _FUSED_WIDTHS


def _is_plain(node: onnx.NodeProto, types: dict[str, onnx.TypeProto.Tensor]) -> bool:
    """Whether it is of the form that this project exports: 4-D, as many heads of keys as of queries, no cache."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    shapes = [types[name].shape.dim for name in node.input[:3] if name in types]
    plain = (
        len(shapes) == 3
        and all(len(s) == 4 for s in shapes)
        and len(node.input) <= 4
        and len(node.output) == 1
    )
    return (
        plain
        and shapes[0][1].dim_value == shapes[1][1].dim_value != 0
        and shapes[0][3].dim_value != 0
        and not any(
            attributes.get(name)
            for name in ("is_causal", "softcap", "softmax_precision", "qk_matmul_output_mode")
        )
    )


def _written_out(
    node: onnx.NodeProto, types: dict[str, onnx.TypeProto.Tensor], graph: onnx.GraphProto
) -> list[onnx.NodeProto]:
    query = types[node.input[0]]
    dtype = helper.tensor_dtype_to_np_dtype(query.elem_type)
    names = dict(zip(("query", "key", "value", "mask"), node.input, strict=False))
    mask = _mask(names.get("mask", ""), types)
    given = next((a.f for a in node.attribute if a.name == "scale"), None)
    p = f"{node.name or node.output[0]}/"
    for name, value in constants(
        dtype.name, width=query.shape.dim[3].dim_value, scale=given, mask=mask
    ).items():
        names[name] = p + name
        graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), p + name))
    nodes = []
    for step in operations(mask):
        names[step.output] = node.output[0] if step.output == "result" else p + step.output
        inputs = [names[name] for name in step.inputs]
        made = helper.make_node(step.op, inputs, [names[step.output]], **step.attributes)
        made.name = made.output[0]
        nodes.append(made)
    return nodes


def _mask(name: str, types: dict[str, onnx.TypeProto.Tensor]) -> Mask:
    if not name:
        return "none"
    return "boolean" if types[name].elem_type == onnx.TensorProto.BOOL else "added"
