"""How fast is a bundle on this machine, stage by stage, and beside a baseline that runs in turn with it?

Every stage does the same work in every repetition (see `workload`). One run of each is the warm-up, kept apart. With a
baseline the two take turns within each repetition. What counts is the median of the ratios of each repetition, rather
than the ratio of two medians.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sovits_runtime.backends.voice import GptSteps, VocoderEngine
from sovits_runtime.bench.fresh_process import run_in_fresh_process
from sovits_runtime.bench.result import STAGES, BenchResult, GptFigures, ProcessFacts, StageTiming
from sovits_runtime.bench.runner import BundleRunner, Runner, first_tokens
from sovits_runtime.bench.turns import Samples, take_turns
from sovits_runtime.bench.workload import TOKENS, Workload
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import STEP, VOCODERS
from sovits_runtime.errors import ShapeError
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.machine.onnx_runtime import PACKAGES
from sovits_runtime.machine.progress import Progress, no_progress

__all__ = ["bench"]

VERSIONS = (
    "sovits-export",
    "sovits-export-native",
    "numpy",
    *PACKAGES,
    "openvino",
    "torch",
    "transformers",
)
FRESH_PROCESSES = 3


def bench(
    bundle: Bundle,
    *,
    device: str = "cpu",
    backend: str = "onnxruntime",
    threads: int | None = None,
    gpt_steps: GptSteps = "auto",
    vocoder_engine: VocoderEngine = "auto",
    plan: str = "auto",
    tokens: int = TOKENS,
    repeats: int = 5,
    baseline: Runner | None = None,
    progress: Progress = no_progress,
) -> BenchResult:
    """Times a bundle.

    Args:
        bundle: An opened bundle.
        device: Device to run on.
        backend: What runs the graphs.
        threads: Threads within one operator; None: every physical core this process may use.
        gpt_steps: What runs the GPT's steps; see `LoadOptions`.
        vocoder_engine: What runs the vocoder; see `LoadOptions`.
        plan: What runs each graph; see `LoadOptions`.
        tokens: Length of the utterance; 25 tokens are one second.
        repeats: How often every stage runs after the warm-up.
        baseline: Something else that speaks; it runs in turn with the bundle.
        progress: Called with what is being done, steps done and steps in all.

    Raises:
        ShapeError: Fewer than 4 tokens, or no repetition.
        BackendError: The device cannot be used, or a fresh process failed.
    """
    if tokens < 4 or repeats < 1:
        raise ShapeError(
            f"bench: got {tokens} tokens and {repeats} repeats, expected at least 4 tokens and 1 repeat"
        )
    threads = threads or read_machine().usable_cores
    started, load_before = datetime.now().astimezone(), _load_average()
    ours = BundleRunner(
        bundle,
        device=device,
        backend=backend,
        threads=threads,
        gpt_steps=gpt_steps,
        vocoder_engine=vocoder_engine,
        plan=plan,
    )
    work = ours.workload(tokens)
    runners: list[Runner] = [ours] if baseline is None else [ours, baseline]
    steps = _Steps(progress, 1 + repeats + min(repeats, FRESH_PROCESSES))
    samples = [Samples() for _ in runners]
    for repetition in range(-1, repeats):
        steps.next("warm-up" if repetition < 0 else f"repetition {repetition + 1} of {repeats}")
        take_turns(runners, work, samples, repetition)
    agreement = _agreement(ours, baseline, work) if baseline else ""
    processes = _fresh_processes(runners, samples, min(repeats, FRESH_PROCESSES), steps)
    bytes_per_token = ours.bytes_per_token(work)
    return BenchResult(
        conditions={
            "time": started.isoformat(timespec="seconds"),
            **_conditions(ours, work, repeats),
            "load_average_before": load_before,
            "load_average_after": _load_average(),
        },
        stages=tuple(_stages(samples)),
        bytes_per_token=bytes_per_token,
        audio_s=work.audio_s,
        gpt=tuple(_figures(s, bytes_per_token) for s in samples),
        processes=processes,
        baseline=baseline.name if baseline else "",
        baseline_note=baseline.note if baseline else "",
        agreement=agreement,
    )


@dataclass
class _Steps:
    progress: Progress
    total: int
    done: int = 0

    def next(self, what: str) -> None:
        self.progress(what, self.done, self.total)
        self.done += 1


def _conditions(ours: BundleRunner, work: Workload, repeats: int) -> dict[str, Any]:
    """What was run, on what, with what."""
    bundle, voice, machine = ours.bundle, ours.voice, read_machine()
    return {
        "bundle": str(bundle.path),
        "digest": bundle.digest,
        "model": dict(bundle.manifest["model"]),
        "device": ours.device,
        "runs": voice.describe(),
        "provider": voice.text_to_semantic.step.provider,
        "vocoder": next(what for name, what in voice.runs_on.items() if name in VOCODERS),
        "threads": ours.threads,
        "repeats": repeats,
        "workload": work.describe(),
        "machine": machine.to_json(),
        "versions": {"python": machine.python, **installed_versions(VERSIONS)},
    }


def _stages(samples: Sequence[Samples]) -> Iterable[StageTiming]:
    ours = samples[0]
    for name, what in STAGES.items():
        timing = ours.timing(name)
        if timing is None:
            continue
        baseline = samples[1].timing(name) if len(samples) > 1 else None
        ratios: tuple[float, ...] = ()
        if baseline is not None:
            pairs = zip(samples[1].per_run[name], ours.per_run[name], strict=True)
            ratios = tuple(theirs / mine for theirs, mine in pairs)
        yield StageTiming(name, what, timing, baseline, ratios)


def _figures(samples: Samples, bytes_per_token: int | None) -> GptFigures:
    step = samples.timing(STEP)
    assert step is not None
    return GptFigures(1 / step.p50, bytes_per_token / step.p50 / 1e9 if bytes_per_token else None)


def _agreement(ours: BundleRunner, baseline: Runner, work: Workload) -> str:
    """Says how far both sample the same tokens from the same noise: a check that both do the same work."""
    mine, theirs = first_tokens(ours, work), first_tokens(baseline, work)
    same = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b), len(mine))
    return f"{same} of {len(mine)} tokens equal from the same noise"


def _fresh_processes(
    runners: Sequence[Runner], samples: Sequence[Samples], count: int, steps: _Steps
) -> tuple[tuple[ProcessFacts, ...], ...]:
    """Lets every runner speak in fresh processes, adds the times of import and load to its samples."""
    facts: list[list[ProcessFacts]] = [[] for _ in runners]
    for i in range(count):
        steps.next(f"fresh process {i + 1} of {count}")
        for runner, sample, own in zip(runners, samples, facts, strict=True):
            own.append(run_in_fresh_process(runner))
            sample.add("import", [own[-1].import_s], warmup=False)
            sample.add("load", [own[-1].load_s], warmup=False)
    return tuple(tuple(f) for f in facts)


def _load_average() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
