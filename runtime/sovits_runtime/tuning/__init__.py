"""What runs each graph of a bundle best on this machine? Measured graph by graph, judged, verified and kept as a plan.

Every engine that is installed takes turns on the voice's own recorded inputs. A listener speaks another length every
time, so a run counts at a length that the engine has not seen. What gains little stays on ONNX Runtime.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from sovits_runtime.backends.cpu import INT8_STEP, VOCODER_FORMS, rounded_file
from sovits_runtime.backends.native import library_for, pack_step
from sovits_runtime.backends.native_packing import save_packed
from sovits_runtime.backends.native_vocoder import packed_vocoder, vocoder_library
from sovits_runtime.backends.native_vocoder_packing import save_vocoder
from sovits_runtime.backends.plan import (
    FOLDER,
    LOSSY,
    NATIVE_BF16,
    NATIVE_INT8,
    Choice,
    Plan,
    PlanKind,
    key_fields,
    write_plan,
)
from sovits_runtime.backends.prepacked import prepack
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import temporary_folder
from sovits_runtime.bundle.names import CFM_STEP, INT8, PREFILL, PROMPT_TOKENS, STEP, VOCODERS
from sovits_runtime.bundle.seal import make_key
from sovits_runtime.errors import VerificationError
from sovits_runtime.machine import usable_cores
from sovits_runtime.machine.progress import Progress, no_progress
from sovits_runtime.tuning.chunks import suitable_chunks
from sovits_runtime.tuning.gpt import expected_gpt_rows, measure_gpt
from sovits_runtime.tuning.graphs import ONCE_A_RECORDING, engines_for, measure_graphs
from sovits_runtime.tuning.row import Row, chosen_engines, with_fitting_prefill
from sovits_runtime.verify import verify_bundle
from sovits_runtime.verify.check import Check, VerifyReport
from sovits_runtime.verify.recorded import recorded_request

__all__ = ["TuneReport", "tune_bundle"]


@dataclass(frozen=True)
class TuneReport:
    """What came of it.

    Attributes:
        plan: As it was kept.
        rows: What was tried.
        verification: Of the whole voice with its active choice.
        dropped: Graphs that were taken back to an exact engine, since the whole was too far from FP32 with them.
        seconds: That it took.
    """

    plan: Plan
    rows: tuple[Row, ...]
    verification: VerifyReport
    dropped: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Returns the machine-readable form."""
        return {
            "plan": str(self.plan.folder),
            "active": self.plan.active,
            "threads": self.plan.threads,
            "engines": {kind: dict(choice.engines) for kind, choice in self.plan.choices.items()},
            "chunks": {kind: choice.chunks for kind, choice in self.plan.choices.items()},
            "table": [row.to_json() for row in self.rows],
            "dropped": list(self.dropped),
            "verification": self.verification.to_json(),
            "seconds": self.seconds,
        }


def tune_bundle(
    bundle: Bundle,
    *,
    exact: bool = False,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> TuneReport:
    """Measures, chooses, verifies and keeps a plan; also prepacks, as `prepacked.prepack` does.

    Args:
        bundle: An opened bundle.
        exact: Whether only what equals FP32 up to rounding becomes active; the plan has both choices either way.
        threads: How many to measure with; None: the physical cores that this process may use.
        progress: Called with what is being done, steps done and steps in all.

    Raises:
        BackendError: ONNX Runtime is not installed, or a graph cannot be opened on it.
        BundleError: The bundle's folder cannot be written, or what it recorded is damaged.
        VerificationError: Even the exact choice is not what PyTorch gave.
    """
    start, threads = time.perf_counter(), threads or usable_cores()
    make_key()
    total = expected_rows(bundle) + 3
    progress("prepack", 0, total)
    prepack(bundle)
    rows: list[Row] = []
    for row in chain(measure_gpt(bundle, threads), measure_graphs(bundle, threads)):
        rows.append(row)
        progress(f"{row.graph} on {row.engine}", len(rows), total)
    runs = _runs(bundle)
    engines = {kind: chosen_engines(rows, kind, runs) for kind in ("tuned", "exact")}
    progress("verify", total - 2, total)
    active: PlanKind = "exact" if exact else "tuned"
    plan, report, dropped = _verified(bundle, rows, engines, active=active, threads=threads)
    progress("chunks", total - 1, total)
    chunks = {kind: suitable_chunks(bundle, kind, threads) for kind in plan.choices}
    choices = {kind: replace(choice, chunks=chunks[kind]) for kind, choice in plan.choices.items()}
    plan = _write(bundle, replace(plan, choices=choices))
    progress("done", total, total)
    return TuneReport(plan, tuple(rows), report, dropped, time.perf_counter() - start)


def _runs(bundle: Bundle) -> dict[str, int]:
    """How often the recorded sentence runs a graph, those aside that it runs once."""
    flow = bundle.spec.flow
    often = {STEP: recorded_request(bundle)["tokens"].size, CFM_STEP: flow.steps if flow else 0}
    return often | dict.fromkeys(ONCE_A_RECORDING, 0)


def expected_rows(bundle: Bundle) -> int:
    """How many engines are tried at most, for the progress."""
    graphs = [name for name in bundle.graph_names if name not in (PREFILL, STEP, PROMPT_TOKENS)]
    return expected_gpt_rows(bundle) + sum(len(engines_for(bundle, name)) for name in graphs)


def _verified(
    bundle: Bundle,
    rows: list[Row],
    engines: dict[str, dict[str, str]],
    *,
    active: PlanKind,
    threads: int,
) -> tuple[Plan, VerifyReport, tuple[str, ...]]:
    """Writes the plan and verifies the whole; what fails a check gives way, the furthest from FP32 first."""
    dropped: list[str] = []
    while True:
        for choice in map(Choice, engines.values()):  # what is there already is kept
            prepack(bundle, gpt_steps=choice.gpt_steps, vocoder_engine=choice.vocoder_engine)
        plan = _write(
            bundle,
            Plan(
                bundle.path / FOLDER / "new",
                key_fields(bundle),
                active,
                threads,
                {kind: Choice(chosen) for kind, chosen in engines.items()},
                tuple(row.to_json() for row in rows),
            ),
        )
        report = verify_bundle(bundle, threads=threads, plan=active)
        if report.passed:
            return plan, report, tuple(dropped)
        lossy = [r for r in rows if engines[active].get(r.graph) == r.engine and r.engine in LOSSY]
        if not lossy:
            raise VerificationError(
                f"{bundle.path}: does not give what PyTorch gave on this machine ({report.failure()}); "
                f"'sovits-export verify {bundle.path} --plan none' says more"
            )
        worst = min(to_blame(report.checks, lossy), key=lambda row: row.snr_db).graph
        engines[active] = with_fitting_prefill({**engines[active], worst: engines["exact"][worst]})
        dropped.append(worst)


def to_blame(checks: Iterable[Check], lossy: Sequence[Row]) -> list[Row]:
    """Returns those of the graphs that are not exact which the first failed check can be laid at.

    Args:
        checks: Of the whole voice.
        lossy: Rows of the graphs that are not exact.
    """
    failed = next(c for c in checks if not c.passed).name
    own = [row for row in lossy if row.graph == failed.split(",")[0].split(" ")[0]]
    of_tokens = failed.startswith("teacher-forced") or failed == "free run"
    side = [row for row in lossy if (row.graph in (PREFILL, STEP)) == of_tokens]
    return own or side or list(lossy)


def _write(bundle: Bundle, plan: Plan) -> Plan:
    """Writes a plan with the files that its choices need."""
    with temporary_folder(bundle.path / FOLDER / "files") as files:
        if any(choice.engine(STEP) == NATIVE_INT8 for choice in plan.choices.values()):
            _pack(bundle, files / INT8_STEP)
        for name in VOCODERS & set(bundle.graph_names):
            for engine in {choice.engine(name) for choice in plan.choices.values()} & {
                NATIVE_BF16,
                NATIVE_INT8,
            }:
                _pack_vocoder(bundle, name, engine, files / rounded_file(name, engine))
        return write_plan(plan, files)


def _pack(bundle: Bundle, path: Path) -> None:
    kernels = library_for(bundle, "native")
    assert kernels is not None  # it was measured
    save_packed(pack_step(kernels, bundle, INT8), path)


def _pack_vocoder(bundle: Bundle, name: str, engine: str, path: Path) -> None:
    kernels = vocoder_library(bundle, name, "native")
    assert kernels is not None  # it was measured
    packed = packed_vocoder(kernels, bundle, name, form=VOCODER_FORMS[engine])
    assert packed is not None
    save_vocoder(packed, path)
