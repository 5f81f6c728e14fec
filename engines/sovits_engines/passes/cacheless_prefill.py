"""The GPT's prefill for a device, without any cache.

It outputs keys and values, and the runtime copies them to the head of whatever cache the step uses. So one prefill
serves caches of all lengths, at a few microseconds a layer.
"""

from __future__ import annotations

import onnx_ir as ir

from sovits_engines.passes.edits import drop_unread, take_place
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BundleError
from sovits_runtime.t2s.device_step import rows_spec


def cacheless_prefill(model: ir.Model, *, spec: GraphSpec) -> bool:
    """Turns the prefill into one that outputs keys and values; external weights are not read.

    Args:
        model: The graph `gpt_prefill`; becomes that of `rows_spec`.
        spec: Its spec.

    Raises:
        BundleError: The model does more with its caches than fill them; nothing is changed then.
    """
    graph, target = model.graph, rows_spec(spec)
    caches = [value for value in graph.inputs if value.name not in target.input_names]
    if not caches:
        return False
    uses = [(use, cache) for cache in caches for use in cache.uses()]
    if any(use.node.op_type != "TensorScatter" or use.idx != 0 for use, _ in uses):
        raise BundleError(
            f"graph {graph.name}: its caches are used for more than being filled; build the bundle again"
        )
    for use, _ in uses:
        take_place(ir.node("Identity", [use.node.inputs[1]], name=use.node.name), use.node)
    for cache in caches:
        graph.inputs.remove(cache)
    for value in graph.outputs:
        assert value.shape is not None
        pairs = zip(value.shape, target.tensor(value.name or "").shape, strict=True)
        value.shape = ir.Shape([size if isinstance(size, str) else dim for dim, size in pairs])
    drop_unread(graph)
    return True
