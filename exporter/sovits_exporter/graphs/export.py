"""From a torch module to an ONNX model.

`export_graph` traces a module with symbolic sizes, so that no length of the sample inputs is frozen: a size that the
module would turn into a constant is an error of `torch.export`, not a wrong graph.
"""

from __future__ import annotations

import onnx_ir as ir

from sovits_engines.passes import Pass, apply
from sovits_engines.passes.fold import fold
from sovits_engines.passes.metadata import strip_metadata
from sovits_engines.passes.weight_names import name_after_weights
from sovits_exporter.graphs.graph_def import GraphDef
from sovits_exporter.graphs.trace import trace
from sovits_runtime.bundle.graph_spec import GraphSpec

PASSES: tuple[Pass, ...] = (name_after_weights, fold, strip_metadata)
"""The passes over a traced graph, in order."""


def export_graph(graph: GraphDef) -> ir.Model:
    """Exports one graph and applies the optimisation passes.

    Returns:
        The model with its weights in memory, named and shaped as `graph.spec` says.
    """
    model = trace(graph)
    model.graph.name = graph.spec.name
    model.producer_name, model.producer_version = "sovits-export", None
    _declare_shapes(model, graph.spec)
    apply(model, PASSES)
    return model


def _declare_shapes(model: ir.Model, spec: GraphSpec) -> None:
    for value, t in zip(
        (*model.graph.inputs, *model.graph.outputs), (*spec.inputs, *spec.outputs), strict=True
    ):
        value.shape = ir.Shape(list(t.shape))
