"""How many requests are let in: of everybody, and of each client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sovits_server.problems import BusyError, TooManyError

RETRY_AFTER_S = 2.0


class Admission:
    """Counts requests under way. Of one event loop.

    Args:
        most: Of everybody together.
        most_of_one: Of one client.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._of: Counter[str] = Counter()
        self.total = 0
        self.closed = False

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """A place for a request; free again when the context is left.

        Raises:
            TooManyError: This client has as many as it may.
            BusyError: There is none, or the server is going down.
        """
        if self.closed:
            raise BusyError("the server is going down", retry_after_s=RETRY_AFTER_S)
        if self._of[client] >= self._most_of_one:
            raise TooManyError(
                f"{self._of[client]} requests of this client are under way, which is as many as it may have",
                retry_after_s=RETRY_AFTER_S,
            )
        if self.total >= self._most:
            raise BusyError(
                f"{self.total} requests are under way or waiting; try again later",
                retry_after_s=RETRY_AFTER_S,
            )
        self._of[client] += 1
        self.total += 1
        try:
            yield
        finally:
            self.total -= 1
            self._of[client] -= 1
            if not self._of[client]:
                del self._of[client]
