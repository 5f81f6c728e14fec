"""Normalised Chinese text -> phones and phones per character."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sovits_runtime.text.symbols import MARKS
from sovits_runtime.text.zh.merging import merge_words
from sovits_runtime.text.zh.package_data import erhua_words, plain_er_words
from sovits_runtime.text.zh.polyphones import keeps_tone, readings_around, readings_by_words
from sovits_runtime.text.zh.sandhi import change_tones
from sovits_runtime.text.zh.segmentation import Word, cut_tagged
from sovits_runtime.text.zh.syllables import has_symbols, pinyin, split_numbered, symbols_of

if TYPE_CHECKING:
    from sovits_runtime.text.zh.g2pw import PolyphoneReader

_AFTER_MARK: Final = re.compile(f"(?<=[{re.escape(''.join(MARKS))}])")
_KEEP_ER_TAGS: Final = frozenset({"a", "j", "nr"})


def phones_from_norm_text(
    norm_text: str, *, erhua: bool, polyphones: PolyphoneReader | None = None, by_context: bool = False
) -> tuple[list[str], list[int]]:
    """Symbols of a text, and how many each character has.

    Args:
        norm_text: Readable Chinese characters and marks.
        erhua: Whether a final 儿 takes the tone of the syllable before it (v2 models).
        polyphones: A G2PW model; None reads polyphones by pypinyin's phrases.
        by_context: Whether the words around decide where no model does, see `polyphones.py`, and characters that
            stand twice over the border of two words keep their tone.

    Raises:
        TextError: A package of the zh extra is not installed.

    Source: GPT-SoVITS, text/chinese2.py and text/chinese.py, _g2p.
    """
    symbols: list[str] = []
    word2ph: list[int] = []
    for clause in filter(None, _AFTER_MARK.split(norm_text)):
        position = 0
        cut = cut_tagged(clause)
        words = merge_words(cut)
        starts = _word_starts(cut) if by_context else None
        certain = _certain_readings(clause, words) if by_context and polyphones is None else {}
        for word in words:
            initials, finals = pinyin(word.text)
            end = position + len(word.text)
            if polyphones is not None:
                readings = polyphones.readings(clause)[position:end]
                initials, finals = _read_again((initials, finals), polyphones.correct(word.text, readings))
            fixed = [certain.get(index) for index in range(position, end)]
            initials, finals = _read_again((initials, finals), fixed)
            inside = (
                None if starts is None else [at - position for at in range(position, end) if at in starts]
            )
            position = end
            spoken = _spoken_finals(word, finals, fixed, inside)
            for syllable in _word_symbols(word, initials, spoken, erhua=erhua):
                symbols.extend(syllable)
                word2ph.append(len(syllable))
    return symbols, word2ph


def _certain_readings(clause: str, words: Sequence[Word]) -> dict[int, str]:
    return {**readings_around(clause), **dict(readings_by_words(words))}


def _read_again(
    spelled: tuple[Sequence[str], Sequence[str]], readings: Sequence[str | None]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Initials and finals with those of given readings in place; a reading without symbols changes nothing."""
    pairs = list(zip(*spelled, strict=True))
    for index, reading in enumerate(readings):
        if reading is not None and has_symbols(again := split_numbered(reading)):
            pairs[index] = again
    return tuple(initial for initial, _ in pairs), tuple(final for _, final in pairs)


def _word_starts(words: Sequence[Word]) -> frozenset[int]:
    """Where words start that do not repeat the word before."""
    starts, position = set(), 0
    for before, word in pairwise(words):
        position += len(before.text)
        if word.text != before.text:
            starts.add(position)
    return frozenset(starts)


def _spoken_finals(
    word: Word, finals: Sequence[str], fixed: Sequence[str | None], starts: Sequence[int] | None
) -> list[str]:
    """Finals after the tone rules; a reading that is certain keeps its tone."""
    return [
        final if reading is not None and keeps_tone(reading, weak) else weak
        for reading, final, weak in zip(fixed, finals, change_tones(word, finals, starts=starts), strict=True)
    ]


def _word_symbols(
    word: Word, initials: Sequence[str], spoken: list[str], *, erhua: bool
) -> list[tuple[str, ...]]:
    if erhua:
        _join_er_tone(word, spoken)
    pairs = zip(word.text, initials, spoken, strict=True)
    return [(char,) if char in MARKS else symbols_of(initial, final) for char, initial, final in pairs]


def _join_er_tone(word: Word, finals: list[str]) -> None:
    """Give a final 儿 the tone of the syllable it colours.

    Source: GPT-SoVITS, text/chinese2.py, _merge_erhua.
    """
    if word.text[-1] != "儿":
        return
    if finals[-1] == "er1":
        finals[-1] = "er2"
    if word.text not in erhua_words() and (word.text in plain_er_words() or word.tag in _KEEP_ER_TAGS):
        return
    if len(finals) > 1 and finals[-1] in {"er2", "er5"} and word.text[-2:] not in plain_er_words():
        finals[-1] = "er" + finals[-2][-1]
