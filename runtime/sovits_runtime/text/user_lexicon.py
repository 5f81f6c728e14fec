"""Words whose reading the user gives: names, mostly, which no rules will ever know.

A lexicon is a text file, one entry a line:

    en: Nguyen = win                    other words
    en: Siobhan = /SH IH0 V AO1 N/      phones, as `sovits-export phones` shows them
    zh: 单田芳 = /sh an4 t ian2 f ang1/
    *: GPT-SoVITS = G P T so vits       in every language
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from sovits_runtime.errors import TextError
from sovits_runtime.text.phones import Phones, phones_from_symbols
from sovits_runtime.text.spelling import Change, Spelled
from sovits_runtime.text.symbols import SymbolVersion, symbol_index

EVERY_LANGUAGE: Final = "*"
KIND_NAME: Final = "lexicon"
# Characters for private use stand for the entries that give phones, until phones are made. `apply` takes those of the
# text itself out: nobody knows how to read them, and they would stand for an entry.
_FIRST_SIGN: Final = 0xF0000
_MOST_ENTRIES: Final = 0xFFF0
SIGN: Final = re.compile("[\U000f0000-\U000ffffd]")
_UNREADABLE: Final = "\ufffd"
_LINE: Final = re.compile(r"\s*(?P<language>[a-z]+|\*)\s*:\s*(?P<word>[^=]*[^=\s])\s*=\s*(?P<reading>.*?)\s*")
_LANGUAGES: Final = ("zh", "en", "ja", "ko", "yue", EVERY_LANGUAGE)


@dataclass(frozen=True)
class Entry:
    """A word and its reading.

    Attributes:
        language: `"zh"`, `"en"`, `"ja"`, `"ko"`, `"yue"`, or `"*"` for all of them.
        word: As it is written. All in lower case, it is found in any case; else only as it stands.
        words: What is read in its place; empty where `phones` says it.
        phones: Its phones; empty where `words` says it.
    """

    language: str
    word: str
    words: str = ""
    phones: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lexicon:
    """Entries, of which the longest word that fits is taken.

    Attributes:
        entries: In any order; of two with one word the later counts.
    """

    entries: tuple[Entry, ...] = ()

    @staticmethod
    def load(path: Path | str) -> Lexicon:
        """Reads a file of entries.

        Args:
            path: UTF-8 text. Empty lines and lines that start with `#` are left out.

        Raises:
            TextError: The file cannot be read, or a line is no entry.
        """
        path = Path(path)
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise TextError(f"{path}: cannot be read as a lexicon in UTF-8 ({error})") from error
        kept = ((number, line) for number, line in enumerate(lines, start=1) if line.split("#")[0].strip())
        entries = tuple(_entry(line, f"{path}, line {number}") for number, line in kept)
        if len(entries) > _MOST_ENTRIES:
            raise TextError(f"{path}: {len(entries)} entries, expected at most {_MOST_ENTRIES}")
        return Lexicon(entries)

    def check(self, symbols: SymbolVersion) -> None:
        """Refuses phones that a voice does not know.

        Args:
            symbols: Symbol table of the voice.

        Raises:
            TextError: Names the entry and the phone.
        """
        known = symbol_index(symbols)
        for entry in self.entries:
            for phone in entry.phones:
                if phone not in known:
                    raise TextError(
                        f"lexicon: {entry.word!r} has the phone {phone!r}, which {symbols} voices do not have; "
                        "'sovits-export phones' shows the phones of a text"
                    )

    def apply(self, text: str, language: str) -> Spelled:
        """Writes a sentence with the readings of its words.

        Args:
            text: As it was written.
            language: What the sentence is in. English entries count in every language.
        """
        changes: list[Change] = []

        def replace(match: re.Match[str]) -> str:
            number = self._number_of(match[0], language)
            if number is None:
                return match[0]
            entry = self.entries[number]
            changes.append(Change(KIND_NAME, entry.word, entry.words or f"/{' '.join(entry.phones)}/"))
            return entry.words or chr(_FIRST_SIGN + number)

        text = SIGN.sub(_UNREADABLE, text)
        return Spelled(self._pattern.sub(replace, text) if self.entries else text, tuple(changes))

    def phones(self, sign: str, symbols: SymbolVersion) -> Phones:
        """Phones of an entry.

        Args:
            sign: What `apply` put in its place.
            symbols: Symbol table of the voice.
        """
        entry = self.entries[ord(sign) - _FIRST_SIGN]
        language = "en" if entry.language == EVERY_LANGUAGE else entry.language
        return phones_from_symbols(entry.phones, entry.word, language=language, table=symbols)

    @cached_property
    def _numbers(self) -> dict[tuple[str, str], int]:
        return {(entry.language, entry.word): number for number, entry in enumerate(self.entries)}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        words = sorted({entry.word for entry in self.entries}, key=len, reverse=True)
        return re.compile("|".join(map(_word_pattern, words)))

    def _number_of(self, word: str, language: str) -> int | None:
        for spelling in (word, word.lower()):
            for code in (language, "en", EVERY_LANGUAGE):
                number = self._numbers.get((code, spelling))
                if number is not None:
                    return number
        return None


def _word_pattern(word: str) -> str:
    pattern = re.escape(word)
    pattern = f"(?i:{pattern})" if word == word.lower() else pattern
    start = "(?<![A-Za-z0-9])" if word[0].isascii() and word[0].isalnum() else ""
    end = "(?![A-Za-z0-9])" if word[-1].isascii() and word[-1].isalnum() else ""
    return start + pattern + end


def _entry(line: str, place: str) -> Entry:
    match = _LINE.fullmatch(line)
    if match is None or match["language"] not in _LANGUAGES or not match["reading"]:
        raise TextError(
            f"{place}: got {line.strip()[:60]!r}, expected 'en: word = other words' or 'en: word = /PH ONES/', "
            f"the language one of {', '.join(_LANGUAGES)}"
        )
    reading = match["reading"]
    if len(reading) > 2 and reading[0] == reading[-1] == "/":
        phones = tuple(reading[1:-1].split())
        if phones:
            return Entry(match["language"], match["word"], phones=phones)
    return Entry(match["language"], match["word"], words=reading)
