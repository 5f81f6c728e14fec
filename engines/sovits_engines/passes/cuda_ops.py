"""The GPT's graphs in operators that ONNX Runtime's CUDA provider has kernels for.

Its kernels name the versions of the standard that they follow. That of Reshape ends with opset 23, those of Sin and Cos
with 21, that of Equal with 18, and what is newer runs on the CPU: a step in opset 24 would go there and back 130 times.
TensorScatter and Attention are of opset 24, so they are written in older operators. ScatterElements writes the new row
into the cache in place, as TensorScatter does.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sovits_engines.passes.attention import decompose_attention
from sovits_engines.passes.edits import constant, take_place
from sovits_runtime.bundle.graph_spec import GraphSpec

OPSET, IR_VERSION = 18, 10
_ONE, _ROW, _PLACE = "cuda_one", "cuda_row", "cuda_place"


def for_cuda(model: ir.Model, *, spec: GraphSpec, rows: bool = False) -> bool:
    """Changes a graph for one sentence, or for a batch of rows; external weights are not read.

    Args:
        model: A graph of `self_feeding_step` or `cacheless_prefill`.
        spec: Of the portable graph that it was made of.
        rows: Whether it is for a batch, in which each row has a position of its own.
    """
    changed = decompose_attention(model, every=True)
    changed |= _scatter_elements(model.graph, spec, lines=-1 if rows else 1)
    changed |= (dict(model.opset_imports), model.ir_version) != ({"": OPSET}, IR_VERSION)
    model.opset_imports.clear()
    model.opset_imports[""] = OPSET
    model.ir_version = IR_VERSION
    return changed


def _scatter_elements(graph: ir.Graph, spec: GraphSpec, *, lines: int) -> bool:
    scatters = [n for n in graph if n.op_type == "TensorScatter"]
    if not scatters:
        return False
    _, heads, _, width = spec.tensor(spec.aliases[0][0]).shape
    one = constant(graph, _ONE, np.array([lines, 1, 1, 1], np.int64))
    row_shape = constant(graph, _ROW, np.array([1, heads, 1, width], np.int64))
    places: dict[ir.Value | None, ir.Value] = {}
    for node in scatters:
        cache, row, position = node.inputs
        if position not in places:
            name = f"{_PLACE}.{len(places)}"
            flat = ir.node("Reshape", [position, one], name=f"{name}.flat")
            place = ir.node("Expand", [flat.outputs[0], row_shape], name=name)
            flat.outputs[0].name, place.outputs[0].name = flat.name, name
            graph.insert_before(node, [flat, place])
            places[position] = place.outputs[0]
        inputs = [cache, places[position], row]
        take_place(ir.node("ScatterElements", inputs, attributes={"axis": 2}, name=node.name), node)
    return True
