"""FP32 attention as matrix products: TensorRT has no fused FP32 kernel for more than one query."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from sovits_runtime.errors import BundleError

BLOCKED = -1e30  # in FP32; softmax gives exactly zero


def decompose(node: ir.Node, graph: ir.Graph) -> list[ir.Node]:
    """Replaces one Attention node by MatMul, Where, Softmax and MatMul.

    Args:
        node: Attention over heads [B, H, n, D], with no mask or a boolean one, without cache inputs.
        graph: The graph that holds it.

    Returns:
        The new nodes.

    Raises:
        BundleError: The node uses a form of Attention that the exporter does not write.
    """
    query, key, value, *rest = node.inputs
    assert query is not None
    assert key is not None
    mask = rest[0] if rest else None
    plain = not any(v is not None for v in rest[1:]) and len(node.outputs) == 1
    flags = [node.attributes[k].value for k in ("is_causal", "softcap") if k in node.attributes]
    if not plain or any(flags) or len(query.shape or ()) != 4:
        raise BundleError(f"graph {graph.name}: this form of Attention cannot be kept in FP32: {node}")
    head_dim = query.shape[-1] if query.shape is not None else None
    if "scale" in node.attributes:
        scale = node.attributes["scale"].as_float()
    else:
        assert isinstance(head_dim, int)
        scale = head_dim**-0.5
    builder = _Builder(node, graph)
    scaled = builder.add("Mul", [query, builder.constant("scale", scale)])
    transposed = builder.add("Transpose", [key], perm=[0, 1, 3, 2])
    scores = builder.add("MatMul", [scaled, transposed])
    if mask is not None:
        if mask.dtype != ir.DataType.BOOL:
            raise BundleError(f"graph {graph.name}: {node.outputs[0].name}: expected a boolean mask")
        scores = builder.add("Where", [mask, scores, builder.constant("blocked", BLOCKED)])
    weights = builder.add("Softmax", [scores], axis=-1)
    result = builder.add("MatMul", [weights, value])
    old = node.outputs[0]
    result.shape = old.shape
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    result.name = old.name
    return builder.nodes


class _Builder:
    """Nodes in place of one node, named after it."""

    def __init__(self, node: ir.Node, graph: ir.Graph) -> None:
        self.node = node
        self.graph = graph
        self.name = node.outputs[0].name
        self.nodes: list[ir.Node] = []

    def add(self, op: str, inputs: Sequence[ir.Value | None], **attributes: int | list[int]) -> ir.Value:
        new = ir.node(op, inputs, attributes=attributes, name=f"{self.name}.{len(self.nodes)}")
        out = new.outputs[0]
        out.name, out.type = f"{self.name}.{len(self.nodes)}", ir.TensorType(ir.DataType.FLOAT)
        self.graph.insert_before(self.node, new)
        self.nodes.append(new)
        return out

    def constant(self, what: str, number: float) -> ir.Value:
        name = f"{self.name}.{what}"
        value = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([]))
        value.const_value = ir.Tensor(np.array(number, np.float32), name=name)
        self.graph.register_initializer(value)
        return value
