"""A whole voice from another voice's refittable engines: refitted, verified on its golden values, then put in place.

For a program with many voices of one architecture: one of them is built, the others are refitted. All engines of a
voice are refitted aside, a voice is loaded from them and verified whole, and only then do they count.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sovits_engines.build import EngineResult, copy_for, engine_key_fields
from sovits_engines.builder import BuildOptions
from sovits_engines.cache import CacheEntry, locked
from sovits_engines.engine_graph import TrtGraph, trt_graphs
from sovits_engines.refit import refitted_plan, require_refit
from sovits_engines.targets import BuildTarget
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.engine_store import (
    ENGINES,
    EngineRecord,
    engine_folder,
    engine_names,
    fitting_engines,
)
from sovits_runtime.bundle.files import temporary_folder
from sovits_runtime.bundle.names import STEP
from sovits_runtime.bundle.places import refuse_source
from sovits_runtime.errors import BackendError, VerificationError
from sovits_runtime.machine.progress import Progress, no_progress
from sovits_runtime.verify import verify_bundle
from sovits_runtime.verify.check import VerifyReport


@dataclass(frozen=True)
class RefitReport:
    """What became of one voice.

    Attributes:
        engines: Its engines; `built` where they were refitted now.
        verification: Of the voice on its refitted engines; None where all of them were there.
        seconds: How long it took.
    """

    engines: tuple[EngineResult, ...]
    verification: VerifyReport | None
    seconds: float


def verify_on_gpu(bundle: Bundle) -> VerifyReport:
    """Runs the whole verification on the bundle's TensorRT engines; parts that voices share run where they can."""
    return verify_bundle(bundle, device="cuda", backend="tensorrt")


def refit_voice(
    bundle: Bundle,
    source: Bundle,
    target: BuildTarget,
    *,
    verify: Callable[[Bundle], VerifyReport] = verify_on_gpu,
    progress: Progress = no_progress,
) -> RefitReport:
    """Makes a voice's own engines of another's; engines of the parts that voices share are shared anyway.

    Args:
        bundle: The voice.
        source: A voice of the same architecture with refittable engines for the target.
        target: The GPU here, and the TensorRT that built the source's engines.
        verify: Compares the voice, on the engines that the bundle given to it holds, with its golden values.
        progress: Called as the work goes on.

    Raises:
        SovitsError: The voice is its own source.
        BackendError: The source lacks refittable engines, the voice's graphs are others, or TensorRT refuses.
        VerificationError: The refitted voice is not what it should be; nothing is kept.
    """
    start = time.perf_counter()
    refuse_source(bundle.path, [source.path])
    require_refit(target.api)
    pairs = _pairs(bundle, source, target)
    folder = bundle.path / ENGINES / target.target.folder
    with locked(folder, lambda: progress("another process builds for this target", 0, len(pairs))):
        entries = [_entry(bundle, target, engine, folder) for _, engine in pairs]
        existing = [entry.look()[0] for entry in entries]
        if all(existing):
            reused = tuple(EngineResult(record, False, 0.0) for record in existing if record)
            return RefitReport(reused, None, time.perf_counter() - start)
        with _aside(bundle, target) as staged:
            refitted = []
            for i, (record, engine) in enumerate(pairs):
                progress(f"refit {engine.name}", i, len(pairs) + 1)
                refitted.append(
                    _refit(record, _entry(bundle, target, engine, _folder(staged, target)), target)
                )
            progress("verify", len(pairs), len(pairs) + 1)
            verification = verify(staged)
            if not verification.passed:
                raise VerificationError(
                    f"{bundle.path}: engines refitted from {source.path} give something else: "
                    f"{verification.failure()}; nothing was kept, build engines for this voice"
                )
            results = tuple(replace(r, record=_publish(r.record, folder)) for r in refitted)
        progress("done", 1, 1)
    return RefitReport(results, verification, time.perf_counter() - start)


def _pairs(bundle: Bundle, source: Bundle, target: BuildTarget) -> list[tuple[EngineRecord, TrtGraph]]:
    """The source's refittable engines, each with the voice's graph of the same name."""
    own = [name for name in bundle.graph_names if engine_folder(bundle, name) == bundle.path / ENGINES]
    pairs = []
    for name in own:
        records = list(_refittable(source, name, target)) if name in source.graph_names else []
        if not records:
            raise BackendError(
                f"{source.path}: no refittable engine {name} for {target.target.folder}; sovits-export engine build "
                f"{source.path} --refittable"
            )
        for record in records:
            sizes = (record.cache_size,) if name == STEP else ()
            engines = trt_graphs(bundle, (name,), cache_sizes=sizes, rows=True)
            (engine,) = (e for e in engines if e.name == record.name)
            if engine.spec != record.spec:
                raise BackendError(
                    f"{bundle.path}: {name} takes other sizes than that of {source.path}; build engines for this voice"
                )
            pairs.append((record, engine))
    return pairs


def _refittable(source: Bundle, name: str, target: BuildTarget) -> Iterator[EngineRecord]:
    for engine in engine_names(source, name):
        fitting, _ = fitting_engines(source, engine, target.target)
        yield from (record for record in fitting if "REFIT" in record.key_fields["flags"])


def _entry(bundle: Bundle, target: BuildTarget, engine: TrtGraph, folder: Path) -> CacheEntry:
    options = BuildOptions(captured=engine.graph == STEP, refittable=True)
    return CacheEntry(folder, engine, engine_key_fields(bundle, target, engine, options))


def _refit(source: EngineRecord, entry: CacheEntry, target: BuildTarget) -> EngineResult:
    start = time.perf_counter()
    refused = bool(source.built.get("fused_attention_refused", False))
    model = copy_for(target, entry.engine, decompose_all=refused)
    plan = refitted_plan(target.api, source, model, path=entry.engine.path)
    seconds = time.perf_counter() - start
    facts = {
        **source.built,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "refitted_from": source.sha256,
    }
    return EngineResult(entry.store(plan, facts), True, seconds)


@contextmanager
def _aside(bundle: Bundle, target: BuildTarget) -> Iterator[Bundle]:
    """The voice with an engines folder of its own, which is gone afterwards; also what a killed process left."""
    with temporary_folder(bundle.path / f"refit-{target.target.folder}") as folder:
        staged = Bundle(folder, bundle.manifest, bundle.shared)
        _folder(staged, target).mkdir(parents=True)
        shutil.copytree(bundle.path / "golden", folder / "golden")
        yield staged


def _folder(bundle: Bundle, target: BuildTarget) -> Path:
    return bundle.path / ENGINES / target.target.folder


def _publish(record: EngineRecord, folder: Path) -> EngineRecord:
    """Moves plan and record into the bundle; the record, which makes the plan count, last."""
    plan = folder / record.plan.name
    record.plan.replace(plan)
    record.plan.with_suffix(".json").replace(plan.with_suffix(".json"))
    return replace(record, plan=plan)
