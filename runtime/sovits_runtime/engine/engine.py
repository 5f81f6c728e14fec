"""The engine: voices, requests, and the threads that bring both to the scheduler.

Every request has a thread that reads its text, since text may wait for what somebody types. It reads one sentence ahead
and no more. All else is done in the lanes.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from itertools import count
from types import TracebackType
from typing import Any

from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.engine.job import SpeechJob
from sovits_runtime.engine.lanes import Lanes
from sovits_runtime.engine.scheduler import Scheduler
from sovits_runtime.engine.shelf import VoiceShelf
from sovits_runtime.engine.speaking import EngineDevice, VoiceAtWork
from sovits_runtime.engine.states import Job, Phase
from sovits_runtime.engine.types import (
    EngineClosed,
    EngineLimits,
    EngineStats,
    JobCancelled,
    SpeechRequest,
)
from sovits_runtime.machine import usable_cores
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.t2s.device_step import BATCH_SIZES
from sovits_runtime.t2s.limits import check_count

logger = logging.getLogger(__name__)

READERS_END_S = 2.0
"""How long closing waits for the threads that read text; one that waits for more text ends when that comes."""
BESIDE_FROM_CORES = 2
"""Cores that steps and other graphs share in turn; with more they run beside each other."""
CLOSED = "this engine is closed; open another one"


class SpeechEngine:
    """Speaks requests of any of its voices at any time. Safe to use from several threads.

    What a request sounds like does not depend on who speaks beside it.

    Args:
        load: How voices are loaded.
        limits: How much it takes on.
        beside: Whether sound is made in a thread of its own while tokens are; else both take turns. None: by the cores
            that this process may use.

    Attributes:
        load, limits, beside: As given, or chosen.
    """

    def __init__(
        self,
        *,
        load: LoadOptions | None = None,
        limits: EngineLimits | None = None,
        beside: bool | None = None,
    ) -> None:
        self.limits = limits or EngineLimits()
        self.load = with_rows(load or LoadOptions(), self.limits)
        self._shelf = VoiceShelf(self.load, self.limits.memory_bytes)
        self._scheduler = Scheduler(self.limits, time.monotonic)
        self._numbers = count()
        self._closed = False
        self._readers: set[threading.Thread] = set()
        self.beside = runs_beside(self.load) if beside is None else beside
        self._lanes = Lanes(self._scheduler, EngineDevice(), beside=self.beside)

    def __enter__(self) -> SpeechEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(drain=kind is None)

    # --- voices -------------------------------------------------------------------------------------------------------

    def add_voice(self, name: str, bundle: str | os.PathLike[str]) -> None:
        """Names a bundle; it is loaded when first needed. A name that is there gets the new bundle.

        Raises:
            BundleError: There is no bundle.
        """
        self._shelf.add(name, bundle)

    def remove_voice(self, name: str) -> None:
        """Forgets a voice; requests under way go on.

        Raises:
            UnknownVoice: No voice has that name.
        """
        self._shelf.remove(name)

    def voices(self) -> tuple[str, ...]:
        """Names of all voices, in order."""
        return self._shelf.names()

    def voice(self, name: str) -> Synthesizer:
        """A voice, loaded now where it is not, to prepare references and read text with.

        With `memory_bytes` it may be closed when nobody speaks with it: ask again rather than keep it, or keep it
        loaded within `using`.

        Raises:
            UnknownVoice: No voice has that name.
            SovitsError: It cannot be loaded.
        """
        with self._shelf.using(name) as at_work:
            return at_work.voice

    def using(self, name: str) -> AbstractContextManager[Synthesizer]:
        """As `voice`, for a block in which it stays loaded."""
        return self._using(name)

    @contextmanager
    def _using(self, name: str) -> Iterator[Synthesizer]:
        with self._shelf.using(name) as at_work:
            yield at_work.voice

    # --- requests -----------------------------------------------------------------------------------------------------

    def submit(self, request: SpeechRequest) -> SpeechJob:
        """Takes a request and returns at once.

        Raises:
            QueueFull: As many requests wait as may.
            UnknownVoice: No voice has that name.
            EngineClosed: The engine is closed or closing.
        """
        if self._closed:
            raise EngineClosed(CLOSED)
        self._shelf.check(request.voice)
        request = replace(request, options=request.options.with_seed())
        now = time.monotonic()
        with self._lanes.turn:
            if self._closed:
                raise EngineClosed(CLOSED)
            job = Job(
                next(self._numbers),
                now,
                deliver=lambda chunk: handle.deliver(chunk),
                over=lambda error: handle.end(error),
                priority=request.priority,
                deadline=None if request.deadline_s is None else now + request.deadline_s,
            )
            handle = SpeechJob(
                lambda: self._told(self._scheduler.cancel, job),
                heard=lambda chunk: self._told(self._scheduler.heard, job, chunk.duration_s),
                timing=lambda: job.timing(),
                seed=request.options.seed,
            )
            self._scheduler.submit(job)
            self._lanes.turn.notify_all()  # an idle lane would sleep beyond the deadline
            reader = threading.Thread(target=self._read, args=(job, request), name="engine text", daemon=True)
            self._readers.add(reader)
        reader.start()
        return handle

    def _told(self, method: Callable[..., None], *args: object) -> None:
        with self._lanes.turn:
            method(*args)
            self._lanes.turn.notify_all()

    def _read(self, job: Job, request: SpeechRequest) -> None:
        """Reads the text of a request, in a thread of its own, and keeps the voice loaded until it is over."""
        try:
            if self._wait(lambda: self._scheduler.may_read(job)) and job.ended is None:
                with self._shelf.using(request.voice) as voice:
                    self._read_with(voice, job, request)
                    self._told(self._scheduler.end_text, job)
                    self._wait(lambda: job.ended is not None)
        except BaseException as error:  # raised again by whoever iterates the job
            self._told(self._scheduler.fail, job, error)
        finally:
            with self._lanes.turn:
                self._readers.discard(threading.current_thread())
                self._lanes.turn.notify_all()

    def _read_with(self, voice: VoiceAtWork, job: Job, request: SpeechRequest) -> None:
        phrases: Iterable[Any] = request.text
        if request.language is not None:
            phrases = voice.voice.text.phrases(request.text, request.language)  # type: ignore[arg-type]
        for index, phrase in enumerate(phrases):
            sentence = voice.sentence(job, index, phrase, request)
            self._told(self._scheduler.add, sentence)
            self._wait(lambda: job.ended is not None or self._scheduler.wants_text(job))
            if job.ended is not None:
                return

    def _wait(self, until: Callable[[], bool]) -> bool:
        with self._lanes.turn:
            return self._lanes.turn.wait_for(until)

    # --- itself -------------------------------------------------------------------------------------------------------

    def stats(self) -> EngineStats:
        """What it is doing, and has done."""
        with self._lanes.turn:
            jobs, counts = self._scheduler.jobs, self._scheduler.counts
            waiting = sum(job.begun is None for job in jobs)
            rows = sum(s.phase in (Phase.PREFILL, Phase.STEPPING) for job in jobs for s in job.sentences)
            numbers = asdict(counts) | {"waiting": waiting, "running": len(jobs) - waiting, "rows": rows}
        return EngineStats(**numbers, loaded=self._shelf.loaded(), memory_bytes=self._shelf.memory())

    def close(self, drain: bool = True, *, timeout_s: float | None = None) -> None:
        """Takes no more requests, and frees everything once those under way are over.

        Args:
            drain: Whether to speak what was taken on; else requests end at their next token, with `JobCancelled`.
            timeout_s: How long to speak on at most; what is left then ends as without `drain`.
        """
        with self._lanes.turn:
            self._closed = True
            if drain:
                self._lanes.turn.wait_for(lambda: not self._scheduler.jobs, timeout_s)
            for job in list(self._scheduler.jobs):
                self._scheduler.fail(job, JobCancelled("the engine was closed before the request was spoken"))
            self._lanes.turn.notify_all()
            self._lanes.turn.wait_for(lambda: not self._scheduler.jobs)
            readers = set(self._readers)
        self._lanes.end()
        until = time.monotonic() + READERS_END_S
        for reader in readers - {threading.current_thread()}:
            reader.join(max(until - time.monotonic(), 0))
        self._shelf.close()


def with_rows(load: LoadOptions, limits: EngineLimits) -> LoadOptions:
    """The options with as many rows on a GPU as the engine speaks at once, where they do not name a number.

    Raises:
        ShapeError: The engine speaks more than a GPU steps together.
    """
    if load.device != "cuda" or load.rows == 0:
        return load
    rows = limits.rows if load.rows is None else load.rows
    hint = " on a GPU, as many as step together; or load voices with rows=0, which step one by one"
    check_count("rows", limits.rows, 1, high=min(rows, BATCH_SIZES[-1]), hint=hint)
    return replace(load, rows=rows)


def runs_beside(load: LoadOptions) -> bool:
    """Whether steps and other graphs should run beside each other: on a GPU, and where there are cores for both."""
    return load.device != "cpu" or (load.threads or usable_cores()) > BESIDE_FROM_CORES
