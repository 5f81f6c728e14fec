"""The callback by which long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of the step that begins, the number of steps done, and the number of all."""


def no_progress(what: str, done: int, total: int) -> None:
    """Ignores progress."""
