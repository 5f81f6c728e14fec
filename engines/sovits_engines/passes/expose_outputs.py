"""Makes inner values of a graph outputs, so that a run returns them."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir


def expose_outputs(model: ir.Model, *, values: Collection[str]) -> bool:
    """Adds values to the outputs, after those that are there.

    Args:
        model: Any graph; weights are not read.
        values: Names, in order; inputs and outputs of the graph are left out.
    """
    graph = model.graph
    known = {v.name for v in (*graph.inputs, *graph.outputs)}
    computed = {v.name: v for node in graph for v in node.outputs}
    new = [computed[name] for name in dict.fromkeys(values) if name not in known]
    graph.outputs.extend(new)
    return bool(new)
