"""Many requests at once on one voice: each sounds as it does alone, memory stays flat, closing never hangs.

    python benchmarks/attacks/hammer_requests.py BUNDLE [--workers 16] [--requests 2000] [--closes 200] [--loads 50]
        [--forks 20] [-o benchmarks/results/NAME.json]

Four attacks, one after the other, all on the CPU:

- requests: `--workers` threads speak whole sentences and streams. A third of the streams is closed midway, half of
  these by another thread. Bits are compared with those of the same request alone.
- closes: a voice is closed while four threads speak. Each has to end with the right sound or with `BackendError`.
- loads: a voice is loaded, speaks and is closed. Neither memory nor threads may grow.
- forks: a child speaks with a voice that its parent loaded, while other threads of the parent speak.

Exits with 1 where one of them failed.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import hashlib
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import write_results

from sovits_runtime import ChunkOptions, Reference, SamplingOptions, SpeechOptions, Synthesizer
from sovits_runtime.bench.runner import BundleRunner, reference_of
from sovits_runtime.bench.workload import NEVER_ENDS
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import json_text
from sovits_runtime.errors import BackendError
from sovits_runtime.machine.process_memory import resident_bytes

KINDS = 12
LONGEST_TOKENS = 40
SHORT_CHUNKS = ChunkOptions(first_tokens=4, lookahead_tokens=2)
CLOSING_THREADS = 4
PATIENCE_S = 120


@dataclass(frozen=True)
class Subject:
    """What is attacked: how to load it, and what it says as whom."""

    load: Callable[[], Synthesizer]
    reference: Reference
    phones: NDArray[np.int64]

    @classmethod
    def of(cls, bundle: Bundle, threads: int) -> Subject:
        """A bundle and its benchmark's utterance."""
        work = BundleRunner(bundle, device="cpu", threads=1).workload(LONGEST_TOKENS)
        return cls(lambda: Synthesizer.load(bundle, threads=threads), reference_of(work), work.phones)

    def request(self, kind: int) -> tuple[NDArray[np.int64], SpeechOptions]:
        """Phones and options of one kind of request; each has lengths and noise of its own."""
        rng = np.random.default_rng(kind)
        tokens = int(rng.integers(10, LONGEST_TOKENS))
        endless = SamplingOptions(min_tokens=NEVER_ENDS)
        options = SpeechOptions(endless, seed=kind, pause_s=0.0, max_tokens=tokens)
        return self.phones[: int(rng.integers(4, len(self.phones)))], options

    def whole(self, voice: Synthesizer, kind: int) -> bytes:
        """Samples of a request, spoken whole."""
        phones, options = self.request(kind)
        return voice.synthesize(phones, self.reference, options=options).samples.tobytes()

    def chunks(self, voice: Synthesizer, kind: int, *, most: int | None = None, other: bool = False) -> bytes:
        """Samples of a request, spoken in chunks.

        Args:
            most: After how many chunks it is closed; None: never.
            other: Whether another thread closes it.
        """
        phones, options = self.request(kind)
        stream = voice.stream([phones], self.reference, chunks=SHORT_CHUNKS, options=options)
        heard = []
        for chunk in stream:
            heard.append(chunk.samples.tobytes())
            if len(heard) == most:
                if other:
                    thread = threading.Thread(target=stream.close)
                    thread.start()
                    heard.extend(c.samples.tobytes() for c in stream)
                    thread.join()
                stream.close()
        if most is not None and next(stream, None) is not None:
            raise AssertionError(f"kind {kind}: sound after it was closed")
        return b"".join(heard)


@dataclass(frozen=True)
class Alone:
    """What every kind of request sounds like when nothing else runs."""

    whole: Sequence[bytes]
    chunks: Sequence[bytes]

    @classmethod
    def of(cls, subject: Subject, voice: Synthesizer) -> Alone:
        """Speaks each kind once."""
        kinds = range(KINDS)
        return cls([subject.whole(voice, k) for k in kinds], [subject.chunks(voice, k) for k in kinds])


def one_request(subject: Subject, voice: Synthesizer, alone: Alone, number: int) -> str:
    """Makes a request, whole or in chunks, maybe closed midway, and says what it was.

    Raises:
        AssertionError: It sounds otherwise than alone.
    """
    kind = number % KINDS
    what = ("whole", "stream", "closed", "closed by another thread")[
        hashlib.sha256(b"%d" % number).digest()[0] % 4
    ]
    if what == "whole":
        right = subject.whole(voice, kind) == alone.whole[kind]
    elif what == "stream":
        right = subject.chunks(voice, kind) == alone.chunks[kind]
    else:
        heard = subject.chunks(voice, kind, most=1 + number % 2, other="another" in what)
        right = alone.chunks[kind].startswith(heard)
    if not right:
        raise AssertionError(f"request {number} ({what}) differs from the same request alone")
    return what


def attack_requests(subject: Subject, *, workers: int, requests: int) -> dict[str, Any]:
    """Speaks from many threads at once.

    Raises:
        AssertionError: A request sounds otherwise than alone.
    """
    with subject.load() as voice:
        alone = Alone.of(subject, voice)
        before = threading.active_count()
        with ThreadPoolExecutor(workers) as pool:
            speak = lambda number: one_request(subject, voice, alone, number)  # noqa: E731
            counted = Counter(pool.map(speak, range(max(workers, requests // 5))))
            start, memory = time.perf_counter(), private_bytes()
            counted += Counter(pool.map(speak, range(requests)))
            seconds, growth = time.perf_counter() - start, private_bytes() - memory
        left = threading.active_count() - before
    return {
        "requests": dict(counted), "workers": workers, "seconds": seconds, "growth_bytes": growth, "threads_left": left,
        "passed": left == 0 and growth < 30e6,
    }  # fmt: skip


def attack_closes(subject: Subject, *, closes: int) -> dict[str, Any]:
    """Closes voices that are at work.

    Raises:
        AssertionError: A request that ended well sounds otherwise than alone.
    """
    with subject.load() as voice:
        alone = Alone.of(subject, voice)
    ends: Counter[str] = Counter()
    longest = 0.0
    rng = np.random.default_rng(0)
    for round_number in range(closes):
        voice = subject.load()

        def speak(number: int, voice: Synthesizer = voice) -> None:
            try:
                while True:
                    one_request(subject, voice, alone, number)
                    ends["sound"] += 1
            except BackendError as error:
                ends["refused" if "closed" in str(error) else f"other: {error}"] += 1
            except BaseException as error:
                ends[f"{type(error).__name__}: {error}"] += 1

        threads = [
            threading.Thread(target=speak, args=(4 * round_number + i,)) for i in range(CLOSING_THREADS)
        ]
        for thread in threads:
            thread.start()
        time.sleep(float(rng.uniform(0, 0.1)))
        start = time.perf_counter()
        voice.close()
        longest = max(longest, time.perf_counter() - start)
        for thread in threads:
            thread.join()
    good = set(ends) <= {"sound", "refused"} and ends["refused"] == CLOSING_THREADS * closes
    return {"closes": closes, "ends": dict(ends), "longest_close_s": longest, "passed": good}


def attack_loads(subject: Subject, *, loads: int) -> dict[str, Any]:
    """Loads, speaks and closes over and over."""
    marks = []
    for number in range(loads + 5):
        with subject.load() as voice:
            subject.whole(voice, number % KINDS)
        if number >= 4:
            marks.append((private_bytes(), os_threads()))
    growth, threads = marks[-1][0] - marks[0][0], marks[-1][1] - marks[0][1]
    return {
        "loads": loads, "growth_bytes": growth, "threads_left": threads, "passed": growth < 30e6 and threads == 0,
    }  # fmt: skip


def attack_forks(subject: Subject, *, forks: int) -> dict[str, Any]:
    """Forks while other threads speak; the child speaks, whole and in chunks, and closes the voice."""
    codes: Counter[int] = Counter()
    with subject.load() as voice:
        alone = Alone.of(subject, voice)
        ending = threading.Event()

        def speak(kind: int) -> None:
            while not ending.is_set():
                subject.whole(voice, kind)

        threads = [threading.Thread(target=speak, args=(kind,)) for kind in range(2)]
        for thread in threads:
            thread.start()
        for number in range(forks):
            time.sleep(0.02)
            child = os.fork()
            if child == 0:
                os._exit(_in_child(subject, voice, alone, number % KINDS))
            codes[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])] += 1
        ending.set()
        for thread in threads:
            thread.join()
    return {"forks": forks, "exit_codes": dict(codes), "passed": set(codes) <= {0}}


def _in_child(subject: Subject, voice: Synthesizer, alone: Alone, kind: int) -> int:
    faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
    try:
        if (
            subject.whole(voice, kind) != alone.whole[kind]
            or subject.chunks(voice, kind) != alone.chunks[kind]
        ):
            return 3
        voice.close()
        return 0
    except BaseException as error:
        print(f"child: {type(error).__name__}: {error}", file=sys.stderr)
        return 4


def private_bytes() -> int:
    """Private memory of this process now; 0 where the system does not tell."""
    gc.collect()
    return resident_bytes(private=True) or 0


def os_threads() -> int:
    """Threads of this process, those of libraries included; 0 where the system does not tell."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 0


def main() -> None:
    """Runs the attacks and prints what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=2, help="threads of the voice [2]")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--closes", type=int, default=200)
    parser.add_argument("--loads", type=int, default=50)
    parser.add_argument("--forks", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    options = parser.parse_args()
    subject = Subject.of(Bundle.open(options.bundle), options.threads)
    faulthandler.enable()
    results = {
        "requests": attack_requests(subject, workers=options.workers, requests=options.requests),
        "closes": attack_closes(subject, closes=options.closes),
        "loads": attack_loads(subject, loads=options.loads),
    }
    if hasattr(os, "fork"):
        results["forks"] = attack_forks(subject, forks=options.forks)
    print(json_text(results), end="")
    if options.output:
        write_results(options.output, results)
    sys.exit(0 if all(result["passed"] for result in results.values()) else 1)


if __name__ == "__main__":
    main()
