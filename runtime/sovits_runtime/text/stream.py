"""The default way of cutting: a short first piece so that sound starts early, then pieces that grow.

Text is taken in as it comes, so a book can be handed over as an iterator of lines.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from typing import Final

from sovits_runtime.text.split import SPLITTERS

logger = logging.getLogger(__name__)

FIRST_LOAD: Final = 10.0
LARGEST_LOAD: Final = 60.0
_GROWTH: Final = 2.0
_SENTENCE_ENDS: Final = frozenset("。？！?!…\n")
_CLOSING: Final = "”’」』）)】》\"'"
_ASCII_LOAD: Final = 0.35
_LONGEST_CLAUSE: Final = 2 * LARGEST_LOAD
_WINDOW: Final = int(_LONGEST_CLAUSE / _ASCII_LOAD) + 1
_CLAUSE_END: Final = re.compile(
    rf"""
    (?: [。？！?!…]+ | (?<!\d)[.:,~]+ | (?<=\d)[.:,~]+(?!\d) | [，、；：—;]+ ) [{_CLOSING}]* \s*
    | \n\s*
    """,
    re.VERBOSE,
)
_WORD: Final = re.compile(r"\w")


def _load(text: str) -> float:
    """About how many syllables a text takes: one an ideograph, a third an ASCII character."""
    return sum(_ASCII_LOAD if char.isascii() else 1.0 for char in text)


def _hard_cuts(clause: str) -> Iterator[str]:
    """Cut a clause that no mark interrupts, at a space where there is one."""
    start = 0
    while len(clause) - start > _WINDOW or _load(clause[start:]) > _LONGEST_CLAUSE:
        end, load = start, 0.0
        while load < _LONGEST_CLAUSE:
            load += _load(clause[end])
            end += 1
        space = clause.rfind(" ", (start + end) // 2, end)
        end = space + 1 if space > 0 else end
        yield clause[start:end]
        start = end
    yield clause[start:]


def _clauses(chunks: Iterable[str]) -> Iterator[str]:
    rest = ""
    for chunk in chunks:
        rest += chunk
        start = 0
        for match in _CLAUSE_END.finditer(rest):
            if match.end() == len(rest):
                break
            yield from _hard_cuts(rest[start : match.end()])
            start = match.end()
        *ready, rest = _hard_cuts(rest[start:])
        yield from ready
    if rest:
        yield from _hard_cuts(rest)


def _ends_sentence(clause: str) -> bool:
    end = clause.rstrip(f"{_CLOSING} \t\u3000")
    return bool(end) and (end[-1] in _SENTENCE_ENDS or end[-1] == ".")


def stream_pieces(text: str | Iterable[str], language: str) -> Iterator[str]:
    """Pieces to be spoken, each ready as soon as its text is there.

    The first one ends at the first mark after a few words. The limit then doubles up to some sixty syllables; a
    sentence end is taken once half of it is reached, a comma once all of it is.

    Args:
        text: A text, or its parts in order.
        language: Language or mode; `"en"` ends pieces with `.`, everything else with `。`.
    """
    chunks = [text] if isinstance(text, str) else text
    limit, piece = FIRST_LOAD, ""
    for clause in _clauses(chunks):
        piece += clause
        load = _load(piece)
        if load >= limit or (load * 2 >= limit and _ends_sentence(clause)):
            if _WORD.search(piece):
                yield _finished(piece, language)
                limit = min(limit * _GROWTH, LARGEST_LOAD)
            else:
                _note_dropped(piece)
            piece = ""
    if _WORD.search(piece):
        yield _finished(piece, language)
    else:
        _note_dropped(piece)


def _note_dropped(piece: str) -> None:
    """Says what is left out because it holds no word: signs between sentences that no front end gets to see."""
    signs = [char for char in piece if not char.isspace() and char not in SPLITTERS]
    if signs:
        logger.warning("dropped %r: nothing in it can be read aloud", piece.strip())


def _finished(piece: str, language: str) -> str:
    piece = " ".join(piece.split("\n")).strip()
    stop = "." if language == "en" else "。"
    spoken = piece.rstrip(_CLOSING)
    return piece if spoken and spoken[-1] in SPLITTERS else piece + stop
