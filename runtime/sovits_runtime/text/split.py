"""Cutting a text into pieces that are spoken one after the other.

`cut0` to `cut5` are the original's methods. `stream`, the default, is ours: its first piece is short so that sound
starts early, later ones grow, and it reads its input lazily.

Source: GPT-SoVITS, TTS_infer_pack/text_segmentation_method.py; TTS_infer_pack/TextPreprocessor.py, pre_seg_text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sovits_runtime.errors import NothingToSay, TextError

SPLITTERS: Final = frozenset("，。？！,.?!~:：—…")
MAX_PIECE_CHARS: Final = 510
STREAM: Final = "stream"

_MARKS: Final = frozenset("!?…,.- ")
_CLAUSE_ENDS: Final = frozenset(",.;?!、，。？！：…")
_SHORT_PIECE: Final = 5
_SHORT_START: Final = 4
_LONG_GROUP: Final = 50
_REPEATED_MARKS: Final = re.compile(r"([!?….,\-])[!?….,\-]+")
_AT_SPLITTER: Final = re.compile("([，。？！,.?!~:：—…])")
_FULL_STOP: Final = re.compile(r"(?<!\d)\.(?!\d)")
_WORD: Final = re.compile(r"\w")


def collapse_marks(text: str) -> str:
    """Keep only the first of several half-width marks in a row.

    Args:
        text: Any text.
    """
    return _REPEATED_MARKS.sub(r"\1", text)


def split_at_marks(text: str) -> list[str]:
    """Cut after every mark that ends a clause; a mark is added where the text has none at its end.

    Args:
        text: Any text.
    """
    text = text.replace("……", "。").replace("——", "，")
    if text and text[-1] not in SPLITTERS:
        text += "。"
    return re.findall("[^，。？！,.?!~:：—…]*[，。？！,.?!~:：—…]", text)


def split_big_text(text: str, max_chars: int = MAX_PIECE_CHARS) -> list[str]:
    """Pack clauses into pieces of at most `max_chars`; a longer clause stays whole.

    Args:
        text: Any text.
        max_chars: Longest piece.
    """
    pieces: list[str] = []
    current = ""
    for part in _AT_SPLITTER.split(text):
        if len(current) + len(part) > max_chars:
            pieces.append(current)
            current = part
        else:
            current += part
    return [*pieces, current] if current else pieces


def merge_short(pieces: Sequence[str], shortest: int = _SHORT_PIECE) -> list[str]:
    """Join pieces until each has at least `shortest` characters; a short rest joins the last one.

    Args:
        pieces: Pieces in order.
        shortest: Fewest characters of a piece.
    """
    if len(pieces) < 2:
        return list(pieces)
    merged: list[str] = []
    current = ""
    for piece in pieces:
        current += piece
        if len(current) >= shortest:
            merged.append(current)
            current = ""
    if current and merged:
        merged[-1] += current
    elif current:
        merged.append(current)
    return merged


def _lines(pieces: Iterable[str]) -> str:
    return "\n".join(piece for piece in pieces if not _MARKS.issuperset(piece))


def _cut0(text: str) -> str:
    return "\n" if _MARKS.issuperset(text) else text


def _cut1(text: str) -> str:
    text = text.strip("\n")
    clauses = split_at_marks(text)
    starts = range(0, len(clauses), 4)
    if len(starts) < 2:
        return _lines([text])
    groups = ["".join(clauses[start : start + 4]) for start in starts[:-2]]
    return _lines([*groups, "".join(clauses[starts[-2] :])])


def _cut2(text: str) -> str:
    text = text.strip("\n")
    clauses = split_at_marks(text)
    if len(clauses) < 2:
        return text
    groups: list[str] = []
    current = ""
    for clause in clauses:
        current += clause
        if len(current) > _LONG_GROUP:
            groups.append(current)
            current = ""
    if current:
        groups.append(current)
    if len(groups) > 1 and len(groups[-1]) < _LONG_GROUP:
        groups[-2:] = [groups[-2] + groups[-1]]
    return _lines(groups)


def _cut3(text: str) -> str:
    return _lines(text.strip("\n").strip("。").split("。"))


def _cut4(text: str) -> str:
    return _lines(_FULL_STOP.split(text.strip("\n").strip(".")))


def _clauses(text: str) -> Iterator[str]:
    start = 0
    for index, char in enumerate(text):
        if char not in _CLAUSE_ENDS or (
            char == "." and text[index - 1 : index].isdigit() and text[index + 1 : index + 2].isdigit()
        ):
            continue
        yield text[start : index + 1]
        start = index + 1
    if text[start:]:
        yield text[start:]


def _cut5(text: str) -> str:
    return "\n".join(clause for clause in _clauses(text.strip("\n")) if not _CLAUSE_ENDS.issuperset(clause))


CUTS: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {"cut0": _cut0, "cut1": _cut1, "cut2": _cut2, "cut3": _cut3, "cut4": _cut4, "cut5": _cut5}
)
METHODS: Final = (STREAM, *CUTS)


def cut(text: str, method: str) -> str:
    """Cut with a method of the original.

    Args:
        text: Any text.
        method: `"cut0"` not at all, `"cut1"` every four clauses, `"cut2"` every 50 characters, `"cut3"` at 。,
            `"cut4"` at full stops, `"cut5"` at every mark.

    Returns:
        The pieces, one a line.

    Raises:
        TextError: No such method.
    """
    if method not in CUTS:
        raise TextError(f"cut method {method!r} does not exist: use one of {', '.join(METHODS)}")
    return CUTS[method](text)


def with_start_mark(text: str, language: str) -> str:
    """Put a full stop before a text whose first clause is so short that the model might swallow it.

    Args:
        text: Text that is not empty.
        language: `"en"` takes `.`, everything else `。`.
    """
    first = _AT_SPLITTER.split(text, maxsplit=1)[0].strip()
    if text[0] in SPLITTERS or len(first) >= _SHORT_START:
        return text
    return ("." if language == "en" else "。") + text


def _finished(pieces: Iterable[str], language: str) -> Iterator[str]:
    for piece in pieces:
        if not _WORD.search(piece):
            continue
        if piece[-1] not in SPLITTERS:
            piece += "." if language == "en" else "。"
        if len(piece) > MAX_PIECE_CHARS:
            yield from split_big_text(piece)
        else:
            yield piece


def official_pieces(text: str, language: str, method: str) -> list[str]:
    """Pieces exactly as the original cuts them.

    Args:
        text: Any text.
        language: Language or mode; `"en"` ends pieces with `.`, everything else with `。`.
        method: `"cut0"` to `"cut5"`.

    Raises:
        TextError: No such method, or nothing but marks is left.
    """
    text = text.strip("\n")
    if not text:
        return []
    text = cut(with_start_mark(text, language), method)
    lines = [line for line in re.sub("\n+", "\n", text).split("\n") if line not in ("", " ")]
    if not lines:
        raise NothingToSay("nothing to say: the text holds marks only; give words")
    return list(_finished(merge_short(lines), language))
