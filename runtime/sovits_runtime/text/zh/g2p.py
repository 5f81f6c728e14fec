"""Normalised Chinese text -> phones and phones per character."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sovits_runtime.text.symbols import MARKS
from sovits_runtime.text.zh.merging import merge_words
from sovits_runtime.text.zh.package_data import erhua_words, plain_er_words
from sovits_runtime.text.zh.sandhi import change_tones
from sovits_runtime.text.zh.segmentation import Word, cut_tagged
from sovits_runtime.text.zh.syllables import has_symbols, pinyin, split_numbered, symbols_of

if TYPE_CHECKING:
    from sovits_runtime.text.zh.g2pw import PolyphoneReader

_AFTER_MARK: Final = re.compile(f"(?<=[{re.escape(''.join(MARKS))}])")
_KEEP_ER_TAGS: Final = frozenset({"a", "j", "nr"})


def phones_from_norm_text(
    norm_text: str, *, erhua: bool, polyphones: PolyphoneReader | None = None
) -> tuple[list[str], list[int]]:
    """Symbols of a text, and how many each character has.

    Args:
        norm_text: Readable Chinese characters and marks.
        erhua: Whether a final 儿 takes the tone of the syllable before it (v2 models).
        polyphones: A G2PW model; None reads polyphones by pypinyin's phrases.

    Raises:
        TextError: A package of the zh extra is not installed.

    Source: GPT-SoVITS, text/chinese2.py and text/chinese.py, _g2p.
    """
    symbols: list[str] = []
    word2ph: list[int] = []
    for clause in filter(None, _AFTER_MARK.split(norm_text)):
        position = 0
        for word in merge_words(cut_tagged(clause)):
            initials, finals = pinyin(word.text)
            if polyphones is not None:
                readings = polyphones.readings(clause)[position : position + len(word.text)]
                initials, finals = _read_again((initials, finals), polyphones.correct(word.text, readings))
                position += len(word.text)
            for syllable in _word_symbols(word, initials, finals, erhua=erhua):
                symbols.extend(syllable)
                word2ph.append(len(syllable))
    return symbols, word2ph


def _read_again(
    spelled: tuple[Sequence[str], Sequence[str]], readings: Sequence[str | None]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Initials and finals with those of given readings in place; a reading without symbols changes nothing."""
    pairs = list(zip(*spelled, strict=True))
    for index, reading in enumerate(readings):
        if reading is not None and has_symbols(again := split_numbered(reading)):
            pairs[index] = again
    return tuple(initial for initial, _ in pairs), tuple(final for _, final in pairs)


def _word_symbols(
    word: Word, initials: Sequence[str], finals: Sequence[str], *, erhua: bool
) -> list[tuple[str, ...]]:
    spoken = change_tones(word, finals)
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
