"""The inputs and outputs of a graph: one value for export, engines and run-time checks.

A `GraphSpec` yields the ONNX input and output names, the dynamic axes, sample shapes, the optimisation profile and
the checks of arrays before they reach a backend. It is stored in the bundle's manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import ShapeError

Array = NDArray[Any]
Dim = int | str


@dataclass(frozen=True)
class DimRange:
    """Range of one named dimension.

    Attributes:
        name: Name as it stands in the shapes of the graph's tensors.
        min: Smallest size the graph must accept.
        opt: Size that engines are tuned for.
        max: Largest size that engines accept; ONNX Runtime itself has no upper bound.
    """

    name: str
    min: int
    opt: int
    max: int

    def __post_init__(self) -> None:
        if not 0 <= self.min <= self.opt <= self.max:
            raise ShapeError(f"dimension {self.name}: expected 0 <= min <= opt <= max, got {self}")


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype (a NumPy dtype name) and shape (sizes, or names of dimensions) of one tensor."""

    name: str
    dtype: str
    shape: tuple[Dim, ...]

    def resolve(self, dims: Mapping[str, int]) -> tuple[int, ...]:
        """Returns the shape with named dimensions replaced by `dims`."""
        return tuple(d if isinstance(d, int) else dims[d] for d in self.shape)


@dataclass(frozen=True)
class GraphSpec:
    """Inputs, outputs and dimension ranges of one graph.

    Attributes:
        name: Graph name; the ONNX file is `graphs/<name>.onnx`.
        inputs: Tensors the graph takes.
        outputs: Tensors the graph gives.
        dims: Range of every named dimension of the inputs.
        aliases: Pairs (input, output) that may share one buffer: the graph updates the tensor in place.
        context: How many frames to either side an output frame depends on; None: on all of them.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    dims: tuple[DimRange, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    context: int | None = None

    def __post_init__(self) -> None:
        known = {d.name for d in self.dims}
        used = {d for t in self.inputs for d in t.shape if isinstance(d, str)}
        if known != used:
            raise ShapeError(
                f"graph {self.name}: dimensions {sorted(known)} declared, {sorted(used)} used by its inputs"
            )

    @property
    def dim_ranges(self) -> dict[str, DimRange]:
        """Ranges by dimension name."""
        return {d.name: d for d in self.dims}

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(t.name for t in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(t.name for t in self.outputs)

    def tensor(self, name: str) -> TensorSpec:
        """Returns the input or output called `name`.

        Raises:
            ShapeError: No tensor has this name.
        """
        for t in (*self.inputs, *self.outputs):
            if t.name == name:
                return t
        raise ShapeError(
            f"graph {self.name} has no tensor {name!r}; it has {[*self.input_names, *self.output_names]}"
        )

    def zeros(self) -> dict[str, Array]:
        """Returns inputs of the usual sizes that hold nothing but zeros."""
        sizes = {d.name: d.opt for d in self.dims}
        return {t.name: np.zeros(t.resolve(sizes), t.dtype) for t in self.inputs}

    def check(self, feeds: Mapping[str, Array]) -> dict[str, int]:
        """Checks names, dtypes, ranks and sizes of `feeds` and returns the sizes of the named dimensions.

        Raises:
            ShapeError: Names the graph, the tensor, what it got and what it expects.
        """
        if set(feeds) != set(self.input_names):
            missing, extra = set(self.input_names) - set(feeds), set(feeds) - set(self.input_names)
            raise ShapeError(
                f"graph {self.name}: missing inputs {sorted(missing)}, unknown inputs {sorted(extra)}"
            )
        dims: dict[str, int] = {}
        for t in self.inputs:
            self._check_tensor(t, feeds[t.name], dims)
        return dims

    def check_bound(self, arrays: Mapping[str, Any]) -> None:
        """Checks that every input and output is bound to something.

        Raises:
            ShapeError: Names those that are not.
        """
        missing = {*self.input_names, *self.output_names} - set(arrays)
        if missing:
            raise ShapeError(f"graph {self.name}: nothing is bound to {sorted(missing)}")

    def _check_tensor(self, t: TensorSpec, a: Array, dims: dict[str, int]) -> None:
        if a.dtype != np.dtype(t.dtype) or a.ndim != len(t.shape):
            raise ShapeError(
                f"graph {self.name}, input {t.name}: expected {t.dtype}{list(t.shape)}, got {a.dtype}{list(a.shape)}"
            )
        for size, dim in zip(a.shape, t.shape, strict=True):
            want = dims.setdefault(dim, size) if isinstance(dim, str) else dim
            if size != want:
                raise ShapeError(
                    f"graph {self.name}, input {t.name}: expected {list(t.shape)} with {dim} = {want}, "
                    f"got {list(a.shape)}"
                )
            if isinstance(dim, str) and size < self.dim_ranges[dim].min:
                raise ShapeError(
                    f"graph {self.name}, input {t.name}: {dim} must be at least {self.dim_ranges[dim].min}, got {size}"
                )

    def to_json(self) -> dict[str, Any]:
        """Returns the manifest form."""
        return {
            "name": self.name,
            "inputs": [[t.name, t.dtype, list(t.shape)] for t in self.inputs],
            "outputs": [[t.name, t.dtype, list(t.shape)] for t in self.outputs],
            "dims": {d.name: [d.min, d.opt, d.max] for d in self.dims},
            "aliases": [list(pair) for pair in self.aliases],
            "context": self.context,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GraphSpec:
        """Reads the manifest form."""
        return cls(
            name=value["name"],
            inputs=tuple(TensorSpec(n, d, tuple(s)) for n, d, s in value["inputs"]),
            outputs=tuple(TensorSpec(n, d, tuple(s)) for n, d, s in value["outputs"]),
            dims=tuple(DimRange(n, *r) for n, r in value["dims"].items()),
            aliases=tuple((a, b) for a, b in value["aliases"]),
            context=value.get("context"),
        )
