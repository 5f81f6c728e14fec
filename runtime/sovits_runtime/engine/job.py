"""A request under way, as its caller sees it: chunks to iterate, in a thread or in an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress

from sovits_runtime.engine.types import JobTiming
from sovits_runtime.errors import BackendError
from sovits_runtime.speech.types import Chunk


class SpeechJob(Iterator[Chunk]):
    """Chunks of one request, as they are made. Iterate it once, in one way.

    Args:
        cancel: Ends the request.
        heard: Called with each chunk that is taken.
        timing: Gives its times.
        seed: That it is spoken with.

    Attributes:
        seed: As given; drawn by chance where the options said -1.
    """

    def __init__(
        self,
        cancel: Callable[[], None],
        *,
        heard: Callable[[Chunk], None],
        timing: Callable[[], JobTiming],
        seed: int,
    ) -> None:
        self.seed = seed
        self._cancel = cancel
        self._heard = heard
        self._timing = timing
        self._turn = threading.Condition()
        self._chunks: deque[Chunk] = deque()
        self._error: BaseException | None = None
        self._over = False
        self._left = False
        self._wake: Callable[[], None] | None = None

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        """The next chunk; waits for it.

        Raises:
            SovitsError: What went wrong; chunks that were made before come first.
        """
        with self._turn:
            self._turn.wait_for(lambda: self._left or self._chunks or self._over)
            chunk = self._taken()
        if chunk is None:
            raise StopIteration
        self._heard(chunk)
        return chunk

    def __aiter__(self) -> AsyncGenerator[Chunk, None]:
        return self._each()

    async def _each(self) -> AsyncGenerator[Chunk, None]:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(ready.set)

        with self._turn:
            if self._wake is not None:
                raise BackendError("this job is being iterated already; submit the request again")
            self._wake = wake
        try:
            while True:
                ready.clear()
                with self._turn:
                    waits = not (self._left or self._chunks or self._over)
                    chunk = None if waits else self._taken()
                if waits:
                    await ready.wait()
                elif chunk is None:
                    return
                else:
                    self._heard(chunk)
                    yield chunk
        finally:
            if not self.done:
                self.cancel()

    def _taken(self) -> Chunk | None:
        """The next chunk that is there; None at the end."""
        if self._left:
            return None
        if self._chunks:
            return self._chunks.popleft()
        if self._error is not None:
            raise self._error
        return None

    def cancel(self) -> None:
        """Ends it at the next token; whoever iterates it finds its end. From any thread, and more than once."""
        with self._turn:
            self._left = True
            self._chunks.clear()
            self._notify()
        self._cancel()

    @property
    def done(self) -> bool:
        """Whether nothing of it is left at work; chunks may still wait to be taken."""
        return self._over

    @property
    def timing(self) -> JobTiming:
        """When things happened to it so far."""
        return self._timing()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until nothing of it is left at work; returns whether that is so."""
        with self._turn:
            return self._turn.wait_for(lambda: self._over, timeout_s)

    def deliver(self, chunk: Chunk) -> None:
        """For the engine: a chunk was made."""
        with self._turn:
            if not self._left:
                self._chunks.append(chunk)
                self._notify()

    def end(self, error: BaseException | None) -> None:
        """For the engine: it is over."""
        with self._turn:
            self._over, self._error = True, error
            self._notify()

    def _notify(self) -> None:
        self._turn.notify_all()
        if self._wake is not None:
            self._wake()
