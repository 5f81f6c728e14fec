"""Whether a voice is open, and who works with it: closing it waits for them."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar
from weakref import WeakSet

from sovits_runtime.errors import BackendError

CLOSED = "this voice is closed; load it again to speak"
NO_FORK = (
    "this voice was loaded on a GPU by another process, and a fork cannot take it over; load it in this process "
    "(multiprocessing: start method 'spawn')"
)


class Unfinished(Protocol):
    """What a voice has begun, and what may lie there when it is closed."""

    def free(self) -> None:
        """Frees its state."""


U = TypeVar("U", bound=Unfinished)


class Lifetime:
    """From the loading of a voice to its end. Safe to use from several threads.

    Closing lets nobody in any more, waits for whoever is at work, then frees what lies unfinished. Long work looks up
    from time to time by entering again, and is refused then, so that the wait is a token or a graph long.

    Args:
        forks: Whether the voice also works in a process that was forked.
    """

    def __init__(self, *, forks: bool) -> None:
        self._forks = forks
        self._closed = False
        self._start_anew()

    def _start_anew(self) -> None:
        self._process = os.getpid()
        self._turn = threading.Condition()
        self._working: Counter[int] = Counter()  # thread -> how often it is within `work`
        self._closing: set[int] = set()
        self._unfinished: WeakSet[Unfinished] = WeakSet()

    @contextmanager
    def work(self) -> Iterator[None]:
        """A piece of work that closing waits for.

        Raises:
            BackendError: The voice is closed, or on a GPU of another process.
        """
        if self._process != os.getpid():
            self._enter_fork()
        thread = threading.get_ident()
        with self._turn:
            if self._closed:
                raise BackendError(CLOSED)
            self._working[thread] += 1
        try:
            yield
        finally:
            with self._turn:
                self._working[thread] -= 1
                if not self._working[thread]:
                    del self._working[thread]
                self._turn.notify_all()

    def watch(self, thing: U) -> U:
        """Has something freed together with the voice, if it still lives then."""
        with self._turn:
            self._unfinished.add(thing)
        return thing

    def end(self) -> None:
        """Closes for good; a second call waits as the first does.

        Work that calls this itself, from a callback for example, is not waited for.
        """
        if self._process != os.getpid():
            self._start_anew()
        with self._turn:
            self._closed = True
            self._closing.add(threading.get_ident())
            self._turn.notify_all()
            self._turn.wait_for(lambda: not self._working.keys() - self._closing)
            unfinished = list(self._unfinished)
        for thing in unfinished:
            with suppress(ValueError):  # a generator that is running: the one that called this
                thing.free()

    def _enter_fork(self) -> None:
        """The threads that were at work, and may hold the lock, have stayed in the other process."""
        if not self._forks:
            raise BackendError(NO_FORK)
        self._start_anew()
