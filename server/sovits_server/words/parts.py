"""What a text with pauses comes down to, and the limits of pauses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sovits_server.problems import BadRequestError

LONGEST_PAUSE_MS = 20_000
LONGEST_PAUSES_MS = 300_000
"""Of all pauses of a text together: silence costs a client nothing to ask for."""


class Part(NamedTuple):
    """A stretch of text, and the silence behind it.

    Attributes:
        text: To be spoken; may be empty, where a pause comes first.
        pause_ms: Silence after it, beyond what the voice leaves after every sentence.
    """

    text: str
    pause_ms: int = 0


def check_pause(pause_ms: float, written: str) -> int:
    """Returns a pause in whole milliseconds.

    Args:
        pause_ms: Its length.
        written: As it stands in the text, for the message.

    Raises:
        BadRequestError: It is longer than a pause may be.
    """
    if not 0 <= pause_ms <= LONGEST_PAUSE_MS:
        raise BadRequestError(
            f"pause: got {written[:40]!r}, expected 0 to {LONGEST_PAUSE_MS // 1000} s; write several pauses for more"
        )
    return round(pause_ms)


def joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Puts text that no pause divides into one part, adds up pauses that no text divides, and drops empty parts.

    Raises:
        BadRequestError: All pauses together are too long.
    """
    result: list[Part] = []
    for part in parts:
        if result and not result[-1].pause_ms:
            result[-1] = Part(result[-1].text + part.text, part.pause_ms)
        elif result and not part.text.strip():
            result[-1] = Part(result[-1].text, result[-1].pause_ms + part.pause_ms)
        else:
            result.append(part)
    total = sum(part.pause_ms for part in result)
    if total > LONGEST_PAUSES_MS:
        raise BadRequestError(
            f"pauses: got {total / 1000:g} s in all, expected at most {LONGEST_PAUSES_MS // 1000} s"
        )
    return tuple(Part(p.text.strip(), p.pause_ms) for p in result if p.text.strip() or p.pause_ms)
