"""A server under load: 64 clients, 1,000 requests of mixed voices, formats and lengths, a third of which leave early.

    python benchmarks/server/load.py VOICES [--requests 1000] [--clients 64] [--restarts 7] [-o OUT.json]

VOICES is a folder as `sovits-export serve --voices` takes it, best with voices that are tuned
(`sovits-export tune`). Each kind of request is first spoken alone; every answer under load that was not left has to be
equal to it, byte by byte (Ogg Vorbis: sample by sample). Then one client asks for more than it may, and all for more
than the queue holds. After each, the server has to have the threads and open files that it had before, and its private
memory may have grown by no more than the bound. At last it is killed with SIGKILL and started again, some times. Exits
with 1 where any of that is not so. Linux; the extras serve and dev, and those of the languages.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import io
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile
from clients import Answer, Request, percentile, speak_all
from server_process import ServerProcess, Usage, own_server

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import json_text
from sovits_runtime.machine import installed_versions, read_machine
from sovits_server.voices import Voice, VoiceStore

TEXTS = (
    "Hello.",
    "The lights are on, and the heating is at twenty one degrees.",
    "Yes, of course. I have set a timer for ten minutes. Is there anything else that I can do for you today?",
    "It was late in the evening. The rain had stopped, but the streets still shone. Nobody was out there any more. "
    "Only a cat sat on the wall, and looked at the river.",
)
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
STREAMS = ({"media_type": "wav", "streaming_mode": 0}, {"media_type": "ogg", "streaming_mode": 2},
           {"media_type": "raw", "streaming_mode": 3}, {"media_type": "aac", "streaming_mode": 1})  # fmt: skip
ROWS, QUEUE, OF_ONE = 16, 64, 8
LEAVES = 3
"""Every so-manieth request is left by its client."""
MARKS = 10
SETTLE_S = 20.0
FILES_MAY_DIFFER = 4
"""The poller, a pipe or a log that was opened late."""


def main() -> None:
    options = arguments()
    voices = VoiceStore(options.voices).voices()
    rng = random.Random(options.seed)
    keys = [f"client-{number:04}" for number in range(options.clients)]
    limits = (
        "--rows",
        ROWS,
        "--queue",
        QUEUE,
        "--client-requests",
        OF_ONE,
        "--cache-mb",
        0,
        "--deadline-s",
        600,
    )
    limits += ("--max-seconds", options.max_seconds) if options.max_seconds else ()
    words = [str(word) for word in (*limits, *(w for key in keys for w in ("--api-key", key)))]
    failures: list[str] = []
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "server.log"
        if options.requests:
            server = own_server(options.voices, log, *words)
            try:
                server.wait()
                checks = Checks(server, keys)
                result = under_load(checks, kinds_of(voices), options, rng)
                result["limits"] = beyond_limits(checks)
                failures = checks.failures
            finally:
                server.kill()
        if options.restarts:
            result["restarts"] = restarts(options, log, words)
    result["failures"] = failures
    print(json_text(result))
    if options.output:
        options.output.write_text(json_text(conditions(options, voices) | result), encoding="utf-8")
    sys.exit(bool(failures))


class Checks:
    """A server, and what it did not keep."""

    def __init__(self, server: ServerProcess, keys: Sequence[str]) -> None:
        self.server = server
        self.keys = keys
        self.failures: list[str] = []

    def expect(self, good: bool, words: str) -> None:
        """Notes what is not so."""
        if not good:
            print(f"FAILED: {words}", file=sys.stderr)
            self.failures.append(words)

    def ask(self, requests: Sequence[Request], *, clients: int, keys: Sequence[str] = ()) -> list[Answer]:
        """Sends requests, and waits until the server is idle again."""
        answers = asyncio.run(speak_all(self.server.base, requests, clients=clients, keys=keys or self.keys))
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            health = httpx.get(f"{self.server.base}/health").json()
            if not health["running"] and not health["waiting"]:
                break
            time.sleep(0.1)
        else:
            self.expect(False, f"still at work {SETTLE_S:g} s after the last client: {health}")
        time.sleep(1.0)
        return answers

    def nothing_left(self, before: Usage, what: str) -> None:
        """Compares threads and open files with those before."""
        now = self.server.usage()
        self.expect(now.threads <= before.threads, f"{what}: {now.threads} threads, {before.threads} before")
        self.expect(
            now.files <= before.files + FILES_MAY_DIFFER,
            f"{what}: {now.files} open files, {before.files} before",
        )


def kinds_of(voices: Sequence[Voice]) -> list[Request]:
    """Requests that differ: each voice says each text in formats that take turns, in both dialects."""
    made = []
    for number, voice in enumerate(voices):
        for place, text in enumerate(TEXTS):
            for turn in range(3):
                format = FORMATS[(number + place * 3 + turn) % len(FORMATS)]
                body = {
                    "input": text,
                    "voice": voice.name,
                    "response_format": format,
                    "seed": place,
                    "language": "en",
                }
                made.append(
                    Request(path="/v1/audio/speech", body=body, kind=f"{voice.name} {place} {format}")
                )
            stream = STREAMS[(number + place) % len(STREAMS)]
            body = {"text": text, "voice": voice.name, "text_lang": "en", "seed": place, **stream}
            kind = f"{voice.name} {place} {stream['media_type']} {stream['streaming_mode']}"
            made.append(Request(path="/tts", body=body, kind=kind))
    return made


def under_load(
    checks: Checks, kinds: Sequence[Request], options: argparse.Namespace, rng: random.Random
) -> dict[str, Any]:
    """Every kind alone, then all at once."""
    alone = dict(zip((k.kind for k in kinds), checks.ask(kinds, clients=1), strict=True))
    bad = {kind: answer.status for kind, answer in alone.items() if answer.status != 200}
    checks.expect(not bad, f"not spoken alone: {bad}")
    plan = [rng.choice(kinds) for _ in range(options.requests)]
    plan = [
        dataclasses.replace(r, leaves_at=rng.randint(1, len(alone[r.kind].content) - 1))
        if n % LEAVES == 0
        else r
        for n, r in enumerate(plan)
    ]
    checks.ask(plan[: options.clients], clients=options.clients)  # pools and arenas take their size
    before = checks.server.usage()
    marks, answers = [(0, before)], []
    start = time.perf_counter()
    step = max(len(plan) // MARKS, 1)
    for first in range(0, len(plan), step):
        answers += checks.ask(plan[first : first + step], clients=options.clients)
        marks.append((len(answers), now := checks.server.usage()))
        print(
            f"{len(answers):>6} requests: {now.private_bytes / 1e6:8.1f} MB, {now.threads} threads",
            flush=True,
        )
    seconds = time.perf_counter() - start
    checks.nothing_left(before, "after the load")
    growth = marks[-1][1].private_bytes - before.private_bytes
    checks.expect(growth <= options.bound_mb * 1e6, f"private memory grew by {growth / 1e6:.1f} MB")
    whole = [(r, a) for r, a in zip(plan, answers, strict=True) if not a.left]
    other = [r.kind for r, a in whole if a.status == 200 and not same(a.content, alone[r.kind].content)]
    checks.expect(not other, f"{len(other)} answers differ from those alone: {sorted(set(other))[:5]}")
    refused = Counter(a.status for _, a in whole if a.status != 200)
    checks.expect(not refused, f"not answered with sound: {dict(refused)}")
    first_s = [a.first_s for _, a in whole if a.first_s]
    return {
        "load": {
            "clients": options.clients,
            "requests": len(plan),
            "kinds": len(kinds),
            "left_by_their_clients": sum(a.left for a in answers),
            "whole": len(whole),
            "equal_to_alone": len(whole) - len(other) - sum(refused.values()),
            "seconds": round(seconds, 1),
            "first_byte_s": {"p50": percentile(first_s, 0.5), "p95": percentile(first_s, 0.95)},
            "growth_bytes": growth,
            "after": [{"requests": count, **vars(usage)} for count, usage in marks],
        }
    }


def same(answer: bytes, other: bytes) -> bool:
    """Whether two answers are equal; libsndfile gives each Vorbis stream a number by chance, so those are decoded."""
    if answer == other or answer[:4] != b"OggS":
        return answer == other
    files = [re.split(rb"(?=OggS\x00\x02)", content)[1:] for content in (answer, other)]
    heard = [[soundfile.read(io.BytesIO(file))[0] for file in one] for one in files]
    return len(heard[0]) == len(heard[1]) and all(map(np.array_equal, *heard))


def beyond_limits(checks: Checks) -> dict[str, Any]:
    """More than a client may have, and more than all may have; each refusal says when to come again."""
    body = {"input": TEXTS[1], "response_format": "wav", "language": "en"}
    many = [Request(path="/v1/audio/speech", body=body, kind="")] * (ROWS + QUEUE) * 2
    before = checks.server.usage()
    of_one = checks.ask(many[: OF_ONE * 4], clients=OF_ONE * 4, keys=checks.keys[:1])
    of_all = checks.ask(many, clients=len(many))
    counts = [Counter(answer.status for answer in answers) for answers in (of_one, of_all)]
    checks.expect(counts[0][429] > 0 and set(counts[0]) <= {200, 429}, f"one client: {dict(counts[0])}")
    checks.expect(counts[1][503] > 0 and set(counts[1]) <= {200, 429, 503}, f"all: {dict(counts[1])}")
    told = [a.headers.get("retry-after") for a in (*of_one, *of_all) if a.status in (429, 503)]
    checks.expect(all(word and int(word) > 0 for word in told), "a refusal does not say when to come again")
    checks.nothing_left(before, "after refusals")
    (after,) = checks.ask(many[:1], clients=1)
    checks.expect(after.status == 200, f"after refusals: {after.status}")
    return {"of_one_client": dict(counts[0]), "of_all": dict(counts[1])}


def restarts(options: argparse.Namespace, log: Path, words: Sequence[str]) -> dict[str, Any]:
    """Starts it and kills it; seconds from the start of the process until it has spoken."""
    took = []
    for _ in range(options.restarts):
        server = own_server(options.voices, log, *words)
        took.append(round(server.wait(), 3))
        server.kill()
    return {"ready_s": took, "median_s": statistics.median(took) if took else None}


def conditions(options: argparse.Namespace, voices: Sequence[Voice]) -> dict[str, Any]:
    bundles = {voice.name: Bundle.open(voice.bundle) for voice in voices}
    return {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": read_machine().to_json(),
        "versions": installed_versions(("sovits-export", "numpy", "onnxruntime", "uvicorn", "starlette", "av")),
        "voices": {
            name: {"bundle_digest": bundle.digest, "version": bundle.manifest["model"]["version"],
                   "tuned": any((bundle.path / "tuned").glob("*"))}
            for name, bundle in bundles.items()
        },
        "max_seconds": options.max_seconds,
        "rows": ROWS,
        "bound_bytes": int(options.bound_mb * 1e6),
    }  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("voices", type=Path)
    parser.add_argument("--requests", type=int, default=1000, help="0: only starts are measured")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--restarts", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--max-seconds", type=float, help="cut each sentence there, for voices without an end"
    )
    parser.add_argument("--bound-mb", type=float, default=30, help="largest growth of private memory [30]")
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
