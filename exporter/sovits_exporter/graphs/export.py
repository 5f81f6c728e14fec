"""From a torch module to an ONNX model.

`export_graph` traces a module with symbolic sizes, so that no length of the sample inputs is frozen: a size that the
module would turn into a constant is an error of `torch.export`, not a wrong graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from sovits_engines.passes.optimize import optimize
from sovits_exporter.graphs.trace import trace
from sovits_runtime.bundle.graph_spec import Array, GraphSpec, TensorSpec

Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]


@dataclass(frozen=True)
class GraphDef:
    """One graph to export.

    Attributes:
        spec: Names, shapes and ranges.
        module: Takes the inputs in the order of `spec.inputs`, gives the outputs in the order of `spec.outputs`.
        weights: Name of the weight file; graphs with the same name share one.
        trace: Sizes used for tracing; none of them is special.
        checks: Sizes at which the graph is compared with the module, edges included.
        limit: Largest allowed difference, as a fraction of the output's largest magnitude.
        draws: Makes valid random values for inputs where a standard normal will not do.
    """

    spec: GraphSpec
    module: nn.Module
    weights: str
    trace: Mapping[str, int]
    checks: tuple[Mapping[str, int], ...]
    limit: float = 1e-4
    draws: Mapping[str, Draw] = field(default_factory=dict)

    def feeds(self, dims: Mapping[str, int], rng: np.random.Generator) -> dict[str, Array]:
        """Makes valid random inputs of the given sizes."""
        return {t.name: self._draw(t, t.resolve(dims), rng) for t in self.spec.inputs}

    def sample(self) -> tuple[torch.Tensor, ...]:
        """Inputs for tracing, in the module's order."""
        return tuple(map(torch.from_numpy, self.feeds(self.trace, np.random.default_rng(0)).values()))

    def _draw(self, t: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if t.name in self.draws:
            return self.draws[t.name](rng, shape).astype(t.dtype)
        return rng.standard_normal(shape).astype(t.dtype)

    @torch.inference_mode()
    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the module in eager PyTorch."""
        out = self.module(*(torch.from_numpy(feeds[name]) for name in self.spec.input_names))
        tensors = out if isinstance(out, tuple) else (out,)
        return {name: t.numpy() for name, t in zip(self.spec.output_names, tensors, strict=True)}


def integers(high: int, low: int = 0) -> Draw:
    """Draws int64 from low .. high - 1."""
    return lambda rng, shape: rng.integers(low, high, shape)


def constant(value: float) -> Draw:
    """Fills with one value."""
    return lambda rng, shape: np.full(shape, value)


def export_graph(graph: GraphDef) -> ir.Model:
    """Exports one graph and applies the optimisation passes.

    Returns:
        The model with its weights in memory, named and shaped as `graph.spec` says.
    """
    model = trace(graph)
    model.graph.name = graph.spec.name
    model.producer_name, model.producer_version = "sovits-export", None
    _declare_shapes(model, graph.spec)
    optimize(model)
    return model


def _declare_shapes(model: ir.Model, spec: GraphSpec) -> None:
    for value, t in zip(
        (*model.graph.inputs, *model.graph.outputs), (*spec.inputs, *spec.outputs), strict=True
    ):
        value.shape = ir.Shape(list(t.shape))
