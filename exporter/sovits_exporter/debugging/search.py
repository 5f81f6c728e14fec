"""Searches which parts of a graph to keep in FP32 so that its outputs are right: as few as can be told by trying."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from sovits_calibration.fp16_ranges import Margins
from sovits_calibration.measure import Measurements, measure
from sovits_calibration.observe import Feeds
from sovits_engines.passes.operator_rules import FP16_MAX, is_float
from sovits_exporter.debugging.case import Case
from sovits_exporter.debugging.layers import Layer
from sovits_exporter.debugging.sides import Outputs, Side
from sovits_runtime.machine.progress import Progress, no_progress
from sovits_runtime.verify.metrics import cosine, relative_error
from sovits_runtime.verify.mixed import FP16_TOLERANCES

MOST_ATTEMPTS = 60
"""Conversions after which no more parts are left out; a full-size one takes some seconds."""


@dataclass(frozen=True)
class Choice:
    """What was found.

    Attributes:
        nodes: What to keep in FP32 beside what is kept now, in the order of the graph; empty: nothing more is needed.
        ops: Their operators.
        enough: Whether that makes the outputs right; where not even all of FP32 does, precision is not the fault.
        attempts: How many conversions were tried.
        before: Largest difference of an output as things are now, as a fraction of its full scale.
        after: The same with these nodes in FP32.
    """

    nodes: tuple[str, ...]
    ops: tuple[str, ...]
    enough: bool
    attempts: int
    before: float
    after: float

    def verdict(self, graph: str) -> str:
        """One line."""
        if not self.enough:
            return f"graph {graph}: not even FP32 throughout makes its outputs right, so precision is not the fault"
        if not self.nodes:
            return f"graph {graph}: converted anew it is right as it is, with {self.after:.2g} of full scale"
        names = ", ".join(f"{op} {node}" for op, node in zip(self.ops, self.nodes, strict=True))
        return (
            f"graph {graph}: with {len(self.nodes)} more parts in FP32 its outputs differ by {self.after:.2g} of full "
            f"scale, not {self.before:.2g} ({self.attempts} attempts): {names}"
        )

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "nodes": list(self.nodes),
            "enough": self.enough,
            "attempts": self.attempts,
            "before": str(self.before),
            "after": str(self.after),
        }


def search(
    case: Case,
    side: Side,
    expected: Sequence[Outputs],
    *,
    first: Layer,
    limit: float,
    change: Callable[[ir.Model], object] = lambda model: None,
    runs: Sequence[Feeds],
    progress: Progress = no_progress,
) -> Choice:
    """Tries conversions: more and more parts in FP32, those first that are most likely; then fewer again.

    Args:
        case: The graph.
        side: What runs a conversion.
        expected: The right outputs, one dict a run.
        first: The first layer that is wrong.
        limit: What an output may differ by, as a fraction of its full scale.
        change: What is done to a conversion before it is run.
        runs: Inputs for `side`, one dict a run.
        progress: Called as the work goes on.
    """
    return _Search(case, side, expected, limit, change, runs, progress).run(_ranked(case, first))


class _Search:
    def __init__(
        self,
        case: Case,
        side: Side,
        expected: Sequence[Outputs],
        limit: float,
        change: Callable[[ir.Model], object],
        runs: Sequence[Feeds],
        progress: Progress,
    ) -> None:
        self.case, self.side, self.expected, self.limit = case, side, expected, limit
        self.change, self.runs, self.progress = change, runs, progress
        self.attempts = 0

    def run(self, ranked: Sequence[ir.Node]) -> Choice:
        names = [n.outputs[0].name or "" for n in ranked]
        before = self._error(())
        if self._is_good(before):
            return Choice((), (), True, self.attempts, before, before)
        count = self._enough(names)
        if count is None:
            return Choice((), (), False, self.attempts, before, self._error(names))
        kept = self._fewer(names[:count])
        after = self._error(kept)
        chosen = [n for n in ranked if n.outputs[0].name in kept]
        order = {n.outputs[0].name: i for i, n in enumerate(self.case.original().graph) if n.outputs}
        chosen.sort(key=lambda n: order[n.outputs[0].name])
        nodes, ops = zip(*((n.outputs[0].name or "", n.op_type) for n in chosen), strict=True)
        return Choice(nodes, ops, True, self.attempts, before, after)

    def _enough(self, names: Sequence[str]) -> int | None:
        """How many of the names, from the first on, must be FP32: doubled until it is enough, then bisected."""
        bad, good = 0, 1
        while not self._is_good(self._error(names[:good])):
            if good >= len(names):
                return None
            bad, good = good, min(2 * good, len(names))
        while good - bad > 1:
            middle = (bad + good) // 2
            bad, good = (bad, middle) if self._is_good(self._error(names[:middle])) else (middle, good)
        return good

    def _fewer(self, names: Sequence[str]) -> list[str]:
        """Leaves out what is not needed: halves, then quarters, and so on down to single parts."""
        kept, size = list(names), len(names) // 2
        while size:
            at = 0
            while at < len(kept) and self.attempts < MOST_ATTEMPTS:
                others = kept[:at] + kept[at + size :]
                if others and self._is_good(self._error(others)):
                    kept = others
                else:
                    at += size
            size //= 2
        return kept

    def _is_good(self, error: float) -> bool:
        return error <= self.limit

    def _error(self, more: Collection[str]) -> float:
        """The worst output of a conversion; infinite where its direction is wrong."""
        self.attempts += 1
        done = min(self.attempts, MOST_ATTEMPTS)
        self.progress(f"{self.case.name}: try {len(more)} more parts in FP32", done, MOST_ATTEMPTS)
        model = self.case.converted(more)
        self.change(model)
        worst = 0.0
        for right, got in zip(self.expected, self.side.run(model, (), self.runs), strict=True):
            for name, numbers in right.items():
                if numbers.dtype.kind == "f" and numbers.size:
                    with np.errstate(all="ignore"):
                        full = got[name].astype(np.float32)
                        turned = not cosine(numbers, full) >= FP16_TOLERANCES["graph_cosine"]
                        error = relative_error(numbers.astype(np.float32), full)
                    worst = max(worst, float("inf") if turned else error)
        return worst


def _ranked(case: Case, first: Layer) -> list[ir.Node]:
    """What could become FP32: the first wrong layer and its neighbours, then what FP16 serves worst by its numbers."""
    measured, margins = measure(case.fp32_path, case.runs), Margins()
    graph, kept = case.original().graph, case.fp32_nodes
    nodes = [n for n in graph if is_float(n.outputs[0]) and n.outputs[0].name not in kept]
    near = _neighbours(graph, first)
    return sorted(nodes, key=lambda n: (n not in near, -_need(n, measured, margins)))


def _neighbours(graph: ir.Graph, first: Layer) -> set[ir.Node]:
    node = next(n for n in graph if n.outputs[0].name == first.name)
    return {node, *(use.node for use in node.outputs[0].uses())}


def _need(node: ir.Node, measured: Measurements, margins: Margins) -> float:
    """How much a node wants FP32; from 1 on calibration keeps it so."""
    name = node.outputs[0].name or ""
    values = [v.name or "" for v in (*node.inputs, *node.outputs) if v is not None and is_float(v)]
    largest = max((measured.largest.get(v, 0.0) for v in values), default=0.0)
    return max(
        largest * margins.range / FP16_MAX,
        measured.sums.get(name, 0.0) * margins.sum / FP16_MAX,
        measured.error.get(name, 0.0) / margins.error,
    )
