"""Folds constants, inlines functions, removes dead parts. Needs onnxscript, which comes with PyTorch's exporter."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir
from onnxscript import optimizer
from onnxscript.rewriter import onnx_fusions


def fold(model: ir.Model) -> bool:
    """Folds constants, inlines functions, removes what nothing reads, and fuses what its opset has one operator for."""
    before = list(_outline(model))
    optimizer.optimize_ir(model)
    onnx_fusions.fuse(model)
    return before != list(_outline(model))


def _outline(model: ir.Model) -> Iterator[str]:
    """All of a model but the numbers of its weights, which nothing here changes under the same name."""
    graph = model.graph
    yield from map(str, (*model.functions, *graph.inputs, *graph.outputs))
    yield from (f"{name} {value.dtype} {value.shape}" for name, value in graph.initializers.items())
    yield from (f"{node.name} {node}" for node in graph.all_nodes())
