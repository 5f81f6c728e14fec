"""Removes what the exporter notes about the Python source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx_ir as ir


def strip_metadata(model: ir.Model) -> bool:
    """Removes what the exporter notes about the Python source: stack traces, module paths, doc strings."""
    changed = False
    for node in model.graph.all_nodes():
        changed |= bool(node.doc_string)
        node.doc_string = None
    for notes in _notes(model):
        changed |= bool(notes)
        notes.clear()
    return changed


def _notes(model: ir.Model) -> Iterator[dict[str, Any]]:
    graph = model.graph
    yield model.metadata_props
    yield graph.metadata_props
    for node in graph.all_nodes():
        yield node.metadata_props
    for value in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
        yield value.metadata_props
