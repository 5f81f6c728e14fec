"""The GPT's graphs in operators that ONNX Runtime's CUDA provider has kernels for.

Its kernels name the versions of the standard that they follow. That of Reshape ends with opset 23, those of Sin and Cos
with 21, that of Equal with 18, and what is newer runs on the CPU: a step in opset 24 would go there and back 130 times.
TensorScatter and Attention are of opset 24, so they are written in older operators. ScatterElements writes the new row
into the cache in place, as TensorScatter does.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sovits_engines.passes.attention import decompose_attention
from sovits_runtime.bundle.graph_spec import GraphSpec

OPSET, IR_VERSION = 18, 10
_ONE, _ROW, _PLACE = "cuda_one", "cuda_row", "cuda_place"


def for_cuda(model: onnx.ModelProto, spec: GraphSpec) -> None:
    """Changes a graph for one sentence in place; external weights are not read.

    Args:
        model: A graph of `sovits_engines.passes.self_feeding_step`.
        spec: Of the portable graph that it was made of.
    """
    decompose_attention(model, every=True)
    graph = model.graph
    _, heads, _, width = spec.tensor(spec.aliases[0][0]).shape
    nodes: list[onnx.NodeProto] = []
    places: dict[str, str] = {}
    for node in graph.node:
        if node.op_type != "TensorScatter":
            nodes.append(node)
            continue
        cache, row, position = node.input
        if position not in places:
            places[position] = f"{_PLACE}.{len(places)}"
            flat = f"{places[position]}.flat"
            nodes.append(helper.make_node("Reshape", [position, _ONE], [flat], flat))
            nodes.append(helper.make_node("Expand", [flat, _ROW], [places[position]], places[position]))
        given = [cache, places[position], row]
        nodes.append(helper.make_node("ScatterElements", given, list(node.output), node.name, axis=2))
    if places:
        for name, shape in ((_ONE, [1, 1, 1, 1]), (_ROW, [1, heads, 1, width])):
            graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
    del graph.node[:]
    graph.node.extend(nodes)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    model.ir_version = IR_VERSION
