"""A sentence as it is written -> a sentence in words and pause marks, each part by the rules of its language.

Numbers, signs and abbreviations belong to the language that is spoken around them. English clauses inside another
language are read by the English rules; so are the Latin words that the rules of another language leave.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache
from importlib import import_module
from typing import Final

from sovits_runtime.text import LANGUAGE_MODULES, markup
from sovits_runtime.text.host import LATIN
from sovits_runtime.text.spelling import Kind, Spelled, spell
from sovits_runtime.text.user_lexicon import Lexicon

_ENGLISH: Final = "en"
_LATIN_WORD: Final = rf"[{LATIN}][{LATIN}'’-]*"
# A stretch of ASCII with spaces, from one word of letters to another.
_LATIN_CLAUSE: Final = re.compile(
    rf"(?<![A-Za-z\d])[\"'“‘(]?{_LATIN_WORD}[{LATIN}\d \t,.;:!?'’“”\"()&%$£€@/#+-]*"
)
_LATIN_WORDS: Final = re.compile(rf"{_LATIN_WORD}(?:(?:[.,!?]?[ ]+|[.&]){_LATIN_WORD})*\.?")
_WORD: Final = re.compile(_LATIN_WORD)
_LOWER_WORD: Final = re.compile(r"\b[A-Za-z]?[a-z'’]+\b")
_NATIVE: Final = re.compile(
    "[\u1100-\u11ff\u3005\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)
_FEWEST_WORDS: Final = 3
_NOT_AT_THE_END: Final = ' \t0123456789,.;:%$£€@/#+("“-'


@lru_cache(maxsize=8)
def kinds_of(language: str) -> tuple[Kind, ...]:
    """Kinds of rewriting of a language, in order.

    Args:
        language: `"zh"`, `"en"`, `"ja"`, `"ko"` or `"yue"`.
    """
    kinds: tuple[Kind, ...] = import_module(LANGUAGE_MODULES[language]).KINDS
    return kinds


def kind_names() -> frozenset[str]:
    """Names of all kinds of rewriting, of all languages."""
    kinds = (kind for language in LANGUAGE_MODULES for kind in kinds_of(language))
    return frozenset(kind.name for kind in (*markup.KINDS, *kinds))


def spell_out(
    text: str, language: str, *, without: Collection[str] = (), lexicon: Lexicon | None = None
) -> Spelled:
    """Write out what is not written as it is said.

    Args:
        text: A sentence, or a line of text.
        language: What is spoken where the script leaves it open: `"zh"`, `"en"`, `"ja"`, `"ko"` or `"yue"`.
        without: Names of kinds that are left out.
        lexicon: Readings of the user, which come before everything else.

    Raises:
        TextError: A package of the language's extra is not installed.
    """
    own = lexicon.apply(text, language) if lexicon else Spelled(text)
    plain = spell(own.text, markup.KINDS, without)
    changes = [*own.changes, *plain.changes]

    def by_rules_of(part_language: str) -> Callable[[str], str]:
        def read(part: str) -> str:
            spelled = spell(part, kinds_of(part_language), without)
            changes.extend(spelled.changes)
            return spelled.text

        return read

    english, native = by_rules_of(_ENGLISH), by_rules_of(language)
    if language == _ENGLISH:
        return Spelled(english(plain.text), tuple(changes))
    parts = _parted(plain.text)
    spelled = (
        english(part) if is_english else _latin_words(native(part), english) for part, is_english in parts
    )
    return Spelled("".join(spelled), tuple(changes))


def _parted(text: str) -> list[tuple[str, bool]]:
    """A text cut into English clauses (True) and everything else."""
    parts: list[tuple[str, bool]] = []
    done = 0
    alone = _NATIVE.search(text) is None
    for match in _LATIN_CLAUSE.finditer(text):
        end = match.end()
        if not alone:  # a number at the end belongs to what follows it
            end = match.start() + len(match[0].rstrip(_NOT_AT_THE_END))
            if re.match(r"[.!?]+(?=\s|$)", text[end:]):
                end += 1
        clause = text[match.start() : end]
        words = _WORD.findall(clause)
        fewest = 2 if alone else _FEWEST_WORDS
        if " " not in clause.strip():  # an address or a word with hyphens, no clause
            continue
        if len(words) < fewest or len(_LOWER_WORD.findall(clause)) * 2 < len(words):
            continue
        parts += [(text[done : match.start()], False), (clause, True)]
        done = end
    return [part for part in [*parts, (text[done:], False)] if part[0]]


def _latin_words(text: str, english: Callable[[str], str]) -> str:
    return _LATIN_WORDS.sub(lambda match: english(match[0]), text)
