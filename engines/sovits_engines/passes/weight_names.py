"""Names values that are computed from weights alone, so that a refit finds them."""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir


def name_after_weights(model: ir.Model) -> bool:
    """Names what is computed from weights alone after them: `emb_rel_k` and, turned, `emb_rel_k.transpose`.

    Folding makes weights of such values under the names they have, and a refit finds weights by name. The ones that
    tracing makes up count its values and say nothing.
    """
    weights = {v: v.name or "" for v in model.graph.initializers.values()}
    constants = set(weights)
    uses = Counter(weights.values())
    changed = False
    for node in model.graph:
        inputs = [v for v in node.inputs if v is not None]
        if any(v not in constants for v in inputs):
            continue
        constants.update(node.outputs)
        origin = next((weights[v] for v in inputs if v in weights), None)
        for value in node.outputs if origin else ():
            name = f"{origin}.{node.op_type.lower()}"
            uses[name] += 1
            weights[value] = name if uses[name] == 1 else f"{name}.{uses[name]}"
            changed |= value.name != weights[value]
            value.name = weights[value]
    return changed
