"""What further rows of a batch cost on a GPU: sentences that the runtime steps together, 1 to 32 of them.

Before anything is timed, rows of different lengths are sent down paths that their noise forces, each row down its own.
So every token must be the one that was forced, and the logits are comparable with those of the row alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.backends.open import open_voice
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bench.runner import ENDLESS, workload_for
from sovits_runtime.bench.workload import Workload
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import FP32
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.t2s.device_rows import DeviceRows
from sovits_runtime.t2s.generator import MIN_NOISE, Noise, seeded_noise
from sovits_runtime.t2s.sampling import SamplingOptions

COUNTS = (1, 2, 4, 8, 16, 32)
FORCED, TIMED = 20, 200
"""Tokens of each row on a forced path, and of each while time is taken."""
ANY = SamplingOptions(top_k=0, temperature=1, repetition_penalty=1, min_tokens=1000)
"""Every token but the end of speech can be drawn."""
LIMITS = {True: 1e-4, False: 2e-2}
"""What a row's logits may differ from the row alone, as a fraction of the largest, by whether the voice is FP32."""


def rows_together(bundle: Bundle, backend: str, *, repeats: int) -> dict[str, Any]:
    """Compares rows of a batch with each alone, then times every number of rows.

    Args:
        bundle: An opened bundle.
        backend: What runs it.
        repeats: Timings of each number, of which the median counts.

    Raises:
        AssertionError: A row depends on who shares its batch.
        RuntimeError: Sentences do not step together here.
    """
    options = LoadOptions(device="cuda", backend=backend, rows=max(COUNTS), plan="none")
    with Synthesizer(open_voice(bundle, options)) as voice:
        rows = getattr(voice.text_to_semantic, "rows", None)
        if rows is None:
            raise RuntimeError(f"sentences step {voice.describe()['token_rows']}")
        work = workload_for(voice, FORCED)
        worst = _prove(rows, work, voice.text_to_semantic.vocab, full=bundle.precision == FP32)
        figures: dict[str, Any] = {}
        for count in COUNTS:
            _seconds(rows, work, voice.text_to_semantic.vocab, count)
            each = [_seconds(rows, work, voice.text_to_semantic.vocab, count) for _ in range(repeats)]
            step = float(np.median(each)) / TIMED
            figures[str(count)] = {"step_us": round(1e6 * step, 1), "tokens_per_s": round(count / step)}
        runs = voice.describe()
    words = ", ".join(f"{f['tokens_per_s']} with {count}" for count, f in figures.items())
    summary = f"tokens/s of all rows: {words}; logits {worst:.1e} from each alone"
    return {"summary": summary, "rows": figures, "difference": worst, "runs": runs}


def _prove(rows: DeviceRows, work: Workload, vocab: int, *, full: bool) -> float:
    """The largest difference of a row's logits from the row alone, as a fraction of the largest number."""
    alone = [_forced(rows, work, vocab, [number])[0] for number in range(max(COUNTS))]
    scale = max(float(np.abs(logits).max()) for logits in alone)
    worst = 0.0
    for count in COUNTS:
        made = _forced(rows, work, vocab, range(count))
        error = float(np.abs(made - np.stack(alone[:count])).max()) / scale
        if not error <= LIMITS[full]:
            raise AssertionError(
                f"rows of {count} differ from each alone by {error:.1e} of the largest, limit {LIMITS[full]}"
            )
        worst = max(worst, error)
    return worst


def _forced(rows: DeviceRows, work: Workload, vocab: int, numbers: Sequence[int]) -> NDArray[np.float32]:
    """Logits of the last step of rows that were all sent down their own paths."""
    paths = [np.random.default_rng(number).integers(0, vocab - 1, 2 * FORCED).tolist() for number in numbers]
    opened = [
        _open(rows, work, number, ANY, _forcing(path, vocab))
        for number, path in zip(numbers, paths, strict=True)
    ]
    made = [[row.first().token] for row in opened]
    for _ in range(FORCED - 1):
        for tokens, step in zip(made, rows.step_rows(opened), strict=True):
            if isinstance(step, Exception):
                raise step
            tokens.append(step.token)
    logits = rows.logits(opened)
    for row in opened:
        row.close()
    for number, tokens, path in zip(numbers, made, paths, strict=True):
        if tokens != path[:FORCED]:
            raise AssertionError(
                f"row {number} of {len(opened)} was forced to say {path[:4]}..., said {tokens[:4]}..."
            )
    return logits


def _forcing(path: Sequence[int], vocab: int) -> Noise:
    """Noise with which each step draws the token of a path, whatever its logits."""

    def draw(step: int) -> NDArray[np.float32]:
        noise = np.full((1, vocab), 1e10, np.float32)
        noise[0, path[step % len(path)]] = MIN_NOISE
        return noise

    return draw


def _open(rows: DeviceRows, work: Workload, number: int, options: SamplingOptions, noise: Noise) -> Any:
    """A row of the workload, the shorter the higher its number, so that no two are at the same position."""
    count = max(len(work.all_phones) - number, 1)
    return rows.open_row(
        work.all_phones[:count], work.bert[:count], work.prompt, options=options, noise=noise
    )


def _seconds(rows: DeviceRows, work: Workload, vocab: int, count: int) -> float:
    """Time that so many rows take for their tokens after the first."""
    noise = [seeded_noise(np.random.default_rng(number), vocab) for number in range(count)]
    opened = [_open(rows, work, number, ENDLESS, noise[number]) for number in range(count)]
    for row in opened:
        row.first()
    start = time.perf_counter()
    for _ in range(TIMED):
        for step in rows.step_rows(opened):
            if isinstance(step, Exception):
                raise step
    seconds = time.perf_counter() - start
    for row in opened:
        row.close()
    return seconds
