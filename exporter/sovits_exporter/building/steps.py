"""Progress of a task whose steps are counted."""

from __future__ import annotations

import time

from sovits_runtime.machine.progress import Progress


class Steps:
    """Reports which step begins, how many are done, and how many are expected.

    Args:
        progress: Called with each step.
        expected: Steps that are known so far.
    """

    def __init__(self, progress: Progress, expected: int = 1) -> None:
        self._progress = progress
        self._expected = expected
        self._done = 0
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time since the task began."""
        return time.perf_counter() - self._start

    def expect(self, more: int) -> None:
        """Some more steps will follow."""
        self._expected += more

    def begin(self, what: str, count: int = 1) -> None:
        """A step begins, or several at once."""
        self._progress(what, self._done, self._expected)
        self._done += count

    def end(self) -> None:
        """All is done, steps that were not needed included."""
        self._progress("done", self._expected, self._expected)
