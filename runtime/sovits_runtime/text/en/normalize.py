"""English text -> words only: numbers, units, money, times and signs written out.

The rules stand in the order of the original, whose quirks trained weights have seen. They read text with
`official=True`; otherwise the kinds of `sovits_runtime.text.en.spelling` do.

Source: GPT-SoVITS, text/english.py, text_normalize; text/en_normalization/expend.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from re import Match
from typing import Final

from sovits_runtime.text.en.numbers import cardinal, fraction, number_or_year, ordinal

_CJK_MARKS: Final = str.maketrans("。！？", ".!?")
_OPERATORS: Final[Mapping[str, str]] = {
    "+": "plus",
    "-": "minus",
    "×": "times",
    "÷": "divided by",
    "=": "Equals",
}
_UNITS: Final[Mapping[str, tuple[str, str]]] = {
    "m": ("meter", "meters"),
    "km": ("kilometer", "kilometers"),
    "ft": ("feet", "feet"),
    "L": ("liter", "liters"),
    "tbsp": ("tablespoon", "tablespoons"),
    "tsp": ("teaspoon", "teaspoons"),
    "h": ("hour", "hours"),
    "min": ("minute", "minutes"),
    "s": ("second", "seconds"),
    "°C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"),
}
_MONEY: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "£": ("pound", "pounds", "penny", "pence"),
    "$": ("dollar", "dollars", "cent", "cents"),
}
_AMOUNT: Final = r"[0-9.]*[0-9]"


def _time(match: Match[str]) -> str:
    hour, minute = int(match[1]), match[2]
    spoken_hour = cardinal(str(hour - 12 if hour > 12 else hour))
    spoken_minute = "o'clock" if minute == "00" else cardinal(minute)
    return f"{spoken_hour} {spoken_minute} {'a.m.' if hour < 12 else 'p.m.'}"


def _unit(match: Match[str]) -> str:
    number, unit = match[1], match[2]
    singular = "." not in number and int(number) == 1
    return f"{number} {_UNITS[unit][0 if singular else 1]}"


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number} {singular if number == 1 else plural}"


def _money(match: Match[str]) -> str:
    sign, amount = (match[1], match[2]) if match[1] else (match[4], match[3])
    one, many, small_one, small_many = _MONEY[sign]
    parts = amount.split(".")
    if len(parts) > 2 or max(map(len, parts)) > 36:
        return f"{amount} {many}"
    whole = int(parts[0] or 0)
    cents = parts[1] if len(parts) == 2 else ""
    small = int((cents + "0" if len(cents) == 1 else cents) or 0)
    if whole and small:
        return f"{_count(whole, one, many)} and {_count(small, small_one, small_many)}"
    return _count(small, small_one, small_many) if small else _count(whole, one, many)


def _decimal(match: Match[str]) -> str:
    whole, digits = match[0].split(".")
    return f"{whole} point {' '.join(digits)}"


Rule = tuple[re.Pattern[str], "str | Callable[[Match[str]], str]"]

_NUMBER_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(r"\b([0-9]+)\. "), r"\1th, "),  # the number of an item of a list
    (re.compile(r"(?<=\s)[+\-×÷=](?=\s)"), lambda match: _OPERATORS[match[0]]),
    (re.compile(r"(?:^|\s+)-(?=[0-9])"), "negative "),
    (re.compile(r"[0-9][0-9,]+[0-9]"), lambda match: match[0].replace(",", "")),
    (re.compile(r"\b([01]?[0-9]|2[0-3]):([0-5][0-9])\b", re.ASCII), _time),
    (re.compile(r"\b([0-9]+(?:\.[0-9]*)?)(km|m|ft|L|tbsp|tsp|h|min|s|°C|°F)\b"), _unit),
    (re.compile(rf"([£$])({_AMOUNT})|(?<![0-9.])({_AMOUNT})([£$])"), _money),
    (re.compile(r"(?<![0-9])[0-9]+\.[0-9]+"), _decimal),
    (re.compile(r"(?<![0-9])([0-9]+)/([0-9]+)"), lambda match: fraction(match[1], match[2])),
    (re.compile(r"(?<![0-9])([0-9]+)(?:st|nd|rd|th)"), lambda match: ordinal(match[1])),
    (re.compile(r"[0-9]+"), lambda match: number_or_year(match[0])),
)
_UNREADABLE: Final = re.compile(r"[^ A-Za-z'.,?!\-]")
_LETTER_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(r"i\.e\.", re.IGNORECASE), "that is"),
    (re.compile(r"e\.g\.", re.IGNORECASE), "for example"),
    (re.compile(r"(?<!^)(?<!\s)(?=[A-Z])"), " "),
    (re.compile(r"([!?….,\s\-])[!?….,\-]+"), r"\1"),
)


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(char for char in decomposed if unicodedata.category(char) != "Mn")


def normalize(text: str) -> str:
    """Write out numbers and signs, and keep nothing but letters, spaces and `' . , ? ! -`.

    Args:
        text: English text.
    """
    text = text.translate(_CJK_MARKS)
    for pattern, replacement in _NUMBER_RULES:
        text = pattern.sub(replacement, text)
    text = _without_accents(text).replace("%", " percent")
    text = _UNREADABLE.sub("", text)
    for pattern, replacement in _LETTER_RULES:
        text = pattern.sub(replacement, text)
    return text
