"""A graph stamped with an older opset, where its operators mean the same there.

Most operators come in a new version when they are given more types, and mean what they meant. A runtime that knows the
older opset alone then opens the graph, which it would refuse for its stamp.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx.defs
import onnx_ir as ir

from sovits_runtime.errors import BundleError

_STANDARD = ""


def lower_opset(model: ir.Model, *, opset: int) -> bool:
    """Stamps a model with an older opset of the standard.

    Args:
        model: Any model.
        opset: The opset; a model of this one or an older one stays as it is.

    Raises:
        BundleError: An operator is newer, or has had other inputs, outputs or attributes in that opset.
    """
    present = model.opset_imports[_STANDARD]
    if present <= opset:
        return False
    changed = {
        node.op_type
        for node in model.graph.all_nodes()
        if node.domain == _STANDARD and not _means_the_same(node, present, opset)
    }
    if changed:
        raise BundleError(
            f"graph {model.graph.name}: {', '.join(sorted(changed))} of opset {present} cannot be written in "
            f"opset {opset}"
        )
    model.opset_imports[_STANDARD] = opset
    return True


def _means_the_same(node: ir.Node, present: int, opset: int) -> bool:
    """Whether both opsets have the operator, with the same inputs, outputs and those attributes that the node sets."""
    try:
        now, then = (onnx.defs.get_schema(node.op_type, version, _STANDARD) for version in (present, opset))
    except onnx.defs.SchemaError:
        return False
    return (
        all(_named(a) == _named(b) for a, b in ((now.inputs, then.inputs), (now.outputs, then.outputs)))
        and set(node.attributes) <= set(then.attributes)
        and all(_default(now, name) == _default(then, name) for name in then.attributes)
    )


def _named(parameters: Sequence[onnx.defs.OpSchema.FormalParameter]) -> list[tuple[str, object]]:
    return [(p.name, p.option) for p in parameters]


def _default(schema: onnx.defs.OpSchema, name: str) -> object:
    attribute = schema.attributes.get(name)
    return attribute and (attribute.type, attribute.required, attribute.default_value.SerializeToString())
