"""Passes over ONNX graphs: one a file, from fusing a step for the CPU to writing attention out for TensorRT.

A pass is a function `name(model: ir.Model, *, ...) -> bool`. It changes the model in place and says whether it changed
anything; its settings, such as the nodes to keep in FP32, are keyword-only. One that has more to report returns an
object whose `changed` says the same. A graph that a pass is not made for is a `BundleError`; one that has nothing for
it to do is left as it is, to the byte.

Weights may stay in their file: a pass sees where they lie, and those that read weights say so. Which passes a graph
goes through, and in which order, is data of whoever needs the graph, a tuple of passes for `apply`:

* building a bundle: `sovits_exporter.graphs.export.PASSES`;
* its forms for a GPU: `sovits_exporter.graphs.device_step.passes_of`;
* copies for TensorRT: `sovits_engines.engine_graph.TrtGraph.passes`.

To add a pass: a file here with one such function, its place in the tuple of its consumer, and a file of tests in
`tests/engines/passes` with two graphs of about three nodes, one that it changes and one that it leaves alone.

`operator_rules` (what an operator means for its precision), `tensor_types` and `model_file` are what passes share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import onnx_ir as ir

Pass = Callable[[ir.Model], bool]
"""Changes a model in place; returns whether it changed anything."""


def apply(model: ir.Model, passes: Iterable[Pass]) -> bool:
    """Applies passes in order; returns whether any of them changed anything."""
    changed = False
    for step in passes:
        changed = step(model) or changed
    return changed
