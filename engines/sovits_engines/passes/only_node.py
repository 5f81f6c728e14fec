"""Cuts a graph down to one operator, to time it."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass


def only_node(model: ir.Model, *, output: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Takes everything out but one operator and its constants.

    Args:
        model: Any graph; weights are not read.
        output: The operator, by its first output, which becomes the graph's.
        shapes: Of its first input, which becomes the graph's, and of that output, by name.
    """
    graph = model.graph
    node = next(n for n in graph if n.outputs[0].name == output)
    if len(graph) == 1:
        return False
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    new = ir.Value(name=data.name, type=data.type, shape=ir.Shape(shapes[data.name or ""]))
    node.replace_input_with(0, new)
    result.shape = ir.Shape(shapes[output])
    graph.inputs[:] = [new]
    graph.outputs[:] = [result]
    RemoveUnusedNodesPass()(model)
    return True
