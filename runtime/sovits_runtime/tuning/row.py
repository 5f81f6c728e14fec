"""One engine of one graph as it was measured and judged, and which engine a graph gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sovits_runtime.backends.plan import LOSSY, ONNX_RUNTIME, OPENVINO_ENGINES, Choice
from sovits_runtime.bundle.names import PREFILL, STEP

PAYS = 1.05
"""How many times faster than what runs it without a plan another engine must be; of OpenVINO, a whole sentence."""


@dataclass(frozen=True)
class Row:
    """One engine of one graph.

    Attributes:
        graph: Its name.
        engine: One of `plan.ENGINES`.
        seconds: For a run, or a step of the GPT; NaN where it did not run.
        error: Largest difference from FP32 as a fraction of the largest magnitude; of steps, mean KL in nats.
        snr_db: Ratio of the output to its error; of steps, of the logits.
        exact: Whether it equals FP32 up to rounding.
        within: Whether it keeps the limits of a conversion to int8.
        note: Why it did not run, or what was measured.
    """

    graph: str
    engine: str
    seconds: float
    error: float
    snr_db: float
    exact: bool
    within: bool
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The row as plain values."""
        return asdict(self)


def chosen_engines(rows: Sequence[Row], kind: str, runs: Mapping[str, int] | None = None) -> dict[str, str]:
    """Graph -> the fastest engine that a choice allows; the first of a graph's rows where no other gains enough.

    OpenVINO takes time to open and memory in every process, whatever it runs: it is chosen where the whole sentence
    gains enough.

    Args:
        rows: Of all graphs, the step before the prefill; the first of each is what runs it without a plan.
        kind: A `PlanKind`.
        runs: Graph -> how often a sentence runs it; once where it is not named.
    """
    best = _fastest(rows, kind)
    without = _fastest([row for row in rows if row.engine not in OPENVINO_ENGINES], kind)
    gains = _sentence(rows, without, runs or {}) >= PAYS * _sentence(rows, best, runs or {})
    return best if gains else without


def _sentence(rows: Sequence[Row], chosen: Mapping[str, str], runs: Mapping[str, int]) -> float:
    """Seconds that a sentence takes with some engines."""
    return sum(row.seconds * runs.get(row.graph, 1) for row in rows if chosen[row.graph] == row.engine)


def _fastest(rows: Sequence[Row], kind: str) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for graph in dict.fromkeys(row.graph for row in rows):
        first, *others = (row for row in rows if row.graph == graph)
        if graph == PREFILL:  # a native one has the weights of the step
            others = [row for row in others if row.engine == chosen.get(STEP)]
        allowed = [row for row in others if (row.exact and row.engine not in LOSSY) or _tuned(row, kind)]
        best = min(allowed, key=lambda row: row.seconds, default=first)
        chosen[graph] = best.engine if best.seconds * PAYS < first.seconds else first.engine
    return chosen


def with_fitting_prefill(engines: Mapping[str, str]) -> dict[str, str]:
    """The same engines; a native prefill, which has the weights of the step, only beside such a step."""
    fits = Choice(engines).native_prefill or PREFILL not in engines
    return {**engines} if fits else {**engines, PREFILL: ONNX_RUNTIME}


def _tuned(row: Row, kind: str) -> bool:
    return kind == "tuned" and row.within
