"""Types and shapes of a graph's tensors, inferred where the file does not state them."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnx_ir as ir


def tensor_types(model: ir.Model) -> Mapping[str, ir.Value]:
    """Every tensor of the main graph by name, with type and shape as far as they can be inferred.

    They belong to a copy, so the model stays as it is. Weights that lie in files are not read.
    """
    inferred = onnx.shape_inference.infer_shapes(ir.to_proto(model), data_prop=True)
    graph = ir.from_proto(inferred).graph
    computed = (value for node in graph for value in node.outputs)
    return {v.name: v for v in (*graph.inputs, *graph.initializers.values(), *computed) if v.name}
