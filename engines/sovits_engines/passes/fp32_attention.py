"""FP32 attention as matrix products: TensorRT has no fused FP32 kernel for more than one query."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sovits_engines.passes.plain_attention import Mask, constants, operations
from sovits_runtime.errors import BundleError


def decompose(node: ir.Node, graph: ir.Graph) -> list[ir.Node]:
    """Writes one Attention node out, in FP32.

    Args:
        node: Attention over heads [B, H, n, D], with no mask or a boolean one, without cache inputs.
        graph: The graph that holds it.

    Returns:
        The new nodes.

    Raises:
        BundleError: The node uses a form of Attention that the exporter does not write.
    """
    values = dict(zip(("query", "key", "value", "mask"), node.inputs, strict=False))
    mask = _mask(node, graph)
    scale = node.attributes["scale"].as_float() if "scale" in node.attributes else None
    old = node.outputs[0]
    for what, number in constants("float32", width=_width(node), scale=scale, mask=mask).items():
        values[what] = _constant(graph, f"{old.name}.{what}", number)
    nodes = []
    for step in operations(mask):
        inputs = [values[name] for name in step.inputs]
        new = ir.node(step.op, inputs, attributes=step.attributes, name=f"{old.name}.{step.output}")
        out = values[step.output] = new.outputs[0]
        out.name, out.type = f"{old.name}.{step.output}", ir.TensorType(ir.DataType.FLOAT)
        graph.insert_before(node, new)
        nodes.append(new)
    result = nodes[-1].outputs[0]
    result.shape = old.shape
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    result.name = old.name
    return nodes


def _mask(node: ir.Node, graph: ir.Graph) -> Mask:
    more = node.inputs[3:]
    plain = not any(v is not None for v in more[1:]) and len(node.outputs) == 1
    flags = [node.attributes[k].value for k in ("is_causal", "softcap") if k in node.attributes]
    if not plain or any(flags) or not _width(node):
        raise BundleError(f"graph {graph.name}: this form of Attention cannot be kept in FP32: {node}")
    if not more or more[0] is None:
        return "none"
    if more[0].dtype != ir.DataType.BOOL:
        raise BundleError(f"graph {graph.name}: {node.outputs[0].name}: expected a boolean mask")
    return "boolean"


def _width(node: ir.Node) -> int:
    """Of a head; 0 where the query is not of four known axes."""
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    if shape is None or len(shape) != 4 or not isinstance(shape[3], int):
        return 0
    return shape[3]


def _constant(graph: ir.Graph, name: str, number: float) -> ir.Value:
    value = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([]))
    value.const_value = ir.Tensor(np.array(number, np.float32), name=name)
    graph.register_initializer(value)
    return value
