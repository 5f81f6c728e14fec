"""Ranges from one number to another, and numbers that stand side by side."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.spelling import Kind

_NUM: Final = say.NUMBER
_RANGE: Final = re.compile(
    rf"(?<![\w./-])(?P<first>{_NUM})(?P<unit>%|°|\s?percent)?(?P<sign>\s?[–—~]\s?|-)(?P<last>{_NUM})(?![\d]"
    rf"|[-–][\dA-Za-z]|[.,/:]\d)"
)
_UNIT_RANGE: Final = re.compile(
    r"(?<![\w./-])(\d[\d,.]{0,12}\s?(?:°[CF]?|kg|km|cm|mm|m|g|mg|ml|mL|L|lbs?|oz|ft|in|mi|GB|MB|TB|Hz|kHz|MHz|GHz|V|W|mph"
    r"|hrs?|h|mins?|s|secs?|yrs?|days?|years?|months?|weeks?))\s?[-–]\s?(?=\d)"
)
_SPACED_RANGE: Final = re.compile(
    rf"(?<![\w./-])(?P<first>{_NUM})(?P<unit>%|°)?(?P<sign>\s-\s)(?P<last>{_NUM})(?![\d]|[-–][\d]|[.,/:]\d"
    rf"|\s?[=+×÷*])"
)
_YEARS: Final = re.compile(
    r"(?<![\w.,$£€/-])(?P<first>1[0-9]\d\d|20\d\d)\s?[-–—/]\s?(?P<last>1[0-9]\d\d|20\d\d|\d\d)(?![\w%]"
    r"|[-–][\dA-Za-z]|[.,/:]\d)"
)
_YEARS_OPEN: Final = re.compile(r"(?<=\()(?P<first>1[0-9]\d\d|20\d\d)\s?[-–—]\s?(?=\))")
_LETTER_RANGES: Final = re.compile(r"(?<![\w'-])(A-Z|a-z|A-F|A-D|A-C)(?![\w'-])")
_THE: Final = re.compile(r"\b(?:the|a|an|your|my|his|her|their|our)\s\Z", re.IGNORECASE)
_HALVES: Final = re.compile(
    r"\s(?:split|chance|chances|shot|odds|share|basis|vision|partner|deal|mix|hindsight)\b"
)


def _before(match: Match[str], reach: int = 32) -> str:
    return match.string[max(0, match.start() - reach) : match.start()]


def _years(match: Match[str]) -> str:
    first, last = match["first"], match["last"]
    if len(last) == 2 and ("/" in match[0]) and int(last) != (int(first) + 1) % 100:
        return match[0]
    if len(last) == 2 and int(last) <= int(first[2:]):
        return match[0]
    said = say.year(last) if len(last) == 4 else f"{'oh ' if last[0] == '0' else ''}{say.whole(last)}"
    return f"{say.year(first)} to {said}"


def _range(match: Match[str]) -> str:
    first, last, unit = match["first"], match["last"], match["unit"] or ""
    low, high = first.replace(",", ""), last.replace(",", "")
    if match["sign"] == "-" and ("." in low and "." in high and low.count(".") > 1):
        return match[0]
    if unit and match.string[match.end() : match.end() + 8].lstrip()[:1] in ("%", "°", "p"):
        unit = ""
    two = len(low) == len(high) == 2 and (low + high).isdigit() and "–" not in match["sign"]
    balanced = two and int(low) + int(high) == 100
    halves = balanced and (_HALVES.match(match.string, match.end()) or _THE.search(_before(match)))
    if halves or (low == high and low != "1"):
        return f"{say.number(first)} {say.number(last)}"
    return f"{first}{unit} to {last}"


def _spaced_range(match: Match[str]) -> str:
    return f"{match['first']}{match['unit'] or ''} to {match['last']}"


RANGES: Final = Kind(
    "ranges",
    "3-5 days, 1990-1995, 10–20%, A-Z: from one to the other; 50-50 and 3-year-old stay as they are",
    (
        (_YEARS, _years),
        (_YEARS_OPEN, lambda match: f"{say.year(match['first'])} to now"),
        (re.compile(r"(?<=\d)(st|nd|rd|th)\s?[-–]\s?(?=\d{1,4}(?:st|nd|rd|th)\b)"), r"\1 to "),
        (_UNIT_RANGE, r"\1 to "),
        (_RANGE, _range),
        (_SPACED_RANGE, _spaced_range),
        (_LETTER_RANGES, lambda match: f"{match[0][0].upper()} to {match[0][2].upper()}"),
    ),
)
