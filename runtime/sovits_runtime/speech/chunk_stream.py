"""A stream of chunks that may be closed from any thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

from sovits_runtime.speech.types import Chunk

logger = logging.getLogger(__name__)


class ChunkStream(Iterator[Chunk]):
    """Chunks of one request, each made when it is asked for.

    Args:
        make: Starts making them; they end at the next token once the event that it is given is set.
        work: What to enter while a chunk is being made; it may refuse.
        seed: That the request is spoken with.

    Attributes:
        seed: As given; drawn by chance where the options said -1.
    """

    def __init__(
        self,
        make: Callable[[threading.Event], Generator[Chunk, None, None]],
        work: Callable[[], AbstractContextManager[None]] = nullcontext,
        *,
        seed: int | None = None,
    ) -> None:
        self.seed = seed
        self._work = work
        self._closed = threading.Event()
        self._chunks = make(self._closed)
        self._making = threading.Lock()

    def __next__(self) -> Chunk:
        if self._closed.is_set():
            raise StopIteration
        with self._work(), self._making:
            chunk = None
            try:
                if not self._closed.is_set():
                    chunk = next(self._chunks, None)
            except StreamClosed:
                logger.debug("stream closed in the middle of a chunk")
        if self._closed.is_set():
            self.close()
        if chunk is None or self._closed.is_set():
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Frees the request's state; no more chunks come. May be called from any thread and more than once.

        While another thread waits for a chunk, that thread frees the state, at the next token at the latest or once the
        piece of sound that it is working on is done, and finds the stream at its end.
        """
        self._closed.set()
        self.free()

    def free(self) -> None:
        """Frees the request's state unless a chunk is being made; for a voice that is closed."""
        if self._making.acquire(blocking=False):
            try:
                self._chunks.close()
            finally:
                self._making.release()


class StreamClosed(Exception):  # noqa: N818 - says what happened, and never leaves `ChunkStream`
    """The stream was closed while a chunk was being made."""


def until_closed(tokens: Iterable[int], closed: threading.Event) -> Iterator[int]:
    """Passes tokens on.

    Raises:
        StreamClosed: `closed` was set.
    """
    for token in tokens:
        if closed.is_set():
            raise StreamClosed
        yield token
