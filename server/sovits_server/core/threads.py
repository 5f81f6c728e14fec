"""An engine of threads over `Synthesizer`: a bounded queue, some requests at once, each as if it were alone."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path

from sovits_runtime import Synthesizer
from sovits_runtime.errors import SovitsError
from sovits_server.core.engine import EngineLimits, EngineStats, SpeechRequest
from sovits_server.core.job import Job
from sovits_server.core.loaded import LoadedVoices
from sovits_server.core.saying import sound_of
from sovits_server.problems import BusyError, NotThereError, TooLateError

logger = logging.getLogger(__name__)

AHEAD_S = 30.0
"""Sound made before a listener takes it; then the request is put aside, and its thread is free for others."""
RETRY_AFTER_S = 2.0


class ThreadedEngine:
    """An `Engine`. A request whose listener is slow gives its thread to others.

    Args:
        load: Opens a bundle.
        limits: How much it takes on.
        ahead_s: See `AHEAD_S`.
    """

    def __init__(
        self, load: Callable[[Path], Synthesizer], limits: EngineLimits, *, ahead_s: float = AHEAD_S
    ) -> None:
        self.limits = limits
        self._voices = LoadedVoices(load, limits.memory_bytes)
        self._ahead_s = ahead_s
        self._changed = threading.Condition()
        self._new: list[Job] = []
        self._resumed: list[Job] = []
        self._aside: set[Job] = set()
        self._running: set[Job] = set()
        self._leases: dict[Job, ExitStack] = {}
        self._closing = False
        self._threads = [
            threading.Thread(target=self._work, name=f"speech-{n}", daemon=True) for n in range(limits.rows)
        ]
        for thread in self._threads:
            thread.start()

    def add_voice(self, name: str, path: Path) -> None:
        """Names a bundle; see `Engine`."""
        self._voices.add(name, path)

    def remove_voice(self, name: str) -> None:
        """Forgets a voice; see `Engine`."""
        self._voices.remove(name)

    def voices(self) -> Mapping[str, Path]:
        """Name -> bundle."""
        return self._voices.paths()

    def lease(self, name: str) -> AbstractContextManager[Synthesizer]:
        """The voice, kept in memory; see `Engine`."""
        return self._voices.lease(name)

    def submit(self, request: SpeechRequest) -> Job:
        """Takes a request; see `Engine`.

        Raises:
            BusyError: The queue is full, or the engine is closing.
            NotThereError: No such voice.
        """
        job = Job(request, ahead_s=self._ahead_s, wake=self._wake)
        with self._changed:
            if self._closing:
                raise BusyError("the server is going down", retry_after_s=RETRY_AFTER_S)
            if request.voice not in self._voices.paths():
                raise NotThereError(f"there is no voice {request.voice!r}", param="voice")
            free = max(self.limits.rows - len(self._running), 0)
            if len(self._new) - free >= self.limits.queue:
                raise BusyError(
                    f"{len(self._new)} requests are waiting already; try again later",
                    retry_after_s=RETRY_AFTER_S,
                )
            self._new.append(job)
            self._changed.notify()
        return job

    def stats(self) -> EngineStats:
        """What it is doing."""
        with self._changed:
            running, waiting = len(self._running) + len(self._aside), len(self._new) + len(self._resumed)
        return EngineStats(running, waiting, self._voices.open_names(), self._voices.size())

    def close(self, *, drain: bool = True) -> None:
        """Takes nothing more, then waits for what is under way or cancels it; see `Engine`."""
        with self._changed:
            self._closing = True
            left = [*self._new, *self._resumed, *self._aside, *self._running]
        if not drain:
            for job in left:
                job.cancel()
        with self._changed:
            self._changed.wait_for(lambda: not (self._new or self._resumed or self._aside or self._running))
            self._threads, threads = [], self._threads
            self._changed.notify_all()
        for thread in threads:
            thread.join()
        self._voices.close()

    def _wake(self, job: Job) -> None:
        """A job was cancelled, or has room again."""
        ended = False
        with self._changed:
            if job in self._aside:
                self._aside.discard(job)
                self._resumed.append(job)
                self._changed.notify()
            elif job.cancelled.is_set() and job in self._new:
                self._new.remove(job)
                ended = True
                self._changed.notify_all()
        if ended:
            job.end()

    def _next(self) -> Job | None:
        """The next job: first those that have begun, then by priority and time; None when all is over."""
        with self._changed:
            while True:
                if self._resumed:
                    job = self._resumed.pop(0)
                elif self._new:
                    job = max(self._new, key=lambda job: job.request.priority)  # the first of equals
                    self._new.remove(job)
                elif not self._threads:
                    return None
                else:
                    self._changed.wait()
                    continue
                self._running.add(job)
                return job

    def _work(self) -> None:
        while (job := self._next()) is not None:
            error: BaseException | None = None
            try:
                ended = self._go_on(job)
            except BaseException as raised:  # whoever listens gets it
                if not isinstance(raised, SovitsError):
                    logger.exception("a request failed")
                ended, error = True, raised
            if ended:
                job.end(error)
                self._release(job)
            with self._changed:
                self._running.discard(job)
                if not ended:  # its listener may have caught up already
                    (self._resumed.append if job.has_room() else self._aside.add)(job)
                self._changed.notify_all()
            if not ended and job.cancelled.is_set():
                self._wake(job)

    def _go_on(self, job: Job) -> bool:
        """Speaks until the request is over or its listener has enough to hear; returns whether it is over.

        Raises:
            SovitsError: Whatever speaking raises.
        """
        if job.making is None and not job.cancelled.is_set():
            self._begin(job)
        for chunk in job.making or ():
            if job.cancelled.is_set():
                break
            if not job.put(chunk):
                return False
        return True

    def _begin(self, job: Job) -> None:
        if job.begin_before is not None and time.monotonic() > job.begin_before:
            raise TooLateError(f"it was not its turn within {job.request.deadline_s:g} s")
        stack = ExitStack()
        self._leases[job] = stack
        voice = stack.enter_context(self._voices.lease(job.request.voice))
        job.making = stack.enter_context(closing(sound_of(voice, job.request, job.cancellation)))

    def _release(self, job: Job) -> None:
        stack = self._leases.pop(job, None)
        if stack is not None:
            stack.close()
