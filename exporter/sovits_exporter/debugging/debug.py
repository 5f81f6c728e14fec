"""`engine debug` without its printing: every graph of a bundle, on the GPU that is here or as FP16 is rounded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from sovits_calibration.observe import Feeds
from sovits_exporter.debugging.case import Case, cases
from sovits_exporter.debugging.engine_side import Bench, EngineGraph, EngineSide
from sovits_exporter.debugging.find import LIMIT, Finding, Sides, find
from sovits_exporter.debugging.search import search
from sovits_exporter.debugging.sides import OrtSide
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import FP32
from sovits_runtime.machine.progress import Progress, no_progress

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class DebugOptions:
    """How to look.

    Attributes:
        bench: The GPU to build engines for and to run them on; None: FP16 is compared as it is rounded, on the CPU.
        limit: What a layer may differ by, as a fraction of its full scale.
        search: Whether to search what to keep in FP32.
    """

    bench: Bench | None = None
    limit: float = LIMIT
    search: bool = False


def debug_bundle(
    bundle: Bundle,
    source: Bundle,
    graphs: Sequence[str] = (),
    *,
    options: DebugOptions,
    progress: Progress = no_progress,
) -> Iterator[Finding]:
    """Looks at one graph after the other.

    Args:
        bundle: The bundle under suspicion.
        source: The FP32 bundle that it was made of, or itself.
        graphs: Which graphs; none: all.
        options: How to look.
        progress: Called as the work goes on.

    Raises:
        BundleError: A graph does not exist, or the bundles do not go together.
        BackendError: Something that is needed is not installed, or TensorRT refuses a graph.
    """
    made_of = bundle.manifest.get("precision", {}).get("from")
    if source is not bundle and made_of != source.digest:
        LOG.warning(
            "%s was made of another FP32 bundle than %s; it is compared with it anyway",
            bundle.path,
            source.path,
        )
    for case in cases(bundle, source, graphs):
        look = _rounded(case) if options.bench is None else _on_engine(case, options.bench)
        yield look.finding(options, progress)


@dataclass(frozen=True)
class _Look:
    """How one graph is looked at.

    Attributes:
        case: The graph.
        sides: What is compared with what.
        runs: Inputs of both sides, one dict a run.
        change: What is done to a graph before it is run.
        on_engine: Whether the tested side is an engine.
    """

    case: Case
    sides: Sides
    runs: Sequence[Feeds]
    change: Callable[[ir.Model], ir.Model]
    on_engine: bool

    def finding(self, options: DebugOptions, progress: Progress) -> Finding:
        """Finds the first wrong layer, and searches what to keep in FP32 if asked to."""
        case, limit = self.case, options.limit
        found = find(case.name, self.sides, self.runs, limit=limit, fuses=self.on_engine, progress=progress)
        converts = case.bundle.precision != FP32 or not self.on_engine
        if found.first is None or not options.search or not converts:
            return found
        right = OrtSide(case.fp32_path.parent).run(self.change(case.original()), (), self.runs)
        choice = search(
            case,
            self.sides.tested,
            right,
            first=found.first.layer,
            limit=limit,
            change=self.change,
            runs=self.runs,
            progress=progress,
        )
        return replace(found, choice=choice)


def _rounded(case: Case) -> _Look:
    """FP32 on ONNX Runtime against the FP16 graph with every result rounded."""
    reference = OrtSide(case.fp32_path.parent)
    tested = OrtSide(case.bundle.graph_path(case.name).parent, rounded=True)
    sides = Sides(reference, tested, case.original, case.tested)
    return _Look(case, sides, case.runs, lambda model: model, on_engine=False)


def _on_engine(case: Case, bench: Bench) -> _Look:
    """The bundle's graph on ONNX Runtime against its engine."""
    path = case.bundle.graph_path(case.name)
    graph = EngineGraph.of(case.bundle, case.name, case.runs)

    def copy() -> ir.Model:
        return graph.change(ir.load(path))

    sides = Sides(OrtSide(path.parent), EngineSide(bench, graph, path), copy, copy)
    return _Look(case, sides, graph.feeds(case.runs), graph.change, on_engine=True)
