"""A guess at the part of speech from the word before, for use where nltk's tagger data is not at hand.

It only has to tell verbs, past forms and adjectives from the rest for words with two readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sovits_runtime.text.word_list import word_list

_BASE_VERB_AFTER: Final = frozenset(
    word_list(
        "to will would can could shall should may might must do does did don't doesn't didn't won't wouldn't can't"
        " couldn't shouldn't cannot not let let's please i'll you'll we'll they'll he'll she'll it'll i'd you'd we'd"
        " they'd"
    )
)
_PRESENT_AFTER: Final = frozenset(word_list("i you we they who that and or people"))
_THIRD_PERSON_AFTER: Final = frozenset(word_list("he she it who which that"))
_PARTICIPLE_AFTER: Final = frozenset(
    word_list("is are was were be been being am has have had i've you've we've they've it's he's she's")
)
_MARKS: Final = frozenset(".,!?-")


def _guess(before: str, word: str) -> str:
    if before in _BASE_VERB_AFTER:
        return "VBP" if word == "read" else "VB"
    if before in _PARTICIPLE_AFTER:
        return "VBN" if word.endswith("ed") or word == "read" else "JJ"
    if word.endswith("s") and before in _THIRD_PERSON_AFTER:
        return "VBZ"
    if before in _PRESENT_AFTER and before not in {"and", "or", "that"}:
        return "VBP"
    if word.endswith("ed") and before in _PRESENT_AFTER | _THIRD_PERSON_AFTER:
        return "VBD"
    return "NN"


def guess_tags(tokens: Sequence[str]) -> list[str]:
    """Penn tags that are right often enough for words with two readings.

    Args:
        tokens: Tokens of one text.
    """
    words = [token.lower() for token in tokens]
    return [_guess(before, word) for before, word in zip(["", *words], words, strict=False)]
