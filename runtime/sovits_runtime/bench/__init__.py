"""How fast is a bundle on this machine, stage by stage, and beside a rival that runs in turn with it?

Every stage does the same work in every repetition (see `bench_workload`). One run of each is the warm-up, kept
apart. With a rival the two take turns within each repetition, so that a disturbance of the machine hits both, and
what counts is the median of the ratios of each repetition rather than the ratio of two medians.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice, pairwise

from sovits_runtime.bench.result import BenchResult, GptFigures, ProcessFacts, Stage, Timing
from sovits_runtime.bench.runner import Party, Voice, first_tokens
from sovits_runtime.bench.workload import TOKENS, Workload
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.machine.onnx_runtime import PACKAGES

__all__ = ["STAGES", "BenchResult", "Party", "bench"]

STAGES: dict[str, str] = {
    "import": "fresh process: from its start to the end of its imports",
    "load": "fresh process: from files to a voice that is ready to speak",
    "hubert": "reference of 5 s to HuBERT features",
    "prompt_tokens": "HuBERT features to 125 prompt tokens",
    "speaker": "reference of 5 s to its speaker embedding, features included",
    "reference_style": "reference of 5 s to its style, spectrogram included",
    "gpt_prefill": "100 phones and 125 prompt tokens to the first token",
    "gpt_step": "one more token, sampling included",
    "gpt": "all tokens: prefill and steps",
    "sovits_encoder": "tokens and phones to the state",
    "sovits_flow": "state to latent",
    "sovits_vocoder": "latent to waveform",
    "cfm_features": "state to the features of the flow matching",
    "cfm_condition": "features of one window to what every step is told",
    "cfm_step": "one Euler step of one window",
    "mel_vocoder": "mel to waveform",
    "utterance": "phones to waveform, reference prepared before",
    "first_audio": "to the first chunk of the utterance; PyTorch: to its first half, as a sentence",
}
"""What is timed, in order, and what one sample of it is; a version has some of the stages behind the GPT."""

VERSIONS = (
    "sovits-export",
    "sovits-export-native",
    "numpy",
    *PACKAGES,
    "torch",
    "transformers",
)
PROBES = 3
SETTLE_S = 0.15
"""Pause before every timed run: threads of the run before, ours or the rival's, spin on for a while and would take
a core from the next one."""
PROBE_TIMEOUT_S = 900

Progress = Callable[[str, int, int], None]


@dataclass
class _Samples:
    """Seconds by stage of one party; `per_run` has one number for each repetition, `all` every sample."""

    warmup: dict[str, float] = field(default_factory=dict)
    all: dict[str, list[float]] = field(default_factory=dict)
    per_run: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, samples: Iterable[float], *, warmup: bool) -> None:
        values = list(samples)
        mean = sum(values) / len(values)
        if warmup:
            self.warmup[name] = mean
        else:
            self.all.setdefault(name, []).extend(values)
            self.per_run.setdefault(name, []).append(mean)

    def timing(self, name: str) -> Timing | None:
        return Timing(tuple(self.all[name]), self.warmup.get(name)) if name in self.all else None


def bench(
    bundle: Bundle,
    *,
    device: str = "cpu",
    backend: str = "onnxruntime",
    threads: int | None = None,
    native: bool | None = None,
    tokens: int = TOKENS,
    repeats: int = 5,
    rival: Party | None = None,
    progress: Progress = lambda *_: None,
) -> BenchResult:
    """Times a bundle.

    Args:
        bundle: An opened bundle.
        device: Device to run on.
        backend: What runs the graphs.
        threads: Threads within one operator; None: every physical core this process may use.
        native: Whether the GPT's steps run on native kernels; see `Synthesizer.load`.
        tokens: Length of the utterance; 25 tokens are one second.
        repeats: How often every stage runs after the warm-up.
        rival: Something else that speaks; it runs in turn with the bundle.
        progress: Called with what is being done, steps done and steps in all.

    Raises:
        ShapeError: Fewer than 4 tokens, or no repetition.
        BackendError: The device cannot be used, or a fresh process failed.
    """
    if tokens < 4 or repeats < 1:
        raise ShapeError(
            f"bench: got {tokens} tokens and {repeats} repeats, expected at least 4 tokens and 1 repeat"
        )
    machine = read_machine()
    threads = threads or machine.usable_cores
    started, load_before = datetime.now().astimezone(), _load_average()
    voice = Voice(bundle, device=device, backend=backend, threads=threads, native=native)
    work = voice.workload(tokens)
    parties: list[Party] = [voice] if rival is None else [voice, rival]
    steps = _Steps(progress, 1 + repeats + min(repeats, PROBES))
    samples = [_Samples() for _ in parties]
    for repetition in range(-1, repeats):
        steps.next("warm-up" if repetition < 0 else f"repetition {repetition + 1} of {repeats}")
        _repetition(parties, work, samples, repetition)
    agreement = _agreement(voice, rival, work) if rival else ""
    processes = _probe(parties, min(repeats, PROBES), steps)
    for sample, facts in zip(samples, processes, strict=True):
        for fact in facts:
            sample.add("import", [fact.import_s], warmup=False)
            sample.add("load", [fact.load_s], warmup=False)
    bytes_per_token = voice.bytes_per_token(work)
    conditions = {
        "time": started.isoformat(timespec="seconds"),
        "bundle": str(bundle.path),
        "digest": bundle.digest,
        "model": dict(bundle.manifest["model"]),
        "device": device,
        "runs": voice.voice.describe(),
        "provider": voice.voice.text_to_semantic.step.provider,
        "threads": threads,
        "repeats": repeats,
        "workload": work.describe(),
        "machine": machine.to_json(),
        "versions": {"python": machine.python, **installed_versions(VERSIONS)},
        "load_average_before": load_before,
        "load_average_after": _load_average(),
    }
    return BenchResult(
        conditions=conditions,
        stages=tuple(_stages(samples)),
        bytes_per_token=bytes_per_token,
        audio_s=work.audio_s,
        gpt=tuple(_figures(s, bytes_per_token) for s in samples),
        processes=processes,
        rival=rival.name if rival else "",
        rival_note=rival.note if rival else "",
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


def _repetition(parties: list[Party], work: Workload, samples: list[_Samples], repetition: int) -> None:
    """Runs every stage once by every party; who goes first changes with each repetition."""
    order = list(zip(parties, samples, strict=True))[:: -1 if repetition % 2 else 1]
    warmup = repetition < 0
    for party, sample in order:
        for name, seconds in _time_tokens(party, work).items():
            sample.add(name, seconds, warmup=warmup)
    runs = [(party.stages(work), sample) for party, sample in order]
    for name in STAGES:
        for stages, sample in runs:
            if name in stages:
                time.sleep(SETTLE_S)
                start = time.perf_counter()
                stages[name]()
                sample.add(name, [time.perf_counter() - start], warmup=warmup)


def _time_tokens(party: Party, work: Workload) -> dict[str, list[float]]:
    time.sleep(SETTLE_S)
    marks = [time.perf_counter()]
    marks += [time.perf_counter() for _ in islice(party.generate(work), len(work.tokens))]
    steps = [later - sooner for sooner, later in pairwise(marks[1:])]
    if party.tokens_at_once > 1 and steps:
        steps = [sum(steps) / len(steps)]
    return {"gpt_prefill": [marks[1] - marks[0]], "gpt_step": steps, "gpt": [marks[-1] - marks[0]]}


def _stages(samples: list[_Samples]) -> Iterable[Stage]:
    ours = samples[0]
    for name, what in STAGES.items():
        timing = ours.timing(name)
        if timing is None:
            continue
        rival = samples[1].timing(name) if len(samples) > 1 else None
        ratios: tuple[float, ...] = ()
        if rival is not None:
            pairs = zip(samples[1].per_run[name], ours.per_run[name], strict=True)
            ratios = tuple(theirs / mine for theirs, mine in pairs)
        yield Stage(name, what, timing, rival, ratios)


def _figures(samples: _Samples, bytes_per_token: int | None) -> GptFigures:
    step = samples.timing("gpt_step")
    assert step is not None
    return GptFigures(1 / step.p50, bytes_per_token / step.p50 / 1e9 if bytes_per_token else None)


def _agreement(voice: Voice, rival: Party, work: Workload) -> str:
    """Says how far both draw the same tokens from the same noise: a check that both do the same work."""
    ours, theirs = first_tokens(voice, work), first_tokens(rival, work)
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b), len(ours))
    return f"{same} of {len(ours)} tokens equal from the same noise"


def _probe(parties: list[Party], count: int, steps: _Steps) -> tuple[tuple[ProcessFacts, ...], ...]:
    facts: list[list[ProcessFacts]] = [[] for _ in parties]
    for i in range(count):
        steps.next(f"fresh process {i + 1} of {count}")
        for party, found in zip(parties, facts, strict=True):
            found.append(_run_probe(party))
    return tuple(tuple(f) for f in facts)


def _run_probe(party: Party) -> ProcessFacts:
    command = [*party.probe_command(), repr(time.time())]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", timeout=PROBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"bench: the fresh process {command[:3]} could not be timed: {error}") from error
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise BackendError(f"bench: a fresh process of {party.name} failed: {reason}")
    return ProcessFacts(**json.loads(lines[-1]))


def _load_average() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
