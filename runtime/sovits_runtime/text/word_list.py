"""Tables of words, written as one string."""

from __future__ import annotations


def word_list(text: str) -> tuple[str, ...]:
    """Words of a text.

    Args:
        text: Words parted by white space.
    """
    return tuple(text.split())
