"""One graph to export: its module, its inputs and outputs, and the sizes it is traced and checked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from sovits_runtime.bundle.graph_spec import Array, GraphSpec, TensorSpec

RandomArray = Callable[[np.random.Generator, tuple[int, ...]], Array]
"""Samples an input of a given shape."""


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
        random_inputs: Makes valid random values for inputs where a standard normal will not do.
    """

    spec: GraphSpec
    module: nn.Module
    weights: str
    trace: Mapping[str, int]
    checks: tuple[Mapping[str, int], ...]
    limit: float = 1e-4
    random_inputs: Mapping[str, RandomArray] = field(default_factory=dict)

    def feeds(self, dims: Mapping[str, int], rng: np.random.Generator) -> dict[str, Array]:
        """Makes valid random inputs of the given sizes."""
        return {t.name: self._random_input(t, t.resolve(dims), rng) for t in self.spec.inputs}

    def sample(self) -> tuple[torch.Tensor, ...]:
        """Inputs for tracing, in the module's order."""
        return tuple(map(torch.from_numpy, self.feeds(self.trace, np.random.default_rng(0)).values()))

    def _random_input(self, t: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if t.name in self.random_inputs:
            return self.random_inputs[t.name](rng, shape).astype(t.dtype)
        return rng.standard_normal(shape).astype(t.dtype)

    @torch.inference_mode()
    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the module in eager PyTorch."""
        out = self.module(*(torch.from_numpy(feeds[name]) for name in self.spec.input_names))
        tensors = out if isinstance(out, tuple) else (out,)
        return {name: t.numpy() for name, t in zip(self.spec.output_names, tensors, strict=True)}


def integers(high: int, low: int = 0) -> RandomArray:
    """Samples int64 from low .. high - 1."""
    return lambda rng, shape: rng.integers(low, high, shape)


def constant(value: float) -> RandomArray:
    """Fills with one value."""
    return lambda rng, shape: np.full(shape, value)


def normal(scale: float, mean: float = 0.0) -> RandomArray:
    """Samples a normal distribution."""
    return lambda rng, shape: scale * rng.standard_normal(shape) + mean


def uniform(low: float, high: float) -> RandomArray:
    """Samples evenly between two bounds."""
    return lambda rng, shape: rng.uniform(low, high, shape)
