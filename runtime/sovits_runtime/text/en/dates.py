"""Dates, in figures or with the name of the month."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list

_NAMES: Final = word_list(
    "January February March April May June July August September October November December"
)
_MONTH: Final = "|".join(_NAMES)
_ISO: Final = re.compile(
    r"(?<![\w/.-])(\d{4})([-/.])(0?[1-9]|1[0-2])\2(0?[1-9]|[12]\d|3[01])(?![\w/]|[-.]\d)"
)
_FIGURES: Final = re.compile(r"(?<![\w/.-])(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?![\w/]|[-.]\d)")
_DAY: Final = (
    r"(?P<day>[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?(?![\w%°]|[:.,]\d|\s?(?:percent|%|miles|people|km|kg)\b)"
)
_YEAR: Final = r"(?P<year>\d{4})(?![\w%]|[:.,]\d)"
_MONTH_DAY: Final = re.compile(
    rf"\b(?P<month>{_MONTH})\s+(?P<the>the\s+)?{_DAY}(?:\s?[-–]\s?(?P<last>\d{{1,2}})(?:st|nd|rd|th)?(?![\w:.-]))?"
    rf"(?:(?P<comma>,?)\s+{_YEAR})?"
)
_DAY_MONTH: Final = re.compile(
    rf"(?<![\w.,:/$£€#-])(?P<the>[Tt]he\s+)?(?P<day>[12]\d|3[01]|0?[1-9])(?P<th>st|nd|rd|th)?"
    rf"(?:\s?[-–]\s?(?P<last>[12]\d|3[01]|[1-9])(?:st|nd|rd|th)?)?(?P<of>\s+of)?,?\s+(?P<month>{_MONTH})\b"
    rf"(?:,?\s+{_YEAR})?"
)
_MONTH_YEAR: Final = re.compile(rf"\b(?P<month>{_MONTH}),?\s+(?P<year>[12]\d{{3}})(?![\w%]|[:.,]\d)")
_ON_DAY: Final = re.compile(
    r"\b(?P<before>(?i:on|by|until|till|before|after|since|from|due|dated|date:?|starting|ending|through)\s+)"
    r"(?P<month>0?[1-9]|1[0-2])/(?P<day>[12]\d|3[01]|0?[1-9])(?![\w/%]|[.,]\d)"
)
# Two figures that are hardly a fraction: twelve twenty-fifths.
_BARE_DAY: Final = re.compile(
    r"(?<![\w/.,$£€-])(?P<month>0?[2-9]|1[0-2])/(?P<day>1[3-57-9]|2[1-35-9]|3[01])(?![\w/%-]|[.,]\d)"
)
_QUARTER: Final = re.compile(r"\b(Q[1-4]|H[12]|FY)\s?(?:of\s+)?'?((?:19|20)\d\d)\b")
_SHORT_YEARS: Final = 69


def _year(digits: str) -> str:
    if len(digits) == 2:
        digits = f"{'20' if int(digits) < _SHORT_YEARS else '19'}{digits}"
    return say.year(digits)


def _iso(match: Match[str]) -> str:
    return f"{_NAMES[int(match[3]) - 1]} {say.nth(match[4])}, {_year(match[1])}"


def _figures(match: Match[str]) -> str:
    first, sign, second, year = int(match[1]), match[2], int(match[3]), match[4]
    if sign != "/" and len(year) == 2:
        return match[0]
    day_first = sign == "." or first > 12
    day, month = (first, second) if day_first else (second, first)
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return match[0] if sign == "." else " ".join(map(say.number, (match[1], match[3], match[4])))
    if day_first:
        return f"the {say.nth(str(day))} of {_NAMES[month - 1]}, {_year(year)}"
    return f"{_NAMES[month - 1]} {say.nth(str(day))}, {_year(year)}"


def _month_day(match: Match[str]) -> str:
    if match["month"] in ("May", "March") and _verb(match):
        return match[0]
    words = f"{match['month']} {match['the'] or ''}{say.nth(match['day'])}"
    if match["last"]:
        words += f" to {say.nth(match['last'])}"
    return f"{words}, {say.year(match['year'])}" if match["year"] else words


def _verb(match: Match[str]) -> bool:
    """Whether "May" or "March" starts a question or an order and a number of things follows, as in "May 10 people"."""
    before = match.string[max(0, match.start() - 3) : match.start()].strip()
    after = match.string[match.end() : match.end() + 16]
    return (not before or before[-1] in ".!?") and re.match(r"\s(?:more\s|of\s)?[a-z]+s\b", after) is not None


def _day_month(match: Match[str]) -> str:
    the = match["the"] or ("" if match["th"] and match["of"] else "the ")
    last = f" to {say.nth(match['last'])}" if match["last"] else ""
    year = f", {say.year(match['year'])}" if match["year"] else ""
    return f"{the}{say.nth(match['day'])}{last} of {match['month']}{year}"


def _on_day(match: Match[str]) -> str:
    return f"{match['before']}{_NAMES[int(match['month']) - 1]} {say.nth(match['day'])}"


def _quarter(match: Match[str]) -> str:
    return f"{match[1]} {say.year(match[2])}"


KINDS: Final = (
    Kind(
        "dates",
        "03/14/2021, 2022-07-04, March 8, 2019, 4 July: month, day and year; the month first where both could be it",
        (
            (re.compile(r"(?<![\w/.-])9/11(?![\w/]|[.,]\d)"), "nine eleven"),
            (_ISO, _iso),
            (_FIGURES, _figures),
            (_ON_DAY, _on_day),
            (_BARE_DAY, lambda match: f"{_NAMES[int(match['month']) - 1]} {say.nth(match['day'])}"),
            (_DAY_MONTH, _day_month),
            (_MONTH_DAY, _month_day),
            (_MONTH_YEAR, lambda match: f"{match['month']} {say.year(match['year'])}"),
            (_QUARTER, _quarter),
        ),
    ),
)
