"""Times what could run the GPT's prefill and step on the recorded request, and compares its distributions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.backends.native import library_for
from sovits_runtime.backends.plan import NATIVE, NATIVE_INT8, ONNX_RUNTIME, Choice, Taken
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.arrays import Arrays
from sovits_runtime.bundle.names import FP32, PREFILL, STEP
from sovits_runtime.tuning.graphs import ratio_db
from sovits_runtime.tuning.row import Row
from sovits_runtime.verify.exact import FP32_TOLERANCES
from sovits_runtime.verify.metrics import kl_divergence
from sovits_runtime.verify.recorded import recorded_options, recorded_request
from sovits_runtime.verify.tuned import KL

ROUNDS = 3


def engines_for(bundle: Bundle) -> tuple[str, ...]:
    """What could run the step here; what runs it without a plan first."""
    if library_for(bundle, "auto") is None:
        return (ONNX_RUNTIME,)
    int8 = (NATIVE_INT8,) if bundle.manifest["graphs"][STEP]["precision"] == FP32 else ()
    return (NATIVE, ONNX_RUNTIME, *int8)


def prefills_for(bundle: Bundle) -> tuple[str, ...]:
    """What could run the prefill here; what runs it without a plan first."""
    return (ONNX_RUNTIME, *(engine for engine in engines_for(bundle) if engine != ONNX_RUNTIME))


def expected_gpt_rows(bundle: Bundle) -> int:
    """How many rows `measure_gpt` gives."""
    return len(engines_for(bundle)) + len(prefills_for(bundle))


def measure_gpt(bundle: Bundle, threads: int) -> Iterator[Row]:
    """Measures what could run step and prefill; of each the first row is what runs it without a plan.

    A native prefill runs before native steps of the same weights, and is judged by their distributions too: they read
    the caches that it fills.

    Raises:
        BackendError: The GPT cannot be opened.
        BundleError: What the bundle recorded is damaged.
    """
    golden = recorded_request(bundle)
    native = prefills_for(bundle)[1:]
    choices = {(STEP, engine): {STEP: engine} for engine in engines_for(bundle)}
    choices |= {(PREFILL, engine): {STEP: engine, PREFILL: engine} for engine in native}
    runs = {
        key: _Run(CpuVoice(bundle, LoadOptions(threads=threads), Taken(Choice(engines))))
        for key, engines in choices.items()
    }
    for _ in range(ROUNDS):
        for run in runs.values():
            run.measure(bundle, golden)
    of_step = [(STEP, engine) for engine in engines_for(bundle)]
    runs[PREFILL, ONNX_RUNTIME] = runs[STEP, ONNX_RUNTIME]
    of_prefill = [(PREFILL, engine) for engine in prefills_for(bundle)]
    expected = runs[STEP, ONNX_RUNTIME].logits
    for graph, engine in (*of_step, *of_prefill):
        run = runs[graph, engine]
        kl = float(np.mean([kl_divergence(a, b) for a, b in zip(expected, run.logits, strict=True)]))
        exact = float(np.abs(expected - run.logits).max()) <= FP32_TOLERANCES["logits"]
        note = f"KL of {len(run.logits)} steps"
        seconds = run.step if graph == STEP else run.prefill
        ratio = ratio_db(expected, run.logits)
        yield Row(graph, engine, seconds, kl, ratio, exact=exact, within=kl <= KL, note=note)
    for run in runs.values():
        run.voice.close()


@dataclass
class _Run:
    """A voice with what it took at best, and the logits [n, V] that it gave."""

    voice: CpuVoice
    prefill: float = float("inf")
    step: float = float("inf")
    logits: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def measure(self, bundle: Bundle, golden: Arrays) -> None:
        """Runs the recorded tokens once more."""
        self.logits, prefill, step = _forced(bundle, self.voice, golden)
        self.prefill, self.step = min(self.prefill, prefill), min(self.step, step)


def _forced(bundle: Bundle, voice: CpuVoice, golden: Arrays) -> tuple[NDArray[np.float32], float, float]:
    """Logits [n, V] of the recorded tokens, and seconds of the prefill and of the median step."""
    phones = np.concatenate([golden["prompt_phones"], golden["phones"]])
    noise = np.ones((1, voice.text_to_semantic.vocab), np.float32)
    steps = voice.text_to_semantic.steps(
        phones,
        golden["bert"],
        golden["prompt"],
        options=recorded_options(bundle),
        noise=lambda _: noise,
        forced=golden["tokens"],
    )
    logits, marks = [], [time.perf_counter()]
    for step in steps:
        logits.append(step.logits.copy())
        marks.append(time.perf_counter())
    seconds = np.diff(marks)
    return np.stack(logits), float(seconds[0]), float(np.median(seconds[1:]))
