"""Times what could run the GPT's step on the tokens of the recorded request, and compares its distributions."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.backends.native import library_for
from sovits_runtime.backends.plan import NATIVE, NATIVE_INT8, ONNX_RUNTIME, Choice, Taken
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.arrays import Arrays
from sovits_runtime.bundle.names import FP32, STEP
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


def measure_steps(bundle: Bundle, threads: int) -> Iterator[Row]:
    """Measures what could run the step; the first row is what runs it without a plan.

    Raises:
        BackendError: The GPT cannot be opened.
        BundleError: What the bundle recorded is damaged.
    """
    golden = recorded_request(bundle)
    voices = {
        engine: CpuVoice(bundle, LoadOptions(threads=threads), Taken(Choice({STEP: engine})))
        for engine in engines_for(bundle)
    }
    best = dict.fromkeys(voices, float("inf"))
    logits: dict[str, NDArray[np.float32]] = {}
    for _ in range(ROUNDS):
        for engine, voice in voices.items():
            logits[engine], seconds = _forced(bundle, voice, golden)
            best[engine] = min(best[engine], seconds)
    expected = logits[ONNX_RUNTIME]
    for engine, got in logits.items():
        kl = float(np.mean([kl_divergence(a, b) for a, b in zip(expected, got, strict=True)]))
        exact = float(np.abs(expected - got).max()) <= FP32_TOLERANCES["logits"]
        ratio = ratio_db(expected, got)
        note = f"KL of {len(got)} steps"
        yield Row(STEP, engine, best[engine], kl, ratio, exact=exact, within=kl <= KL, note=note)


def _forced(bundle: Bundle, voice: CpuVoice, golden: Arrays) -> tuple[NDArray[np.float32], float]:
    """Logits [n, V] of the recorded tokens, and the median step in seconds."""
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
    return np.stack(logits), float(np.median(np.diff(marks)[1:]))
