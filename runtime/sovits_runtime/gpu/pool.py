"""A pool of slots on a device that requests take turns in: a bounded number, made when first needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.gpu.device import Stream

logger = logging.getLogger(__name__)


class Slot(Protocol):
    """Resources of one request on a device: a stream, and what runs on it."""

    stream: Stream

    def close(self) -> None:
        """Frees what it holds; no work may be pending."""


S = TypeVar("S", bound=Slot)


class SlotPool(Generic[S]):
    """At most `size` slots; who finds none free waits. Safe to use from several threads.

    Args:
        make: Makes a slot.
        size: How many requests may be in flight.
    """

    def __init__(self, make: Callable[[], S], size: int) -> None:
        if size < 1:
            raise ShapeError(f"requests in flight: got {size}, expected at least 1")
        self.size = size
        self._make = make
        self._free: list[S] = []
        self._made = 0
        self._turn = threading.Condition()

    @contextmanager
    def slot(self) -> Iterator[S]:
        """Lends a slot whose stream is idle.

        Work that the last user left pending is waited for here, not when it was given back: the steps that ran past
        the end of a sentence cost its listener nothing.
        """
        slot = self._take()
        try:
            slot.stream.synchronize()
            yield slot
        finally:
            with self._turn:
                self._free.append(slot)
                self._turn.notify()

    def all(self) -> list[S]:
        """Slots made so far that nobody uses now."""
        with self._turn:
            return list(self._free)

    def close(self) -> None:
        """Frees all slots; nobody may be using one. A device that is lost is no reason to raise here."""
        with self._turn:
            for slot in self._free:
                try:
                    slot.stream.synchronize()
                    slot.close()
                except BackendError as error:
                    logger.warning("device memory was not freed: %s", error)
            self._free.clear()
            self._made = 0

    def _take(self) -> S:
        with self._turn:
            while not self._free and self._made >= self.size:
                self._turn.wait()
            if self._free:
                return self._free.pop()
            self._made += 1
        try:
            return self._make()
        except BaseException:
            with self._turn:
                self._made -= 1
                self._turn.notify()
            raise
