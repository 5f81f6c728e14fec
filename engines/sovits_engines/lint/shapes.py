"""Rules on sizes: what a profile must cover, what must be known on the host; and on names that a refit needs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from sovits_engines.lint.graph import Complaint, LintGraph, Rule, operand, title

_SHAPE_OPERANDS = {
    "Reshape": (1,),
    "Expand": (1,),
    "ConstantOfShape": (0,),
    "Tile": (1,),
    "Range": (0, 1, 2),
    "Slice": (1, 2, 4),
    "Pad": (1,),
    "Resize": (2, 3),
    "TopK": (1,),
    "Split": (1,),
    "OneHot": (1,),
    **dict.fromkeys(("BlackmanWindow", "HammingWindow", "HannWindow"), (0,)),
}
_MADE_UP = re.compile(r"(val|onnx::\w+|_v|\d+|node|tmp|const|Constant)[_\d]*")
_WEIGHT_SIZE = 1024


def profiles(g: LintGraph) -> Iterator[Complaint]:
    """Every size that varies needs a name, and a range where ranges are known."""
    known = None if g.spec is None else set(g.spec.dim_ranges)
    for name in g.inputs:
        for axis, size in enumerate(g.shape(name) or ()):
            if size is None:
                yield (
                    name,
                    f"axis {axis} varies and has no name, so no profile can give its range; name it at export",
                )
            elif isinstance(size, str) and known is not None and size not in known:
                yield name, f"axis {axis} varies ({size}), but the graph's spec gives no range for it"


def shape_inputs(g: LintGraph) -> Iterator[Complaint]:
    """Inputs whose values become sizes must be on the host, which breaks a captured graph."""
    for node in g.of(*_SHAPE_OPERANDS):
        for i in _SHAPE_OPERANDS[node.op_type]:
            for name in sorted(g.sources.get(operand(node, i), ())):
                yield (
                    name,
                    f"its value becomes a size in {title(node)}: TensorRT wants it on the host, and a run cannot be "
                    "captured; use sizes of inputs, or a mask",
                )


def weight_names(g: LintGraph) -> Iterator[Complaint]:
    """Refitting finds weights by name, so names must not depend on the run of an exporter."""
    tensors = [tensor for graph in g.graphs for tensor in graph.initializer]
    for name, count in Counter(tensor.name for tensor in tensors).items():
        if count > 1 or not name:
            yield name or "an initializer", f"{count} initializers have this name; names must be unique"
    for tensor in tensors:
        size = 1
        for dim in tensor.dims:
            size *= dim
        if size >= _WEIGHT_SIZE and _MADE_UP.fullmatch(tensor.name):
            yield (
                tensor.name,
                "a weight whose name the exporter made up; another version of it may not, and refitting goes by name",
            )


RULES = (
    Rule("profile", "error", profiles),
    Rule("shape-input", "warning", shape_inputs),
    Rule("weight-names", "warning", weight_names),
)
