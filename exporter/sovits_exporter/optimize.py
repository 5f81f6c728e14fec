"""Graph passes, in order. Each changes the model in place and says whether it did."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
from onnxscript import optimizer
from onnxscript.rewriter import onnx_fusions

Pass = Callable[[ir.Model], bool]


def fold(model: ir.Model) -> bool:
    """Folds constants, inlines functions, removes what nothing reads, and fuses what opset 24 has one operator for."""
    optimizer.optimize_ir(model)
    onnx_fusions.fuse(model)
    return True


def strip_metadata(model: ir.Model) -> bool:
    """Removes what the exporter notes about the Python source: stack traces, module paths, doc strings."""
    changed = False
    for node in model.graph.all_nodes():
        changed |= bool(node.metadata_props) or bool(node.doc_string)
        node.metadata_props.clear()
        node.doc_string = None
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        changed |= bool(value.metadata_props)
        value.metadata_props.clear()
    changed |= bool(model.metadata_props) or bool(model.graph.metadata_props)
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    return changed


PASSES: tuple[Pass, ...] = (fold, strip_metadata)


def optimize(model: ir.Model) -> ir.Model:
    """Applies every pass in order and returns the same model."""
    for step in PASSES:
        step(model)
    return model
