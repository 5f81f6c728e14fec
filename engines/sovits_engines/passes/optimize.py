"""Graph passes, in order. Each changes the model in place and says whether it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import onnx_ir as ir
from onnxscript import optimizer
from onnxscript.rewriter import onnx_fusions

Pass = Callable[[ir.Model], bool]


def name_after_weights(model: ir.Model) -> bool:
    """Names what is computed from weights alone after them: `emb_rel_k` and, turned, `emb_rel_k.transpose`.

    Folding makes weights of such values under the names they have, and a refit finds weights by name. The ones that
    tracing makes up count its values and say nothing.
    """
    weights = {v: v.name or "" for v in model.graph.initializers.values()}
    constants = set(weights)
    taken = Counter(weights.values())
    for node in model.graph:
        given = [v for v in node.inputs if v is not None]
        if any(v not in constants for v in given):
            continue
        constants.update(node.outputs)
        origin = next((weights[v] for v in given if v in weights), None)
        for value in node.outputs if origin else ():
            name = f"{origin}.{node.op_type.lower()}"
            taken[name] += 1
            value.name = weights[value] = name if taken[name] == 1 else f"{name}.{taken[name]}"
    return bool(weights)


def fold(model: ir.Model) -> bool:
    """Folds constants, inlines functions, removes what nothing reads, and fuses what its opset has one operator for."""
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


PASSES: tuple[Pass, ...] = (name_after_weights, fold, strip_metadata)


def optimize(model: ir.Model) -> ir.Model:
    """Applies every pass in order and returns the same model."""
    for step in PASSES:
        step(model)
    return model
