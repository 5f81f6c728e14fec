"""What the value of a tensor depends on, in one pass over the nodes, however deep the graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import onnx

_SIZES = ("Shape", "Size")
_MOVED = {
    **dict.fromkeys(("Identity", "Expand", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Transpose"), (0,)),
    **dict.fromkeys(("Tile", "Slice", "Split", "Gather", "GatherElements", "GatherND", "Trilu"), (0,)),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth", "ReverseSequence", "Dropout"), (0,)),
    **dict.fromkeys(("ScatterElements", "ScatterND", "Pad"), (0, 2)),
    "TensorScatter": (0, 1),
    "Where": (1, 2),
    "Concat": range(1 << 16),
}


@dataclass(frozen=True)
class Step:
    """A node that runs, or that feeds the inputs of its inner graph.

    Attributes:
        reads: Tensors that it reads, outputs of its inner graphs included.
        makes: Its outputs, or the inputs of its inner graph.
        feeds: Whether it feeds the inputs of its inner graph.
    """

    node: onnx.NodeProto
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    feeds: bool = False


def is_official(node: onnx.NodeProto) -> bool:
    """Whether an operator is of the official domain."""
    return node.domain in ("", "ai.onnx")


def moved(node: onnx.NodeProto) -> list[str]:
    """Operands whose values the result is made of, where a node only moves or picks values."""
    places = _MOVED.get(node.op_type, ()) if is_official(node) else ()
    return [name for i, name in enumerate(node.input) if name and i in places]


def inner_graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Branches of an If, body of a Loop or Scan."""
    return [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]


def steps(graph: onnx.GraphProto) -> Iterator[Step]:
    """All nodes of a graph in the order of the file; nodes of inner graphs before the one that they belong to."""
    for node in graph.node:
        operands = [name for name in node.input if name]
        results = []
        for inner in inner_graphs(node):
            yield Step(node, tuple(operands), tuple(value.name for value in inner.input), feeds=True)
            yield from steps(inner)
            results += [value.name for value in inner.output]
        yield Step(node, (*operands, *results), tuple(name for name in node.output if name))


def constant_names(order: Iterable[Step], known: Iterable[str]) -> set[str]:
    """Tensors that are the same in every run, whatever the inputs and their sizes.

    Args:
        known: Initializers and outputs of Constant nodes.
    """
    constants = set(known)
    for step in order:
        if step.reads and not step.feeds and constants.issuperset(step.reads):
            constants.update(step.makes)
    return constants


def value_sources(order: Iterable[Step], inputs: Iterable[str]) -> dict[str, frozenset[str]]:
    """Inputs of the graph on whose values, not only sizes, a tensor depends; tensors without any are left out."""
    sources = {name: frozenset((name,)) for name in inputs}
    for step in order:
        known = {sources[name] for name in step.reads if name in sources}
        if known and (step.feeds or step.node.op_type not in _SIZES):
            sources.update(dict.fromkeys(step.makes, frozenset[str]().union(*known)))
    return sources


def unmade_reads(order: Iterable[Step], known: Iterable[str]) -> Iterator[tuple[onnx.NodeProto, str]]:
    """Nodes that read what no earlier one has made.

    Args:
        known: Inputs and initializers.
    """
    available = set(known)
    for step in order:
        for name in step.reads:
            if name not in available:
                yield step.node, name
        available.update(step.makes)
