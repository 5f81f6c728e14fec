"""Several plans of one bundle, stage by stage, in turn with each other and with a baseline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from sovits_runtime.bench.fresh_process import run_in_fresh_process
from sovits_runtime.bench.result import STAGES, ProcessFacts, Timing
from sovits_runtime.bench.runner import BundleRunner, Runner
from sovits_runtime.bench.turns import Samples, take_turns
from sovits_runtime.bench.workload import TOKENS
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import VOCODERS
from sovits_runtime.errors import ShapeError
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.machine.progress import Progress, no_progress

VERSIONS = ("sovits-export", "sovits-export-native", "numpy", "onnxruntime", "openvino", "torch")


@dataclass(frozen=True)
class Compared:
    """One plan, or the baseline.

    Attributes:
        name: Of the plan or the baseline.
        runs_on: Graph -> what ran it; empty for the baseline.
        stages: Stage -> its samples.
        ratios: Stage -> the first one's time over this one's, one for each repetition: above 1, this one is faster.
        process: A fresh process that loaded it and spoke.
    """

    name: str
    runs_on: Mapping[str, str]
    stages: Mapping[str, Timing]
    ratios: Mapping[str, tuple[float, ...]]
    process: ProcessFacts

    def ratio(self, stage: str) -> float:
        """Median of a stage's ratios."""
        return float(np.median(self.ratios[stage]))

    def to_json(self) -> dict[str, Any]:
        """Returns the machine-readable form."""
        return {
            "name": self.name,
            "runs_on": dict(self.runs_on),
            "stages": {
                name: {**t.to_json(), "ratio": self.ratio(name), "ratios": list(self.ratios[name])}
                for name, t in self.stages.items()
            },
            "process": asdict(self.process),
        }


@dataclass(frozen=True)
class CompareResult:
    """A whole comparison.

    Attributes:
        conditions: Machine, versions, threads, bundle, time, workload.
        audio_s: Length of the utterance, in seconds.
        compared: In the order that was asked for; ratios are to the first.
    """

    conditions: Mapping[str, Any]
    audio_s: float
    compared: tuple[Compared, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the machine-readable form."""
        return {
            "conditions": dict(self.conditions),
            "audio_s": self.audio_s,
            "compared": [one.to_json() for one in self.compared],
        }


def compare_plans(
    bundle: Bundle,
    plans: Sequence[str],
    *,
    threads: int | None = None,
    tokens: int = TOKENS,
    repeats: int = 5,
    baseline: Runner | None = None,
    progress: Progress = no_progress,
) -> CompareResult:
    """Times plans of a bundle in turn.

    Args:
        bundle: An opened bundle.
        plans: As `LoadOptions.plan`, each once.
        threads: Threads within one operator; None: every physical core this process may use.
        tokens: Length of the utterance; 25 tokens are one second.
        repeats: How often every stage runs after the warm-up.
        baseline: Something else that speaks; it runs in turn with them, after them.
        progress: Called with what is being done, steps done and steps in all.

    Raises:
        ShapeError: Fewer than two to compare, one twice, fewer than 4 tokens, or no repetition.
        BackendError: A plan is not there, or not for this machine.
    """
    if len(plans) + (baseline is not None) < 2 or len(set(plans)) < len(plans):
        raise ShapeError(f"compare: got {', '.join(plans)}, expected two plans or more, each once")
    if tokens < 4 or repeats < 1:
        raise ShapeError(f"bench: got {tokens} tokens and {repeats} repeats, expected at least 4 and 1")
    threads, machine = threads or read_machine().usable_cores, read_machine()
    started = datetime.now().astimezone()
    ours = [BundleRunner(bundle, device="cpu", threads=threads, plan=plan) for plan in plans]
    runners: list[Runner] = [*ours, *([baseline] if baseline else [])]
    work = ours[0].workload(tokens)
    samples = [Samples() for _ in runners]
    for repetition in range(-1, repeats):
        progress("warm-up" if repetition < 0 else f"repetition {repetition + 1}", repetition + 1, repeats + 2)
        take_turns(runners, work, samples, repetition)
    progress("fresh processes", repeats + 1, repeats + 2)
    facts = [run_in_fresh_process(runner) for runner in runners]
    names = [*plans, *([baseline.name] if baseline else [])]
    used = [*(dict(runner.voice.runs_on) for runner in ours), *([{}] if baseline else [])]
    compared = tuple(
        _compared(names[i], used[i], samples[i], samples[0], facts[i]) for i in range(len(runners))
    )
    conditions = {
        "time": started.isoformat(timespec="seconds"),
        "bundle": bundle.path.name,
        "digest": bundle.digest,
        "model": dict(bundle.manifest["model"]),
        "threads": threads,
        "repeats": repeats,
        "workload": work.describe(),
        "machine": machine.to_json(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": {"python": machine.python, **installed_versions(VERSIONS)},
    }
    return CompareResult(conditions, work.audio_s, compared)


def _compared(
    name: str, runs_on: Mapping[str, str], own: Samples, first: Samples, facts: ProcessFacts
) -> Compared:
    stages: dict[str, Timing] = {}
    ratios: dict[str, tuple[float, ...]] = {}
    for stage in STAGES:
        timing = own.timing(stage)
        if timing is not None and stage in first.per_run:
            stages[stage] = timing
            pairs = zip(first.per_run[stage], own.per_run[stage], strict=True)
            ratios[stage] = tuple(a / b for a, b in pairs)
    return Compared(name, runs_on, stages, ratios, facts)


def compare_lines(result: CompareResult) -> list[str]:
    """Describes a comparison for a terminal: medians in ms, and how many times faster than the first."""
    names = [one.name for one in result.compared]
    c = result.conditions
    lines = [
        f"{c['bundle']}: {result.audio_s:g} s of speech, {c['threads']} threads on {c['machine']['cpu']}",
        f"{'stage (ms)':<16}" + "".join(f" {name[:15]:>15} {'':>7}" for name in names),
    ]
    for stage in result.compared[0].stages:
        cells = [
            f" {1000 * one.stages[stage].p50:>15.2f} {one.ratio(stage):>6.2f}x" if stage in one.stages else ""
            for one in result.compared
        ]
        lines.append(f"{stage:<16}" + "".join(cells))
    for one in result.compared:
        peak = f", peak memory {one.process.peak_bytes / 1e6:.0f} MB" if one.process.peak_bytes else ""
        rtf = one.stages["utterance"].p50 / result.audio_s
        sound = "".join(f"; vocoder: {what}" for graph, what in one.runs_on.items() if graph in VOCODERS)
        lines.append(f"{one.name}: RTF {rtf:.3f}, load {one.process.load_s:.2f} s{peak}{sound}")
    return lines
