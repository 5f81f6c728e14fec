"""Tokens of normalised English.

What is left after normalisation is letters, spaces and `' . , ? ! -`. Over those characters nltk's TweetTokenizer,
which the original uses, comes down to the few rules here; the tests compare the two.
"""

from __future__ import annotations

import re
from typing import Final

_LONG_RUN: Final = re.compile(r"([^A-Za-z])\1{3,}")
_TOKEN: Final = re.compile(
    r"""
    [a-z0-9]+(?:[.\-][a-z0-9]+){0,126}[.][a-z]{2,13}\b  # a domain name, also "two.three"
    | [a-z][a-z'\-]+[a-z]                               # a word with apostrophes or hyphens
    | [a-z0-9]+
    | \.(?:[ ]*\.)+
    | \S
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


def tokenize(text: str) -> list[str]:
    """Words and marks of normalised text.

    Args:
        text: What `normalize` returned.
    """
    return _TOKEN.findall(_LONG_RUN.sub(r"\1\1\1", text))
