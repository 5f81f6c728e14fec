"""A thousand short requests from two threads in one process: memory must not grow.

    python benchmarks/soak.py BUNDLE [--stream] [--requests 1000] [--bound-mb 30] [-o benchmarks/results/NAME.json]

The first tenth of the requests is the warm-up, in which caches, pools and arenas take their size. Afterwards private
memory (pages that do not mirror files) must grow by no more than the bound, and no thread may be left. With --stream
requests are spoken in chunks and every third is closed after its first chunk, half of these while a thread waits for
the next. Exits with 1 when memory grew or a thread is left.
"""

from __future__ import annotations

import argparse
import gc
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from sovits_runtime import ChunkOptions, SamplingOptions, SpeechOptions, Synthesizer
from sovits_runtime.bench.runner import BundleRunner, reference_of
from sovits_runtime.bench.workload import NEVER_ENDS, Workload
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import json_text
from sovits_runtime.machine import installed_versions, read_machine
from sovits_runtime.machine.process_memory import peak_memory_bytes, resident_bytes

WORKERS = 2
SAMPLES_PER_TOKEN = 1280
LONGEST = 40
"""Tokens of the longest request; lengths vary, because a leak of shapes would hide behind equal ones."""


def main() -> None:
    options = arguments()
    bundle = Bundle.open(options.bundle)
    runner = BundleRunner(bundle, device="cpu", threads=1)
    work = runner.workload(LONGEST)
    warmup = max(1, options.requests // 10)
    speak = streamed if options.stream else request
    before = threading.active_count()
    start = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        run(pool, lambda seed: speak(runner.voice, work, seed), range(warmup))
        marks = [(0, memory())]
        for first in range(0, options.requests, warmup):
            seeds = range(first, min(first + warmup, options.requests))
            run(pool, lambda seed: speak(runner.voice, work, seed), seeds)
            marks.append((min(first + warmup, options.requests), memory()))
            print(f"{marks[-1][0]:>6} requests: {marks[-1][1] / 1e6:8.1f} MB", flush=True)
    growth = marks[-1][1] - marks[0][1]
    threads_left = threading.active_count() - before
    passed = growth <= options.bound_mb * 1e6 and threads_left == 0
    result = result_of(
        options, bundle, marks, growth=growth, seconds=time.perf_counter() - start, passed=passed
    ) | {"threads_left": threads_left}
    verdict = "ok" if passed else "FAILED"
    print(f"before {marks[0][1] / 1e6:.1f} MB, after {marks[-1][1] / 1e6:.1f} MB private memory")
    print(
        f"grew by {growth / 1e6:.1f} MB over {options.requests} requests from {WORKERS} threads, "
        f"bound {options.bound_mb:g} MB, "
        f"{threads_left} threads left: {verdict}"
    )
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json_text(result), encoding="utf-8")
    sys.exit(0 if passed else 1)


def run(pool: ThreadPoolExecutor, speak: Callable[[int], None], seeds: range) -> None:
    list(pool.map(speak, seeds))


def request(voice: Synthesizer, work: Workload, seed: int) -> None:
    """Speaks once: another length, other phones and other noise for every seed."""
    rng = np.random.default_rng(seed)
    phones = work.phones[: int(rng.integers(4, len(work.phones)))]
    endless = SamplingOptions(min_tokens=NEVER_ENDS)
    options = SpeechOptions(endless, seed=seed, pause_s=0.0, max_tokens=int(rng.integers(5, LONGEST)))
    sentence = voice.synthesize(phones, reference_of(work), options=options)
    if len(sentence.samples) == 0 or not np.isfinite(sentence.samples).all():
        raise SystemExit(f"request {seed}: no usable audio")


def cancelled(seed: int) -> bool:
    """Whether the streamed request of a seed is closed midway."""
    return seed % 3 == 0


def streamed(voice: Synthesizer, work: Workload, seed: int) -> None:
    """Speaks in chunks; closes every third request after its first, half of these from another thread amid the next."""
    rng = np.random.default_rng(seed)
    phones = work.phones[: int(rng.integers(4, len(work.phones)))]
    tokens = int(rng.integers(20, LONGEST))
    options = SpeechOptions(SamplingOptions(min_tokens=NEVER_ENDS), seed=seed, pause_s=0.0, max_tokens=tokens)
    cut = ChunkOptions(first_tokens=4, lookahead_tokens=2)
    stream = voice.stream([phones], reference_of(work), chunks=cut, options=options)
    samples = len(next(stream).samples)
    if cancelled(seed):
        if seed % 2:
            other = threading.Thread(target=stream.close)
            other.start()
            next(stream, None)
            other.join()
        stream.close()
        if next(stream, None) is not None:
            raise SystemExit(f"request {seed}: sound after it was closed")
    else:
        samples += sum(len(chunk.samples) for chunk in stream)
        if samples != tokens * SAMPLES_PER_TOKEN:
            raise SystemExit(f"request {seed}: {samples} samples for {tokens} tokens")


def memory() -> int:
    gc.collect()
    resident = resident_bytes(private=True) or resident_bytes()
    if resident is None:
        raise SystemExit("this system does not tell how much memory the process has")
    return resident


def result_of(
    options: argparse.Namespace,
    bundle: Bundle,
    marks: list[tuple[int, int]],
    *,
    growth: int,
    seconds: float,
    passed: bool,
) -> dict[str, Any]:
    return {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": read_machine().to_json(),
        "versions": installed_versions(("sovits-export", "numpy", "onnxruntime")),
        "bundle_digest": bundle.digest,
        "requests": options.requests,
        "streamed": options.stream,
        "cancelled": sum(map(cancelled, range(options.requests))) if options.stream else 0,
        "workers": WORKERS,
        "seconds": seconds,
        "bound_bytes": int(options.bound_mb * 1e6),
        "growth_bytes": growth,
        "peak_bytes": peak_memory_bytes(),
        "private_bytes_after": [{"requests": count, "bytes": size} for count, size in marks],
        "passed": passed,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--stream", action="store_true", help="speak in chunks, and cancel a third")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument(
        "--bound-mb", type=float, default=30, help="largest growth of private memory, in MB [30]"
    )
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
