"""Fixes dynamic sizes, for a TensorRT engine of one cache length."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir


def fix_sizes(model: ir.Model, *, sizes: Mapping[str, int]) -> bool:
    """Replaces named dimensions of inputs, outputs and inner tensors.

    Args:
        sizes: The dimensions to replace, by name.
    """
    graph = model.graph
    changed = False
    for value in {*graph.inputs, *graph.outputs, *(v for node in graph for v in node.outputs)}:
        if value.shape is not None:
            dims = [sizes.get(d.value or "", d) if isinstance(d, ir.SymbolicDim) else d for d in value.shape]
            if dims != list(value.shape):
                value.shape = ir.Shape(dims)
                changed = True
    return changed
