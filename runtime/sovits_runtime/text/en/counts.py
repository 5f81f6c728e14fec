"""Years, large numbers, and all numbers that are left."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.spelling import Kind

_NUM: Final = say.NUMBER
_YEAR_BEFORE: Final = re.compile(
    r"\b(?:in|since|by|from|of|year|years|until|till|before|after|early|late|mid|spring|summer|autumn|fall"
    r"|winter|circa|during|class"
    r"|between|around|through|to|and|or|born|died|founded|established|ad|the|this|that|season|edition|model"
    r"|copyright|next|last"
    r"|[A-Z][a-z]+'s|©|january|february|march|april|may|june|july|august|september|october|november"
    r"|december)[,\s(-]+\Z",
    re.IGNORECASE,
)
_COUNT_BEFORE: Final = re.compile(
    r"\b(?:about|over|nearly|almost|some|than|only|least|most|exactly|approximately|roughly|up\sto|all|these"
    r"|those|another|contains?"
    r"|sold|has|have|had|with|number|another|ran|walked|weighs?|costs?|scored|times|plus|minus|equals|total"
    r"|totals|paid|needs?"
    r"|population|of\sover|got|took|holds?|seats?|under|above|below|worth|every|per|for)\s\Z",
    re.IGNORECASE,
)
_PEOPLE: Final = (
    r"\s(?:more\s|new\s|other\s|different\s|free\s|square\s|small\s|large\s|big\s|extra\s)?"
    r"(?:(?!is\b|was\b|has\b|as\b|this\b|us\b|yes\b|always\b|perhaps\b|does\b|goes\b|its\b|his\b|sales\b"
    r"|elections\b|games\b)[a-z]{2,}s"
    r"|people|men|women|children|percent|feet|fish|sheep|per|dollars)\b"
)
_COUNTED: Final = re.compile(_PEOPLE)
_STRONG_YEAR: Final = re.compile(
    r"\b(?:in|since|year|until|till|born|died|founded|circa|early|late|mid|class\sof|back\sin)[\s(-]+\Z", re.I
)
_DECADE: Final = re.compile(r"(?<![\w.,$£€])'?(?P<digits>\d{1,3}0)'?s\b")
_SHORT_YEAR: Final = re.compile(r"(?<![\w'])'(?P<digits>\d\d)(?![\w'%]|[.,:]\d)")
_ERA: Final = re.compile(
    r"(?<![\w.,])(?P<digits>\d{1,4})(?=\s?(?:BCE?|CE|AD)\b)|(?<=\bAD\s)(?P<after>\d{1,4})(?![\w]|[.,]\d)"
)
_YEAR: Final = re.compile(
    r"(?<![\w.,$£€+])(?<!\d-)(?P<digits>1[1-9]\d\d|10\d\d|2[0-9]\d\d)(?![\w%]|[.,:]\d|\s?(?:million|billion|thousand)\b)"
)
_BIG: Final = re.compile(
    rf"(?<![\w.,$£€])(?P<number>{_NUM})(?P<scale>[kKMB]|\s?(?:bn|mn|mil|tn))(?P<plus>\+?)(?![A-Za-z\d])"
)
_SPACED_BIG: Final = re.compile(
    r"(?<![\w.,])\d{1,3}(?:(?:[ \u00a0\u2009\u202f]\d{3}){2,}|[ \u00a0\u2009\u202f]000|(?:'\d{3})+)(?![\w]|[.,]\d)"
)
_SCALES: Final = {
    "k": "thousand", "K": "thousand", "M": "million", "B": "billion", "bn": "billion", "mn": "million",
    "mil": "million",
    "tn": "trillion",
}  # fmt: skip
_DISPLAY: Final = re.compile(
    r"\s(?:TV|TVs|video|videos|monitor|monitors|screen|display|resolution|camera|footage|movie|film|run|race"
    r"|UHD|at|and)\b|$|[.,]"
)
_NUMBER: Final = re.compile(_NUM)


def _before(match: Match[str], reach: int = 32) -> str:
    return match.string[max(0, match.start() - reach) : match.start()]


def _decade(match: Match[str]) -> str:
    digits = match["digits"]
    return say.decade(digits)


def _short_year(match: Match[str]) -> str:
    digits = match["digits"]
    return f"oh {say.whole(digits)}" if digits[0] == "0" else say.whole(digits)


def _year(match: Match[str]) -> str:
    digits, before = match["digits"], _before(match)
    if digits == "2000":
        return "two thousand"
    strong = _STRONG_YEAR.search(before) is not None
    named = _YEAR_BEFORE.search(before) is not None
    counted = _COUNTED.match(match.string, match.end()) is not None
    value = int(digits)
    if strong or (named and not counted):
        return say.year(digits)
    if counted or _COUNT_BEFORE.search(before) or value < 1100 or value >= 2100:
        return say.whole(digits)
    return say.year(digits)


def _team(match: Match[str]) -> str:
    words = say.whole(match[1])
    return f"{words}{'rs' if words.endswith('e') else 'ers'}"


def _big(match: Match[str]) -> str:
    number, scale = match["number"], match["scale"].strip()
    follows = match.string[match.end() : match.end() + 20]
    if scale == "K" and number in ("4", "8", "2", "5", "10") and _DISPLAY.match(follows) and number != "10":
        return f"{say.number(number)} K"
    counted = _COUNTED.match(match.string, match.end()) is not None
    if "." not in number and not counted and (scale == "B" or (scale in "KM" and len(number) < 2)):
        return match[0]
    plus = " plus" if match["plus"] else ""
    return f"{say.number(number)} {_SCALES[scale]}{plus}"


YEARS: Final = Kind(
    "years",
    "1905, the 1990s, '98, 500 BC: numbers that are years, in pairs",
    (
        (_DECADE, _decade),
        (_SHORT_YEAR, _short_year),
        (_ERA, lambda match: say.year(match["digits"] or match["after"])),
        (_YEAR, _year),
    ),
)
BIG_NUMBERS: Final = Kind(
    "big-numbers",
    "10k, 2.5M users, 1 000 000: thousands and more",
    ((_BIG, _big), (_SPACED_BIG, lambda match: say.whole(re.sub(r"\D", "", match[0])))),
)
NUMBERS: Final = Kind(
    "numbers",
    "7, 3.14, 1,250.5, 3-year-old, PS5: all other numbers",
    (
        (re.compile(r"(?<=\d)-(?=[A-Za-z])|(?<=[A-Za-z])-(?=\d)"), " "),
        (re.compile(r"(?<=[A-Za-z])\.(?=\d)"), " point "),
        (re.compile(r"(?<![\w.,])(\d{1,4})ers\b"), _team),
        (re.compile(r"(?<=[A-Za-z])(?=\d)"), " "),
        (re.compile(r"(?<![\w.,])(\d{3})(?=[A-Z]\b)"), lambda match: f"{say.in_pairs(match[1])} "),
        (re.compile(rf"(?<![\d.])({_NUM})(?=[A-Za-z])"), lambda match: f"{say.number(match[1])} "),
        (_NUMBER, lambda match: say.number(match[0])),
    ),
)
