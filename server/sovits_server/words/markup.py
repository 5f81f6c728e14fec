"""Text as clients write it, with `[pause 500ms]` or as SSML, in parts with pauses between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sovits_server.words.parts import Part, check_pause, joined
from sovits_server.words.ssml import is_ssml, read_ssml

_PAUSE = re.compile(r"\[pause[ :=]{1,3}(\d{1,9}(?:\.\d{1,3})?) ?(ms|s)\]", re.IGNORECASE)
_LONGEST_MARK = 32


def prepare(text: str) -> tuple[Part, ...]:
    """Parts a text at its pauses. What is no pause mark and no SSML stays as it is, to be spoken.

    Args:
        text: Plain, with marks such as `[pause 500ms]` or `[pause 1.5s]`, or SSML, which begins with `<speak`.

    Returns:
        The parts in order; none where there is nothing to say and no pause.

    Raises:
        BadRequestError: SSML that is damaged or holds more than is known here, or a pause that is too long.
    """
    if is_ssml(text):
        return joined(part for piece in read_ssml(text) for part in _marked(piece))
    return joined(_marked(Part(text)))


def _marked(part: Part) -> Iterator[Part]:
    """The part, cut at the marks in its text."""
    end = 0
    for mark in _PAUSE.finditer(part.text):
        unit_ms = 1.0 if mark[2].lower() == "ms" else 1000.0
        yield Part(part.text[end : mark.start()], check_pause(float(mark[1]) * unit_ms, mark[0]))
        end = mark.end()
    yield Part(part.text[end:], part.pause_ms)


def whole_marks(pieces: Iterable[str]) -> Iterator[str]:
    """Text that comes in pieces, cut anew so that no pause mark is divided between two.

    Args:
        pieces: As they come, of any length.
    """
    held = ""
    for piece in pieces:
        held += piece
        opened = held.rfind("[")
        if opened < 0 or "]" in held[opened:] or len(held) - opened > _LONGEST_MARK:
            yield held
            held = ""
        elif opened:
            yield held[:opened]
            held = held[opened:]
    if held:
        yield held
