"""A request under way: the thread that speaks puts chunks in, whoever listens takes them out."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial

from sovits_server.core.engine import AudioChunk, SpeechRequest


class Cancellation:
    """A wish to end that reaches work wherever it stands."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None

    def then(self, end: Callable[[], None]) -> None:
        """Has `end` called when it is cancelled, or now where it was; it replaces an earlier one."""
        with self._lock:
            self._end = end
            late = self.event.is_set()
        if late:
            end()

    def cancel(self) -> None:
        """Wishes it. May be called from any thread, and more than once."""
        with self._lock:
            self.event.set()
            end = self._end
        if end is not None:
            end()


class Job:
    """One `SpeechJob`. Safe to use from several threads, with one listener.

    Args:
        request: What to say.
        ahead_s: Seconds of sound that are made before the listener takes them, at most; then it is put aside.
        wake: Called when a job that was put aside has room again, or is cancelled.
    """

    def __init__(self, request: SpeechRequest, *, ahead_s: float, wake: Callable[[Job], None]) -> None:
        self.request = request
        self.cancellation = Cancellation()
        self.making: Iterator[AudioChunk] | None = None
        late = request.deadline_s
        self.begin_before = None if late is None else time.monotonic() + late
        self._ahead_s = ahead_s
        self._wake = wake
        self._changed = threading.Condition()
        self._chunks: deque[AudioChunk] = deque()
        self._waiting_s = 0.0
        self._full = False
        self._error: BaseException | None = None
        self._ended = False
        self._listeners: list[Callable[[], object]] = []

    @property
    def cancelled(self) -> threading.Event:
        """Set once it is cancelled."""
        return self.cancellation.event

    @property
    def done(self) -> bool:
        """Whether nothing of it is left at work."""
        return self._ended

    def put(self, chunk: AudioChunk) -> bool:
        """Takes a chunk; returns whether there is room for more."""
        with self._changed:
            self._chunks.append(chunk)
            self._waiting_s += len(chunk.samples) / chunk.sample_rate
            self._full = self._waiting_s >= self._ahead_s
            self._tell()
            return not self._full

    def has_room(self) -> bool:
        """Whether a job that was put aside may go on: half of what was made is taken, or it is cancelled."""
        with self._changed:
            return self._waiting_s < self._ahead_s / 2 or self.cancelled.is_set()

    def end(self, error: BaseException | None = None) -> None:
        """Says that nothing more comes, and why where something went wrong; only the first time counts."""
        with self._changed:
            if not self._ended:
                self._ended, self._error, self.making = True, error, None
                self._tell()

    def cancel(self) -> None:
        """Ends it at the next token."""
        self.cancellation.cancel()
        with self._changed:
            self._chunks.clear()
            self._waiting_s = 0.0
        self._wake(self)

    def __iter__(self) -> Iterator[AudioChunk]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._chunks or self._ended)
                chunk = self._take()
            if chunk is None:
                return
            self._room()
            yield chunk

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                ready = bool(self._chunks) or self._ended
                chunk = self._take() if ready else None
                if not ready:
                    changed = asyncio.Event()
                    self._listeners.append(partial(loop.call_soon_threadsafe, changed.set))
            if not ready:
                await changed.wait()
            elif chunk is None:
                return
            else:
                self._room()
                yield chunk

    def _take(self) -> AudioChunk | None:
        """The next chunk, or None at the end; the lock is held.

        Raises:
            BaseException: What went wrong.
        """
        if self._chunks:
            chunk = self._chunks.popleft()
            self._waiting_s -= len(chunk.samples) / chunk.sample_rate
            return chunk
        if self._error is not None and not self.cancelled.is_set():
            raise self._error
        return None

    def _room(self) -> None:
        """Has a job that was put aside go on, once half of what was made is taken."""
        with self._changed:
            wake = self._full and self._waiting_s < self._ahead_s / 2
            self._full = self._full and not wake
        if wake:
            self._wake(self)

    def _tell(self) -> None:
        self._changed.notify_all()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            with suppress(RuntimeError):  # its loop is closed
                listener()
