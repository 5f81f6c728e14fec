"""Runs a graph on two sides and names the first layer that differs by more than its limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir

from sovits_calibration.observe import Feeds
from sovits_exporter.debugging.layers import Difference, Layer, compare, layers_of
from sovits_exporter.debugging.search import Choice
from sovits_exporter.debugging.sides import Side, batches, sizes
from sovits_runtime.machine.progress import Progress, no_progress

LIMIT = 0.05
"""Of a layer's full scale. A sound FP16 graph stays within a fraction of it; see docs/engine-debug.md."""
MOST_NUMBERS = 1 << 26
"""Of one batch of layers and run, that are kept at once: 256 MiB in FP32, on either side."""

Model = Callable[[], ir.Model]


@dataclass(frozen=True)
class Sides:
    """What is compared with what.

    Attributes:
        reference: What is right.
        tested: What is under suspicion.
        original: Reads the graph that the reference runs.
        suspect: Reads the graph that the tested side runs.
    """

    reference: Side
    tested: Side
    original: Model
    suspect: Model


@dataclass(frozen=True)
class Finding:
    """What was found of one graph.

    Attributes:
        graph: Its name.
        sides: What was compared with what.
        layers: Every layer, in order.
        limit: What a layer may differ by.
        runs: How many runs were compared.
        seconds: How long it took.
        note: What else is to be known; empty: nothing.
        alone: The first layer that differs when few others are marked, where marking all hides the fault.
        choice: What to keep in FP32, where that was searched.
    """

    graph: str
    sides: tuple[str, str]
    layers: tuple[Difference, ...]
    limit: float
    runs: int
    seconds: float
    note: str = ""
    alone: Difference | None = None
    choice: Choice | None = None

    @property
    def first(self) -> Difference | None:
        """The first layer that differs by more than its limit; None: all are within."""
        beyond = (d for d in self.layers if not d.passed)
        return self.alone if self.alone is not None else next(beyond, None)

    @property
    def worst(self) -> Difference | None:
        """The layer that differs most."""
        return max(self.layers, key=lambda d: d.error, default=None)

    def verdict(self) -> str:
        """One line."""
        if not self.runs:
            return f"graph {self.graph}: nothing that the bundle recorded reaches it, so nothing was compared"
        if self.first is not None:
            return (
                f"graph {self.graph}: first wrong in {self.first.layer.title}, which {self.first.describe()}"
            )
        error = f", at most {self.worst.error:.2g} of full scale" if self.worst else ""
        return f"graph {self.graph}: all {len(self.layers)} layers within {self.limit:.2g}{error}"

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "graph": self.graph,
            "sides": list(self.sides),
            "runs": self.runs,
            "limit": self.limit,
            "first": self.first.to_json() if self.first else None,
            "note": self.note,
            "keep": self.choice.to_json() if self.choice else None,
            "seconds": round(self.seconds, 2),
            "layers": [d.to_json() for d in self.layers],
        }


def find(
    graph: str,
    sides: Sides,
    runs: Sequence[Feeds],
    *,
    limit: float = LIMIT,
    fuses: bool = False,
    progress: Progress = no_progress,
) -> Finding:
    """Compares a graph's layers, batch by batch, so that memory stays bounded.

    Args:
        graph: Its name.
        sides: What is compared with what.
        runs: Inputs, one dict a run.
        limit: What may differ, as a fraction of a layer's full scale.
        fuses: Whether the tested side puts operators together where they are not marked.
        progress: Called as the work goes on.

    Raises:
        BackendError: A side cannot run the graph, or Polygraphy is not installed.
    """
    start = time.perf_counter()
    titles = (sides.reference.title, sides.tested.title)
    if not runs:
        return Finding(graph, titles, (), limit, 0, 0.0)
    original = sides.original()
    layers = layers_of(original, sides.suspect())
    counts = sizes(sides.original(), [layer.name for layer in layers], runs, sides.reference.folder)
    compared = _Compared(sides, runs, limit)
    differences: list[Difference] = []
    by_name = {layer.name: layer for layer in layers}
    for names in batches([layer.name for layer in layers], counts, MOST_NUMBERS):
        progress(f"{graph}: compare layers", len(differences), len(layers))
        differences += compared([by_name[name] for name in names])
    finding = Finding(graph, titles, tuple(differences), limit, len(runs), 0.0)
    if fuses and finding.first is None:
        finding = _unmarked(finding, compared, layers, original, progress)
    progress(f"{graph}: compared", len(layers), len(layers))
    return replace(finding, seconds=time.perf_counter() - start)


@dataclass(frozen=True)
class _Compared:
    """Compares some layers by marking them, and only them."""

    sides: Sides
    runs: Sequence[Feeds]
    limit: float

    def __call__(self, layers: Sequence[Layer], *, mark: bool = True) -> list[Difference]:
        names = [layer.name for layer in layers]
        sides = self.sides
        expected = sides.reference.run(sides.original(), names, self.runs)
        got = sides.tested.run(sides.suspect(), names if mark else (), self.runs)
        titles = (sides.reference.title, sides.tested.title)
        return compare(layers, expected, got, limit=self.limit, sides=titles)


def _unmarked(
    finding: Finding, compared: _Compared, layers: Sequence[Layer], original: ir.Model, progress: Progress
) -> Finding:
    """Looks once more with nothing marked: what is marked is not fused, so marking can hide a fault of fusing.

    Where only then an output is wrong, one layer at a time is marked, by bisection.
    """
    outputs = {v.name for v in original.graph.outputs}
    ends = [layer for layer in layers if layer.name in outputs]
    wrong = [d for d in compared(ends, mark=False) if not d.passed]
    if not wrong:
        return finding
    low, high, alone = 0, len(layers) - 1, wrong[0]
    while low < high:
        progress(f"{finding.graph}: marking hides the fault, one layer at a time", low, len(layers))
        middle = (low + high) // 2
        (found,) = compared([layers[middle]])
        if found.passed:
            low = middle + 1
        else:
            high, alone = middle, found
    note = (
        "With every layer marked, all are within their limits: marked layers are not fused. One layer at a time was "
        "marked instead, so look at what is fused with the one that is named."
    )
    return replace(finding, note=note, alone=alone)
