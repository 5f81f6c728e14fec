"""Normalised English -> ARPAbet phones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sovits_runtime.text.en.homographs import guess_tags
from sovits_runtime.text.en.lexicon import dictionary, homographs, modern_pronunciation, pronounce
from sovits_runtime.text.en.tagger import installed_tagger
from sovits_runtime.text.en.tokens import tokenize
from sovits_runtime.text.symbols import symbol_index

NO_TAGGER_NOTE: Final = (
    "English: nltk's tagger data was not found, so words with two readings were told apart by their neighbours; "
    "put taggers/averaged_perceptron_tagger_eng into a folder named by NLTK_DATA"
)
_LETTER: Final = re.compile("[a-z]", re.IGNORECASE)
_SILENT: Final = frozenset({"UW", "_"})


def _tags(tokens: Sequence[str], notes: list[str]) -> list[str]:
    if not any(token.lower() in homographs() for token in tokens):
        return [""] * len(tokens)
    tagger = installed_tagger()
    if tagger is not None:
        return tagger.tag(tokens)
    notes.append(NO_TAGGER_NOTE)
    return guess_tags(tokens)


def _token_phones(token: str, tag: str, *, modern: bool) -> Sequence[str]:
    if _LETTER.search(token) is None:
        return (token,)
    if token == "A":
        return ("EY1",)
    if len(token) == 1:
        return dictionary()[token.lower()].split()
    choice = homographs().get(token.lower())
    if choice is None:
        return (modern_pronunciation(token) if modern else None) or pronounce(token)
    first, second, prefix = choice
    return first if tag.startswith(prefix) or (tag and prefix.startswith(tag)) else second


def phones_of(text: str, notes: list[str], *, modern: bool = False) -> list[str]:
    """Phones of normalised text; a sign that no symbol stands for is left out.

    Args:
        text: What `normalize` returned.
        notes: Remarks are appended here.
        modern: Words that the dictionary lacks and its parts would misread are looked up in a small list.

    Raises:
        TextError: A package of the `en` extra is not installed, or the tagger's data is damaged.
    """
    tokens = tokenize(text)
    known = symbol_index("v2")
    phones: list[str] = []
    for token, tag in zip(tokens, _tags(tokens, notes), strict=True):
        for phone in _token_phones(token, tag, modern=modern):
            symbol = {"'": "-", "<unk>": "UNK"}.get(phone, phone)
            if symbol in known and symbol not in _SILENT:
                phones.append(symbol)
    return phones
