"""Parts of a text as they come from somebody else, with word of it when nothing has come for a while."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sovits_runtime.errors import TextError

DEFAULT_IDLE_S: Final = 0.3
_STOP_CHECK_S: Final = 0.1
_PART_CHARS: Final = 4096


def checked_text(text: object) -> str | Iterable[str]:
    """A text or its parts, refused where it is neither.

    Args:
        text: What a caller gave.

    Raises:
        TextError: It is None, a number, bytes or something else that holds no text.
    """
    if isinstance(text, str):
        return text
    if isinstance(text, (list, tuple)):
        return [_checked_part(part) for part in text]
    if isinstance(text, (bytes, bytearray, dict)) or not isinstance(text, Iterable):
        raise _not_text(text, "a string or an iterable of strings")
    return map(_checked_part, text)


def _checked_part(part: object) -> str:
    if not isinstance(part, str):
        raise _not_text(part, "parts that are strings")
    return part


def _not_text(value: object, expected: str) -> TextError:
    return TextError(f"text: got {type(value).__name__} {str(value)[:40]!r}, expected {expected}")


def checked_idle(idle_s: float) -> float:
    """A time to wait for more text, refused where it is none.

    Args:
        idle_s: Seconds; infinity waits for ever.

    Raises:
        TextError: It is negative or no number.
    """
    if isinstance(idle_s, bool) or not isinstance(idle_s, (int, float)) or math.isnan(idle_s) or idle_s < 0:
        raise TextError(f"idle_s is {idle_s!r}, expected seconds, 0 or more")
    return float(idle_s)


def parts_of(text: str | Iterable[str], idle_s: float = DEFAULT_IDLE_S) -> Iterator[str | None]:
    """Parts of a text in order; None says that nothing has come for `idle_s`, once for each silence.

    A text that is there as a whole is parted without waiting. Anything else is read by a thread, one part ahead; the
    thread ends when the source ends, or gives a part after this iterator was closed.

    Args:
        text: A text, or its parts in order.
        idle_s: Seconds; infinity reads without a thread.
    """
    if isinstance(text, str):
        for start in range(0, len(text), _PART_CHARS):
            yield text[start : start + _PART_CHARS]
    elif isinstance(text, Sequence) or math.isinf(idle_s):
        yield from text
    else:
        yield from _read_aside(text, idle_s)


class _End:
    """The last thing a reader says: how its source ended."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _read_aside(source: Iterable[str], idle_s: float) -> Iterator[str | None]:
    ready: queue.Queue[str | _End] = queue.Queue(maxsize=1)
    closed = threading.Event()

    def hand_over(item: str | _End) -> None:
        while not closed.is_set():
            try:
                return ready.put(item, timeout=_STOP_CHECK_S)
            except queue.Full:
                continue

    def read() -> None:
        error: BaseException | None = None
        try:
            for part in source:
                hand_over(part)
                if closed.is_set():
                    return
        except BaseException as raised:
            error = raised
        hand_over(_End(error))

    threading.Thread(target=read, name="sovits-text", daemon=True).start()
    try:
        idle = False
        while True:
            try:
                item = ready.get(timeout=None if idle else idle_s)
            except queue.Empty:
                idle = True
                yield None
                continue
            idle = False
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        closed.set()
