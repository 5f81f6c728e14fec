"""Numbers in words as they are said inside a sentence: without commas and hyphens, which would be pauses."""

from __future__ import annotations

import re
from typing import Final

from sovits_runtime.text.en.numbers import MAX_DIGITS, cardinal, number_or_year, ordinal
from sovits_runtime.text.word_list import word_list

NUMBER: Final = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,]*\d)|\d+(?:\.\d+)?|\.\d+)"
DIGITS: Final = word_list("zero one two three four five six seven eight nine")
_JOINTS: Final = str.maketrans({",": "", "-": " "})
_QUARTERS: Final = {"2": ("half", "halves"), "4": ("quarter", "quarters")}


def whole(digits: str) -> str:
    """A whole number, for example "one thousand two hundred five".

    Args:
        digits: ASCII digits.
    """
    return cardinal(digits).translate(_JOINTS)


def nth(digits: str) -> str:
    """An ordinal number, for example "twenty first".

    Args:
        digits: ASCII digits.
    """
    if len(digits.lstrip("0")) > MAX_DIGITS:
        return f"{one_by_one(digits)}th"
    return ordinal(digits).translate(_JOINTS)


def one_by_one(digits: str) -> str:
    """Digits one after the other; what is no digit is left out.

    Args:
        digits: Any text.
    """
    return " ".join(DIGITS[int(digit)] for digit in digits if digit in "0123456789")


def number(text: str) -> str:
    """A number as it is written in a sentence; one that starts with zeros is read digit by digit.

    Args:
        text: A match of `NUMBER`.
    """
    before, point, after = text.replace(",", "").partition(".")
    if not point:
        return one_by_one(before) if before[0] == "0" and len(before) > 1 else whole(before)
    return f"{whole(before or '0')} point {one_by_one(after)}"


def year(digits: str) -> str:
    """A year of up to four digits, for example "nineteen oh five".

    Args:
        digits: ASCII digits.
    """
    return number_or_year(digits).translate(_JOINTS)


def in_pairs(digits: str) -> str:
    """Three or four digits as numbers of rooms and flights are said, for example "two oh four", "twelve thirty".

    Args:
        digits: ASCII digits.
    """
    if len(digits) not in (3, 4) or digits[0] == "0" or digits.endswith("000"):
        return number(digits)
    first, last = digits[:-2], digits[-2:]
    if last == "00":
        return f"{whole(first)} hundred"
    return f"{whole(first)} {'oh ' if last[0] == '0' else ''}{whole(last)}"


def decade(digits: str) -> str:
    """The plural of a number of tens, for example "nineteen nineties".

    Args:
        digits: ASCII digits.
    """
    words = year(digits)
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def part(numerator: str, denominator: str, *, counted: bool = False) -> str:
    """A common fraction, for example "two thirds", "one half".

    Args:
        numerator: ASCII digits.
        denominator: ASCII digits.
        counted: "a" or a number stands before it, so a single part is not counted again.
    """
    one = numerator.lstrip("0") == "1"
    single, several = _QUARTERS.get(denominator, (nth(denominator), f"{nth(denominator)}s"))
    return single if one and counted else f"{whole(numerator)} {single if one else several}"


def letters(text: str) -> str:
    """Letters as their names: capitals with spaces between.

    Args:
        text: Letters; everything else is left out.
    """
    return " ".join(re.sub("[^A-Za-z]", "", text).upper())
