"""Rules on the file: whether its weights are there, and whether its nodes are in order."""

from __future__ import annotations

from collections.abc import Iterator

from sovits_engines.lint.flow import unmade_reads
from sovits_engines.lint.graph import Complaint, LintGraph, Rule, title


def missing_weights(g: LintGraph) -> Iterator[Complaint]:
    """Weights that are not there."""
    for where, why in g.unreadable.items():
        yield (
            where,
            f"weights cannot be read ({why}): their values are not checked, and TensorRT's own parser is not asked; "
            "put the file where the graph wants it",
        )


def unsorted_nodes(g: LintGraph) -> Iterator[Complaint]:
    """Nodes stand after those whose results they read."""
    for where, name in _unmade(g):
        if name in g.producers:
            yield (
                where,
                f"reads {name}, which a later node makes; onnx.checker refuses this, and other rules cannot see "
                "where its value comes from: sort the nodes",
            )


def undefined_tensors(g: LintGraph) -> Iterator[Complaint]:
    """Everything that is read is made."""
    for where, name in _unmade(g):
        if name not in g.producers:
            yield where, f"reads {name}, which nothing makes; export the graph whole"


def _unmade(g: LintGraph) -> Iterator[tuple[str, str]]:
    known = {value.name for value in g.model.graph.input}
    for graph in g.graphs:
        known.update(tensor.name for tensor in graph.initializer)
        known.update(tensor.values.name for tensor in graph.sparse_initializer)
    for node, name in unmade_reads(g.steps, known):
        yield title(node), name


RULES = (
    Rule("weights-missing", "warning", missing_weights),
    Rule("node-order", "warning", unsorted_nodes),
    Rule("undefined-tensor", "error", undefined_tensors),
)
