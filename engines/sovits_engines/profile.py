"""Optimisation profiles: the range of sizes an engine is built for, from what the graph's spec says."""

from __future__ import annotations

from sovits_runtime.bundle.graph_spec import GraphSpec

Sizes = tuple[int, ...]


def profile_ranges(spec: GraphSpec) -> dict[str, tuple[Sizes, Sizes, Sizes]]:
    """Returns smallest, usual and largest shape of every input that has a named dimension."""
    ranges = spec.dim_ranges
    corners = [{name: getattr(r, corner) for name, r in ranges.items()} for corner in ("min", "opt", "max")]
    return {
        t.name: (t.resolve(corners[0]), t.resolve(corners[1]), t.resolve(corners[2]))
        for t in spec.inputs
        if any(isinstance(d, str) for d in t.shape)
    }
