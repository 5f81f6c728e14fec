"""Layers of a graph, and how far two runs of each are apart.

Polygraphy's `Comparator` takes a dozen statistics of every array, three quantiles among them, whether they are shown or
not: minutes for the hundreds of layers of a full-size graph. So it judges the layer that was found, and the difference
of all others is one pass over their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from sovits_engines.passes.operator_rules import MOVES, after_choices
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.errors import BackendError

FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16})
_NOT_LAYERS = (MOVES - {"Where"}) | {"Cast", "ConstantOfShape", "Range"}
_LEAST_SCALE = 1e-9
Runs = Sequence[Mapping[str, Array]]
"""Values by name, one dict a run."""
INSTALL = "pip install 'sovits-export[debug]'"


@dataclass(frozen=True)
class Layer:
    """One operator that computes.

    Attributes:
        name: Its first output.
        op: Operator.
        weights: Names of the constants that it reads.
    """

    name: str
    op: str
    weights: tuple[str, ...]

    @property
    def title(self) -> str:
        """What people read."""
        return f"{self.op} {self.name}" + (f" ({', '.join(self.weights)})" if self.weights else "")


@dataclass(frozen=True)
class Difference:
    """How far a layer's results are apart, the worst of all runs.

    Attributes:
        layer: Which.
        error: Largest difference as a fraction of the largest expected magnitude; infinite where a number is none.
        limit: What that may be.
        expected: Smallest and largest number that is right.
        got: Smallest and largest number that came; infinite, or NaN, where one is.
        not_finite: How many numbers of `got` are infinite or NaN.
        spread: Of the first layer that is beyond its limit: what Polygraphy says of all its numbers.
    """

    layer: Layer
    error: float
    limit: float
    expected: tuple[float, float]
    got: tuple[float, float]
    not_finite: int
    spread: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is within the limit."""
        return self.error <= self.limit

    def describe(self) -> str:
        """Difference and both ranges, in words."""
        bad = f", {self.not_finite} of its numbers are not finite" if self.not_finite else ""
        return (
            f"differs by {self.error:.2g} of full scale, limit {self.limit:.2g}; expected {_range(self.expected)}, "
            f"got {_range(self.got)}{bad}"
        )

    def to_json(self) -> dict[str, Any]:
        """For machines; numbers that JSON has not are texts."""
        return {
            "layer": self.layer.name,
            "op": self.layer.op,
            "weights": list(self.layer.weights),
            "error": _json(self.error),
            "limit": self.limit,
            "passed": self.passed,
            "expected": [_json(x) for x in self.expected],
            "got": [_json(x) for x in self.got],
            "not_finite": self.not_finite,
            "spread": self.spread,
        }


def layers_of(reference: ir.Model, tested: ir.Model) -> list[Layer]:
    """The layers that both graphs have, in the order in which they run; weights are not read.

    What follows a decision, such as a token that is drawn, is no layer here, if it is no output: where two numbers tie,
    it can go either way.
    """
    after = after_choices(reference.graph)
    values = [v for node in tested.graph for v in node.outputs[:1]]
    both = {v.name for v in values if v.dtype in FLOATS and v.shape is not None}  # an output has a rank
    found = []
    for node in reference.graph:
        value = node.outputs[0]
        computes = node.op_type not in _NOT_LAYERS and node not in after
        if (computes or value.is_graph_output()) and value.dtype in FLOATS and value.name in both:
            weights = [v.name or "" for v in node.inputs if v is not None and v.is_initializer()]
            found.append(Layer(value.name or "", node.op_type, tuple(weights)))
    return found


def compare(
    layers: Sequence[Layer],
    expected: Runs,
    got: Runs,
    *,
    limit: float,
    sides: tuple[str, str],
) -> list[Difference]:
    """Compares runs on two sides.

    Args:
        layers: What to compare.
        expected: One dict of arrays a run; holds every layer.
        got: The same of the other side, in the order of the runs.
        limit: What may differ, as a fraction of a layer's largest expected magnitude.
        sides: What ran each.

    Raises:
        BackendError: Polygraphy is not installed, or the two sides give arrays of different shapes.
    """
    found = [_worst(layer, expected, got, limit) for layer in layers]
    first = next((i for i, difference in enumerate(found) if not difference.passed), None)
    if first is not None:
        found[first] = replace(found[first], spread=_spread(layers[first].name, expected, got, sides))
    return found


def _worst(layer: Layer, expected: Runs, got: Runs, limit: float) -> Difference:
    pairs = zip(expected, got, strict=True)
    return max(
        (_difference(layer, right[layer.name], tested[layer.name], limit) for right, tested in pairs),
        key=lambda difference: difference.error,
    )


def _spread(name: str, expected: Runs, got: Runs, sides: tuple[str, str]) -> str:
    """What Polygraphy's comparator says of a layer: whether a few of its numbers differ, or all do."""
    polygraphy = import_polygraphy()
    results = polygraphy.RunResults()
    for title, runs in zip(reversed(sides), (got, expected), strict=True):
        results.add([{name: run[name].astype(np.float32)} for run in runs], runner_name=title)
    with polygraphy.quiet(), np.errstate(all="ignore"):
        judge = polygraphy.SimpleCompareFunc(check_error_stat="max")
        (accuracy,) = polygraphy.Comparator.compare_accuracy(results, compare_func=judge)
    (runs,) = accuracy.values()
    worst = max((run[name] for run in runs), key=lambda r: np.nan_to_num(r.max_absdiff, nan=np.inf))
    return (
        f"absolute differences: mean {worst.mean_absdiff:.2g}, median {worst.median_absdiff:.2g}, largest "
        f"{worst.max_absdiff:.2g}"
    )


def _difference(layer: Layer, expected: Array, got: Array, limit: float) -> Difference:
    if expected.shape != got.shape:
        raise BackendError(f"{layer.title}: shape {list(got.shape)}, expected {list(expected.shape)}")
    if not expected.size:
        return Difference(layer, 0.0, limit, (0.0, 0.0), (0.0, 0.0), 0)
    ends = (_ends(expected), _ends(got))
    with np.errstate(all="ignore"):
        largest = float(np.abs(expected.astype(np.float32, copy=False) - got).max())
    error = largest / max(*map(abs, ends[0]), _LEAST_SCALE)
    bad = 0 if np.isfinite(error) else int(np.count_nonzero(~np.isfinite(got)))
    return Difference(layer, error if np.isfinite(error) else float("inf"), limit, *ends, bad)


def _ends(numbers: Array) -> tuple[float, float]:
    return float(numbers.min()), float(numbers.max())


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.4g} to {ends[1]:.4g}"


def _json(number: float) -> float | str:
    return number if np.isfinite(number) else str(number)


class Polygraphy:
    """What is used of Polygraphy."""

    def __init__(self) -> None:
        from polygraphy.backend.onnxrt import OnnxrtRunner
        from polygraphy.comparator import Comparator, RunResults, SimpleCompareFunc
        from polygraphy.logger import G_LOGGER

        self.OnnxrtRunner, self.Comparator = OnnxrtRunner, Comparator
        self.RunResults, self.SimpleCompareFunc = RunResults, SimpleCompareFunc
        self._logger = G_LOGGER

    def quiet(self) -> Any:
        """A context in which it prints nothing: that arrays differ is what is looked for here."""
        return self._logger.verbosity(self._logger.CRITICAL)


def import_polygraphy() -> Polygraphy:
    """Imports Polygraphy.

    Raises:
        BackendError: It is not installed, or too old.
    """
    try:
        return Polygraphy()
    except ImportError as error:
        raise BackendError(
            f"engine debug compares with NVIDIA's Polygraphy, 0.53.6 or newer, which is not here ({error}); {INSTALL}"
        ) from error
