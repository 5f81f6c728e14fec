"""Engines of a bundle: found in the cache or built, one after another."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnx

from sovits_engines.builder import NO_FUSED_KERNEL, BuildOptions, BuiltEngine, EngineRefused, build_engine
from sovits_engines.cache import TIMINGS, CacheEntry, locked
from sovits_engines.engine_graph import TrtGraph, trt_graphs
from sovits_engines.passes.turing import NO_FP32_PRODUCTS
from sovits_engines.profile import profile_ranges
from sovits_engines.refit import require_refit, weights_signature
from sovits_engines.targets import BuildTarget
from sovits_runtime.backends.trt_api import RTX
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.engine_store import FORM, EngineRecord, engine_folder, engine_records, read_record
from sovits_runtime.bundle.names import STEP
from sovits_runtime.errors import BackendError
from sovits_runtime.machine import own_version
from sovits_runtime.machine.progress import Progress, no_progress
from sovits_runtime.t2s.device_step import CACHE_LENGTHS

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineResult:
    """What became of one engine.

    Attributes:
        built: Whether it was built now; otherwise it was there.
        seconds: How long that took.
        reason: Why it was built although an engine was there; empty otherwise.
    """

    record: EngineRecord
    built: bool
    seconds: float
    reason: str = ""


def build_engines(
    bundle: Bundle,
    targets: Sequence[BuildTarget],
    *,
    graphs: tuple[str, ...] = (),
    cache_sizes: tuple[int, ...] = CACHE_LENGTHS,
    strict: bool = False,
    rows: bool = False,
    refittable: bool = False,
    progress: Progress = no_progress,
) -> list[EngineResult]:
    """Builds what is missing.

    Args:
        bundle: An opened bundle; its files are those that its manifest names.
        targets: What to build for.
        graphs: Graphs to build; none: all.
        cache_sizes: Lengths of the cache, one decode step each.
        strict: Refuse to replace an engine that is damaged or was built from or for something else.
        rows: Build a second decode step for each length, which steps a batch of rows.
        refittable: Build engines that take another voice's weights; see `sovits_engines.refit_voice`.
        progress: Called as the work goes on.

    Raises:
        BackendError: TensorRT refuses a graph, or `strict` and an engine is not as expected.
        OSError: The disk is full.
    """
    if refittable:
        for target in targets:
            require_refit(target.api)
    jobs = [(t, e) for t in targets for e in trt_graphs(bundle, graphs, cache_sizes=cache_sizes, rows=rows)]
    results = []
    for i, (target, engine) in enumerate(jobs):

        def show(
            what: str, done: int, total: int, i: int = i, label: str = f"{target.target.sm} {engine.name}"
        ) -> None:
            progress(f"{label}: {what}", 100 * i + 100 * done // total, 100 * len(jobs))

        options = BuildOptions(captured=engine.graph == STEP, refittable=refittable)
        results.append(_Job(bundle, target, engine, options, strict, show).run())
    progress("done", len(jobs), len(jobs))
    return results


def engine_key_fields(
    bundle: Bundle, target: BuildTarget, engine: TrtGraph, options: BuildOptions
) -> dict[str, Any]:
    """Everything that an engine depends on; their digest is its key."""
    return {
        **target.target.key_fields(),
        "graph": bundle.graph_digest(engine.graph),
        "cache_size": engine.cache_size,
        "profile": {k: [list(s) for s in v] for k, v in profile_ranges(engine.spec).items()},
        "flags": options.key_fields(target.api),
        "form": FORM,
        "sovits-export": own_version(),
    }


def copy_for(target: BuildTarget, engine: TrtGraph, *, decompose_all: bool) -> onnx.ModelProto:
    """The copy of a graph that a target's TensorRT gets.

    Args:
        target: What the engine is for.
        decompose_all: Write out every attention: a fused kernel turned out to be missing.
    """
    made_for = target.target
    convolve = made_for.flavour == RTX and made_for.capability in NO_FP32_PRODUCTS
    return engine.model(decompose_all=decompose_all, convolve=convolve)


def prune_engines(bundle: Bundle, *, every: bool = False) -> list[Path]:
    """Removes engines of graphs as they are no longer, damaged ones and plans without a record.

    Args:
        every: Remove all engines.

    Returns:
        The plans and records removed.
    """
    removed: list[Path] = []
    for folder in {engine_folder(bundle, name) for name in bundle.graph_names}:
        for target in sorted(p for p in folder.glob("*") if p.is_dir()):
            with locked(target):
                removed += _prune(bundle, target, every)
    return removed


def _prune(bundle: Bundle, folder: Path, every: bool) -> list[Path]:
    listed = [] if every else [_look(bundle, path) for path in folder.glob("*.json")]
    keep = {p for path, record, problem in listed if record and not problem for p in (path, record.plan)}
    kinds = (".json", ".plan", *((TIMINGS,) if every else ()))
    useless = [p for p in sorted(folder.glob("*")) if p.suffix in kinds and p not in keep]
    for path in useless:
        path.unlink()
    return useless


Listed = tuple[Path, EngineRecord | None, str]


def list_engines(bundle: Bundle) -> list[Listed]:
    """Lists a bundle's engines: record file, record if it can be read, and what is wrong ("" when nothing is).

    Reads every plan whole. That an engine is for another GPU or another TensorRT than this machine's is not wrong.
    """
    return [_look(bundle, path) for path in engine_records(bundle)]


def _look(bundle: Bundle, path: Path) -> Listed:
    try:
        record = read_record(path)
    except BackendError as error:
        return path, None, str(error)
    built, own = record.key_fields, own_version()
    if record.graph not in bundle.graph_names or built.get("graph") != bundle.graph_digest(record.graph):
        return path, record, "the graph has changed since"
    if (built.get("form"), built.get("sovits-export")) != (FORM, own):
        return path, record, f"another sovits-export than this one ({own}) built it"
    return path, record, record.problem(whole=True)


@dataclass(frozen=True)
class _Job:
    """One engine for one target."""

    bundle: Bundle
    target: BuildTarget
    engine: TrtGraph
    options: BuildOptions
    strict: bool
    show: Progress

    def run(self) -> EngineResult:
        """Finds the engine or builds it."""
        start = time.perf_counter()
        folder = engine_folder(self.bundle, self.engine.graph) / self.target.target.folder
        key_fields = engine_key_fields(self.bundle, self.target, self.engine, self.options)
        entry = CacheEntry(folder, self.engine, key_fields)
        record, reason = entry.look()
        if record is None:
            with locked(folder, lambda: self.show("another process builds for this target", 0, 1)):
                record, reason = entry.look()
                if record is None:
                    self._replace(reason)
                    engine, facts = self._build(entry.timings())
                    seconds = time.perf_counter() - start
                    built = {**facts, "layers": engine.layers, "seconds": round(seconds, 3)}
                    record = entry.store(engine.plan, built)
                    if engine.timings:
                        entry.keep_timings(engine.timings)
                    return EngineResult(record, True, seconds, reason)
        self.show("found", 1, 1)
        return EngineResult(record, False, time.perf_counter() - start)

    def _replace(self, reason: str) -> None:
        what = f"engine {self.engine.name} for {self.target.target.folder}: {reason}"
        if reason and self.strict:
            again = f"sovits-export engine build {self.bundle.path}"
            raise BackendError(f"{what}; --strict does not replace it; {again}")
        if reason:
            LOG.warning("%s; it is built again", what)

    def _build(self, timings: bytes) -> tuple[BuiltEngine, Mapping[str, Any]]:
        """Builds as copied; where a fused attention turns out to be missing, once more with attention written out."""
        facts = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "fused_attention_refused": False,
        }
        try:
            return self._attempt(facts, timings)
        except EngineRefused as error:
            if NO_FUSED_KERNEL not in str(error):
                raise
        LOG.warning("engine %s: no fused attention on this target; it is written out", self.engine.name)
        return self._attempt({**facts, "fused_attention_refused": True}, timings)

    def _attempt(self, facts: dict[str, Any], timings: bytes) -> tuple[BuiltEngine, Mapping[str, Any]]:
        model = copy_for(self.target, self.engine, decompose_all=facts["fused_attention_refused"])
        if self.options.refittable:
            facts = {**facts, "weights": weights_signature(model, self.engine.path.parent)}
        engine = build_engine(
            self.target.api,
            model,
            path=self.engine.path,
            spec=self.engine.spec,
            capability=self.target.target.capability,
            options=self.options,
            timings=timings,
            progress=self.show,
        )
        return engine, facts
