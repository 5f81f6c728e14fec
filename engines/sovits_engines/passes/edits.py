"""Small edits that several passes make."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def constant(graph: ir.Graph, name: str, numbers: NDArray[Any]) -> ir.Value:
    """The initializer of a name, made of the numbers where the graph has none."""
    if name not in graph.initializers:
        tensor = ir.Tensor(np.asarray(numbers), name=name)
        value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=tensor.shape, const_value=tensor)
        graph.register_initializer(value)
    return graph.initializers[name]


def take_place(new: ir.Node, old: ir.Node) -> None:
    """Gives a new node the name and the readers of the old one's only result, and takes the old one out.

    Args:
        new: Stands in the graph already, or is put there now.
        old: Nothing else reads it.
    """
    graph = old.graph
    assert isinstance(graph, ir.Graph)
    if new.graph is None:
        graph.insert_before(old, new)
    before, after = old.outputs[0], new.outputs[0]
    before.replace_all_uses_with(after, replace_graph_outputs=True)
    graph.remove(old, safe=True)
    after.name, after.type, after.shape = before.name, before.type, before.shape


def drop_unread(graph: ir.Graph) -> bool:
    """Removes initializers that nothing reads; returns whether there were any."""
    unread = [v for v in graph.initializers.values() if not v.uses() and not v.is_graph_output()]
    for value in unread:
        del graph.initializers[value.name or ""]
    return bool(unread)
