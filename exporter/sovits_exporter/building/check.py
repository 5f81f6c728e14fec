"""Compares an exported graph with its PyTorch module, at several sizes, the smallest and largest included."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sovits_exporter.building.report import GraphCheck
from sovits_exporter.graphs.graph_def import GraphDef
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.session import BindableSession, SessionOptions
from sovits_runtime.errors import VerificationError
from sovits_runtime.verify.metrics import relative_error


def require_equal(graph: GraphDef, *paths: Path) -> GraphCheck:
    """Compares every variant of a graph with its module and returns the worst.

    Raises:
        VerificationError: It differs by more than the graph's limit.
    """
    check = max((check_graph(graph, path) for path in paths), key=lambda c: c.error)
    if not check.passed:
        raise VerificationError(
            f"graph {check.graph} differs from PyTorch by {check.error:.1e} of its largest output, limit "
            f"{check.limit:.0e}; please report it with the versions that 'sovits-export doctor' prints"
        )
    return check


def check_graph(graph: GraphDef, path: Path) -> GraphCheck:
    """Runs an exported graph on ONNX Runtime and compares it with its module at every size of `graph.checks`."""
    session = open_session(path, graph.spec, options=SessionOptions())
    sizes = []
    for dims in graph.checks:
        feeds = graph.feeds(dims, np.random.default_rng(1))
        expected = graph.run(feeds)
        outputs = run_in_place(session, feeds, dims)
        sizes.append({**dims, "error": max(relative_error(expected[k], outputs[k]) for k in expected)})
    return GraphCheck(graph.spec.name, max(s["error"] for s in sizes), graph.limit, tuple(sizes))


def run_in_place(
    session: BindableSession, feeds: Mapping[str, Array], dims: Mapping[str, int]
) -> dict[str, Array]:
    """Runs a graph as a voice does: what it updates in place is one array, read and written.

    Args:
        feeds: Its inputs.
        dims: Their sizes, by name.
    """
    spec = session.spec
    if not spec.aliases:
        return session.run(feeds)
    updated = {written: np.array(feeds[read]) for read, written in spec.aliases}
    fresh = {t.name: np.empty(t.resolve(dims), t.dtype) for t in spec.outputs if t.name not in updated}
    outputs = {**fresh, **updated}
    session.bind({**feeds, **{read: updated[written] for read, written in spec.aliases}, **outputs}).run()
    return outputs
