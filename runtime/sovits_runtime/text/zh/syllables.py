"""Pinyin syllables and the two model symbols each one becomes."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from sovits_runtime.text.extras import import_extra
from sovits_runtime.text.symbols import MARKS, ZH_FINALS, ZH_INITIALS

_SHORT_FINALS: Final = {"uei": "ui", "iou": "iu", "uen": "un"}
_SYLLABIC: Final = {"z": "i0", "c": "i0", "s": "i0", "zh": "ir", "ch": "ir", "sh": "ir", "r": "ir"}
_VOWEL_INITIALS: Final = {"a": "AA", "e": "EE", "o": "OO"}
_AFTER_Y: Final = {"i": "i", "in": "in", "ing": "ing", "ie": "E", "ian": "En", "iou": "ou"}


@lru_cache(maxsize=16384)
def pinyin(word: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Initials and toned finals of a word's characters, polyphones by pypinyin's phrases.

    A mark stands for itself in both. Characters must be readable, see `is_readable`.

    Raises:
        TextError: pypinyin is not installed.
    """
    library = import_extra("pypinyin", "zh")
    syllables = library.lazy_pinyin(word, style=library.Style.TONE)
    parts = [_split_syllable(syllable) for syllable in syllables]
    return tuple(initial for initial, _ in parts), tuple(final for _, final in parts)


@lru_cache(maxsize=4096)
def _split_syllable(syllable: str) -> tuple[str, str]:
    """Initial and final with tone digit of an accented syllable; anything else stands for itself in both."""
    if syllable in MARKS:
        return syllable, syllable
    library, style = import_extra("pypinyin", "zh"), import_extra("pypinyin.style", "zh")
    initial = style.convert(syllable, library.Style.INITIALS, strict=True)
    final = style.convert(syllable, library.Style.FINALS_TONE3, strict=True)
    if final and not final[-1].isdigit():
        final += "5"
    return initial, final


@lru_cache(maxsize=32768)
def is_readable(char: str) -> bool:
    """Whether a character is a mark, or has a pinyin syllable that the symbols can spell.

    Raises:
        TextError: pypinyin is not installed.
    """
    if char in MARKS:
        return True
    (initial,), (final,) = pinyin(char)
    return has_symbols((initial, final))


def has_symbols(syllable: tuple[str, str]) -> bool:
    """Whether the symbols can spell a syllable, given as initial and toned final."""
    if syllable[1][-1:] not in set("12345"):
        return False
    onset, rhyme = symbols_of(*syllable)
    return onset in ZH_INITIALS and rhyme[:-1] in ZH_FINALS


@lru_cache(maxsize=4096)
def split_numbered(syllable: str) -> tuple[str, str]:
    """Initial and final with tone digit of a syllable such as `"zhong4"`.

    Raises:
        TextError: pypinyin is not installed.
    """
    convert = import_extra("pypinyin.contrib.tone_convert", "zh")
    return convert.to_initials(syllable), convert.to_finals_tone3(syllable, neutral_tone_with_five=True)


def symbols_of(initial: str, final: str) -> tuple[str, str]:
    """Model symbols of a syllable: initial and toned final.

    Pinyin's spelling is kept, y and w included; a syllable that starts with a vowel gets AA, EE or OO.

    Args:
        initial: pypinyin's strict initial, may be empty.
        final: pypinyin's strict final with its tone digit.

    Source: GPT-SoVITS, text/opencpop-strict.txt, given there as a table.
    """
    rhyme, tone = final[:-1], final[-1]
    if initial:
        rhyme = (
            _SYLLABIC[initial] if rhyme == "i" and initial in _SYLLABIC else _SHORT_FINALS.get(rhyme, rhyme)
        )
        return initial, rhyme + tone
    if rhyme[:1] == "v":
        return "y", rhyme + tone
    if rhyme[:1] == "i":
        return "y", _AFTER_Y.get(rhyme, rhyme[1:]) + tone
    if rhyme[:1] == "u":
        return "w", (rhyme if rhyme == "u" else rhyme[1:]) + tone
    return _VOWEL_INITIALS.get(rhyme[:1], ""), rhyme + tone
