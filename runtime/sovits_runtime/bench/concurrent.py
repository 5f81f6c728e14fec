"""How much speech comes out of one engine when many listen at once, and whether they hear gaps.

For each number of listeners, all begin at the same moment and hear one utterance of the workload each, with seeds of
their own. A listener plays from its first chunk on; a gap is how long its player would have had nothing to play.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bench.runner import reference_of, utterance_options, workload_for
from sovits_runtime.bench.workload import TOKENS, Workload
from sovits_runtime.bundle import Bundle
from sovits_runtime.engine import EngineLimits, JobTiming, SpeechEngine, SpeechJob, SpeechRequest
from sovits_runtime.errors import ShapeError
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.machine.onnx_runtime import PACKAGES
from sovits_runtime.machine.process_memory import resident_bytes
from sovits_runtime.machine.progress import Progress, no_progress
from sovits_runtime.speech.types import Phrase

MOST_LISTENERS = 64
VOICE = "bench"


@dataclass(frozen=True)
class Listeners:
    """What so many listeners at once heard.

    Attributes:
        count: How many.
        audio_per_s: Seconds of sound a second, of all together; the median of the rounds.
        first_p50_s, first_p95_s: Seconds to the first sound, over listeners and rounds.
        gap_p95_s: Each listener's worst gap: the length that 95 of 100 do not exceed.
        tokens_per_s: Semantic tokens a second, until the last listener heard its end.
        rows_per_step: Tokens that a step of the batch made, on average.
        memory_bytes: Resident memory of this process after them; None where it is unknown.
    """

    count: int
    audio_per_s: float
    first_p50_s: float
    first_p95_s: float
    gap_p95_s: float
    tokens_per_s: float
    rows_per_step: float
    memory_bytes: int | None


@dataclass(frozen=True)
class ConcurrentResult:
    """A benchmark of many listeners.

    Attributes:
        conditions: What was run, on what, with what.
        listeners: Figures, by their number.
    """

    conditions: dict[str, Any]
    listeners: tuple[Listeners, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"conditions": self.conditions, "listeners": [asdict(each) for each in self.listeners]}


def bench_concurrent(
    bundle: Bundle,
    counts: Sequence[int],
    *,
    load: LoadOptions | None = None,
    tokens: int = TOKENS,
    repeats: int = 3,
    beside: bool | None = None,
    progress: Progress = no_progress,
) -> ConcurrentResult:
    """Times a bundle with several listeners at once.

    Args:
        bundle: An opened bundle.
        counts: Numbers of listeners, each from 1 to 64. They take turns within each repetition.
        load: How to load it.
        tokens: Length of an utterance; 25 tokens are one second.
        repeats: Rounds of every number, after a warm-up.
        beside: See `SpeechEngine`.
        progress: Called with what is being done, steps done and steps in all.

    Raises:
        ShapeError: A number is out of range.
        BackendError: The device cannot be used.
    """
    if not counts or min(counts) < 1 or max(counts) > MOST_LISTENERS or tokens < 4 or repeats < 1:
        raise ShapeError(
            f"bench: got {list(counts)} listeners, {tokens} tokens and {repeats} repeats, expected 1 to "
            f"{MOST_LISTENERS} listeners, at least 4 tokens and 1 repeat"
        )
    before = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    started = datetime.now().astimezone()
    rounds: dict[int, list[_Round]] = {count: [] for count in counts}
    with SpeechEngine(load=load, limits=EngineLimits(rows=max(counts)), beside=beside) as engine:
        engine.add_voice(VOICE, bundle.path)
        with engine.using(VOICE) as voice:
            work = workload_for(voice, tokens)
            provider = voice.text_to_semantic.step.provider
            _round(engine, work, 1)  # the warm-up
            for repeat in range(repeats):
                for i, count in enumerate(counts[:: -1 if repeat % 2 else 1]):
                    progress(f"{count} listeners", repeat * len(counts) + i, repeats * len(counts))
                    rounds[count].append(_round(engine, work, count))
    machine = read_machine()
    conditions = {
        "time": started.isoformat(timespec="seconds"),
        "bundle": bundle.path.name,
        "digest": bundle.digest,
        "model": dict(bundle.manifest["model"]),
        "precision": bundle.precision,
        "provider": provider,
        "threads": engine.load.threads or machine.usable_cores,
        "beside": engine.beside,
        "repeats": repeats,
        "workload": work.describe(),
        "machine": machine.to_json(),
        "versions": {"python": machine.python, **installed_versions(("numpy", *PACKAGES))},
        "load_average_before": before,
    }
    return ConcurrentResult(conditions, tuple(_figures(count, each) for count, each in rounds.items()))


@dataclass(frozen=True)
class _Round:
    seconds: float
    timings: tuple[JobTiming, ...]
    steps: int
    memory: int | None


def _round(engine: SpeechEngine, work: Workload, count: int) -> _Round:
    """All listeners begin at once; returns when the last one has heard its end."""
    phrase = Phrase(work.phones, work.bert[len(work.prompt_phones) :])
    options = utterance_options(len(work.tokens))
    requests = [
        SpeechRequest(
            voice=VOICE, text=[phrase], reference=reference_of(work), options=replace(options, seed=seed)
        )
        for seed in range(count)
    ]
    steps, start = engine.stats().steps, time.perf_counter()
    jobs: list[SpeechJob] = [engine.submit(request) for request in requests]
    for job in jobs:
        for _ in job:
            pass
    seconds = time.perf_counter() - start
    return _Round(
        seconds, tuple(job.timing for job in jobs), engine.stats().steps - steps, memory=resident_bytes()
    )


def _figures(count: int, rounds: Sequence[_Round]) -> Listeners:
    timings = [timing for each in rounds for timing in each.timings]
    first = [t.first_sound_s for t in timings if t.first_sound_s is not None]
    tokens = [sum(t.tokens for t in each.timings) for each in rounds]
    seconds = [each.seconds for each in rounds]
    audio = [sum(t.audio_s for t in each.timings) / each.seconds for each in rounds]
    return Listeners(
        count,
        audio_per_s=float(np.median(audio)),
        first_p50_s=float(np.percentile(first, 50)),
        first_p95_s=float(np.percentile(first, 95)),
        gap_p95_s=float(np.percentile([t.worst_gap_s for t in timings], 95)),
        tokens_per_s=float(np.median([n / s for n, s in zip(tokens, seconds, strict=True)])),
        rows_per_step=float(
            np.median([n / max(each.steps, 1) for n, each in zip(tokens, rounds, strict=True)])
        ),
        memory_bytes=rounds[-1].memory,
    )
