"""Fractions, marks out of ten, and ordinal numbers."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.spelling import Kind

_RATED: Final = re.compile(
    r"\b(?:give|gave|gives|giving|rate|rated|rating|score|scored|scores|got|get|gets|a|an|solid|is|was|was\sa"
    r"|deserves|at|about"
    r"|honestly|overall|easy|strong|perfect)(?:\s(?:it|him|her|them|us|this|that|me|a|an|you))*:?\s\Z",
    re.IGNORECASE,
)
_OUT_OF: Final = frozenset(("5", "10", "20", "100"))
_MIXED: Final = re.compile(
    r"(?<![\w.,/$£€])(?P<whole>\d{1,6})(?:\s|\sand\s|-)(?P<top>\d{1,2})/(?P<bottom>\d{1,3})(?:ths?|rds?"
    r"|nds?)?(?![\w/]|[.,]\d)"
)
_FRACTION: Final = re.compile(
    r"(?<![\w.,/$£€])(?P<top>\d{1,6})/(?P<bottom>\d{1,6})(?:ths?|rds?|nds?)?(?![\d/A-Za-z]|[.,]\d)"
)
_RATING: Final = re.compile(r"(?<![\w.,/$£€])(\d{1,3}\.\d{1,2})/(\d\.\d|5|10|20|100)(?![\d/A-Za-z]|[.,]\d)")
_ARTICLE: Final = re.compile(r"\b(?:a|an|the|this|that|each|another|every)\s\Z", re.IGNORECASE)
_ORDINAL: Final = re.compile(
    r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)(?:\s?\^)?(?:st|nd|rd|th|ST|ND|RD|TH)(?![A-Za-z])(?=(s?))"
)


def _before(match: Match[str], reach: int = 32) -> str:
    return match.string[max(0, match.start() - reach) : match.start()]


def _mixed(match: Match[str]) -> str:
    top, bottom = match["top"], match["bottom"]
    if int(top) >= int(bottom) or int(bottom) < 2:
        return match[0]
    part = say.part(top, bottom)
    if top == "1":
        part = f"a {part.removeprefix('one ')}" if part != "one eighth" else "one eighth"
    return f"{say.whole(match['whole'])} and {part}"


def _rating(match: Match[str]) -> str:
    return f"{say.number(match[1])} out of {say.number(match[2])}"


def _fraction(match: Match[str]) -> str:
    top, bottom = match["top"].lstrip("0") or "0", match["bottom"].lstrip("0") or "0"
    before = _before(match, 40)
    upper, lower = int(top), int(bottom)
    if (top, bottom) == ("24", "7"):
        return "twenty four seven"
    if upper + lower == 100 or (top, bottom) in (("20", "20"), ("50", "50")):
        return f"{say.whole(top)} {say.whole(bottom)}"
    follows = match.string[match.end() : match.end() + 12]
    if re.match(r"\s(?:time|beat|meter)\b", follows) and lower in (2, 4, 8, 16):
        return f"{say.whole(top)} {say.whole(bottom)}"
    many = (bottom == "10" and upper > 5) or (bottom in ("20", "100") and upper > 9)
    if bottom in _OUT_OF and upper <= lower and (upper == lower or many or _RATED.search(before)):
        return f"{say.whole(top)} out of {say.whole(bottom)}"
    if upper == lower and lower > 1:
        return f"{say.whole(top)} out of {say.whole(bottom)}"
    if (
        lower < 2
        or upper > 99
        or (upper > lower and lower > 16)
        or (lower > 100 and lower not in (1000, 10000, 1000000))
    ):
        return f"{say.whole(top)} over {say.whole(bottom)}"
    return say.part(top, bottom, counted=_ARTICLE.search(before) is not None)


FRACTIONS: Final = Kind(
    "fractions",
    "1/2 cup, 1 1/2 hours, a 10/10, 24/7: parts, and points out of ten",
    ((_MIXED, _mixed), (_RATING, _rating), (_FRACTION, _fraction)),
)
ORDINALS: Final = Kind(
    "ordinals",
    "1st, 22nd, 100th: ordinal numbers",
    ((_ORDINAL, lambda match: say.nth(match[1].replace(",", ""))),),
)
