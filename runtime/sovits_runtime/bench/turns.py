"""The runners of a benchmark take turns within each repetition, so that a disturbance of the machine hits both."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise

from sovits_runtime.bench.result import STAGES, Timing
from sovits_runtime.bench.runner import Runner
from sovits_runtime.bench.workload import Workload
from sovits_runtime.bundle.names import PREFILL, STEP

SETTLE_S = 0.15
"""Pause before every timed run: threads of the run before, ours or the baseline's, spin on for a while and would take
a core from the next one."""


@dataclass
class Samples:
    """Seconds by stage of one runner; `per_run` has one number for each repetition, `all` every sample."""

    warmup: dict[str, float] = field(default_factory=dict)
    all: dict[str, list[float]] = field(default_factory=dict)
    per_run: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, samples: Iterable[float], *, warmup: bool) -> None:
        """Adds what one repetition measured."""
        values = list(samples)
        mean = sum(values) / len(values)
        if warmup:
            self.warmup[name] = mean
        else:
            self.all.setdefault(name, []).extend(values)
            self.per_run.setdefault(name, []).append(mean)

    def timing(self, name: str) -> Timing | None:
        """Returns the samples of a stage, if it was measured."""
        return Timing(tuple(self.all[name]), self.warmup.get(name)) if name in self.all else None


def take_turns(
    runners: Sequence[Runner], work: Workload, samples: Sequence[Samples], repetition: int
) -> None:
    """Runs every stage once by every runner; who goes first changes with each repetition; -1 is the warm-up."""
    order = list(zip(runners, samples, strict=True))[:: -1 if repetition % 2 else 1]
    warmup = repetition < 0
    for runner, sample in order:
        for name, seconds in time_tokens(runner, work).items():
            sample.add(name, seconds, warmup=warmup)
    runs = [(runner.stages(work), sample) for runner, sample in order]
    for name in STAGES:
        for stages, sample in runs:
            if name in stages:
                time.sleep(SETTLE_S)
                start = time.perf_counter()
                stages[name]()
                sample.add(name, [time.perf_counter() - start], warmup=warmup)


def time_tokens(runner: Runner, work: Workload) -> dict[str, list[float]]:
    """Times prefill, steps and both; tokens that come back together share their time."""
    time.sleep(SETTLE_S)
    marks = [time.perf_counter()]
    marks += [time.perf_counter() for _ in islice(runner.generate(work), len(work.tokens))]
    steps = [later - sooner for sooner, later in pairwise(marks[1:])]
    if runner.tokens_at_once > 1 and steps:
        steps = [sum(steps) / len(steps)]
    return {PREFILL: [marks[1] - marks[0]], STEP: steps, "gpt": [marks[-1] - marks[0]]}
