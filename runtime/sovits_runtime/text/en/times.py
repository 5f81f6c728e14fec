"""Times of day and durations."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.en.dotted import ends_sentence
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list

_HALF: Final = r"(?P<half>[AaPp])(?:\.\s?[Mm]\b(?P<stop>\.?)|[Mm]\b(?!\.[A-Za-z]))"
_CLOCK_HALF: Final = re.compile(
    rf"(?<![\w:.,$£€])(?P<hour>\d{{1,2}})(?:[:.](?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?)?\s?{_HALF}"
)
_CLOCK: Final = re.compile(
    r"(?<![\w:.,$£€/])(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d)(?:[.,]\d+)?)?(?P<h>h\b)?"
    r"(?![\d:]|\.\d)(?P<oclock>\s+o'clock\b)?(?P<hours>\s+(?:hours|hrs)\b)?"
)
_COUNTED: Final = frozenset(
    word_list("in time record lasted took runs ran run video song track clip lap finish")
)
_RATIO_BEFORE: Final = re.compile(
    r"\b(?:ratio|ratios|odds|scale|proportion|aspect|mix|score|scored|won|lost|beat|led|lead|drew|result|finished)\s+"
    r"(?:\w+\s+){0,2}\Z",
    re.IGNORECASE,
)
_RATIO_AFTER: Final = re.compile(
    r"\s*(?:ratio|scale|odds|mix|mixture|model|aspect|split|win|loss|victory|defeat|draw|lead|dilution|screen)\b",
    re.IGNORECASE,
)
_BOOKS: Final = (
    "Genesis|Exodus|Leviticus|Numbers|Deuteronomy|Joshua|Judges|Ruth|Samuel|Kings|Chronicles|Ezra|Nehemiah|Esther|Job"
    "|Psalms?|Proverbs|Ecclesiastes|Isaiah|Jeremiah|Lamentations|Ezekiel|Daniel|Hosea|Joel|Amos|Micah|Matthew"
    "|Mark|Luke"
    "|John|Acts|Romans|Corinthians|Galatians|Ephesians|Philippians|Colossians|Thessalonians|Timothy|Titus"
    "|Hebrews|James"
    "|Peter|Jude|Revelation|Surah?|Quran"
)
_VERSE: Final = re.compile(rf"\b({_BOOKS})(\s+)(\d{{1,3}}):(\d{{1,3}})(?:\s?[-–]\s?(\d{{1,3}}))?(?![\d:])")
_TIME_RANGE: Final = re.compile(
    r"(?<![\w:.,/-])(\d{1,2}(?:[:.][0-5]\d)?(?:\s?[AaPp]\.?[Mm]\.?)?)\s?[-–—]\s?"
    r"(?=\d{1,2}(?:[:.][0-5]\d)?\s?[AaPp]\.?[Mm]\b)"
)
_CLOCK_RANGE: Final = re.compile(r"(?<![\d:])(\d{1,2}:[0-5]\d)\s?[-–—]\s?(?=\d{1,2}:[0-5]\d(?![\d:]))")
_RATIO: Final = re.compile(r"(?<![\w:.,])(\d{1,4}(?:\.\d+)?):(\d{1,4}(?:\.\d+)?)(?![\d:]|\.\d)")

_DURATIONS: Final = {
    "h": "hour", "hr": "hour", "hrs": "hour", "hour": "hour", "hours": "hour", "m": "minute", "min": "minute",
    "mins": "minute", "minute": "minute", "minutes": "minute", "s": "second", "sec": "second", "secs": "second",
    "second": "second", "seconds": "second", "ms": "millisecond", "msec": "millisecond", "us": "microsecond",
    "μs": "microsecond", "ns": "nanosecond", "d": "day", "wk": "week", "wks": "week", "mo": "month", "mos": "month",
    "mth": "month", "mths": "month", "yr": "year", "yrs": "year", "y": "year",
}  # fmt: skip
_SECONDS_AFTER: Final = r"(?=\d{1,2}(?:\.\d+)?\s?(?:s|secs?|seconds?)\b)"
_MINUTES_AFTER: Final = r"(?=\d{1,2}\s?(?:m|mins?|minutes?)\b)"
_HOURS_AFTER: Final = r"(?=\d{1,2}\s?(?:h|hrs?|hours?)\b)"
_FIRST_PART: Final = re.compile(
    rf"(?<![\w.,$£€:])(\d{{1,4}})\s?(?:(hours?|hrs?|h)\b\.?,?\s?(?:{_MINUTES_AFTER}|{_SECONDS_AFTER})"
    rf"|(minutes?|mins?|m)\b\.?,?\s?{_SECONDS_AFTER}|(days?|d)\b\.?,?\s?{_HOURS_AFTER})",
    re.IGNORECASE,
)
_H_MINUTES: Final = re.compile(r"(?<![\w.,$:])(\d{1,2})h([0-5]\d)(?:m(?:in)?)?\b", re.IGNORECASE)
_DURATION: Final = re.compile(
    rf"(?<![\w.,/$£€])(?<![A-Za-z]-)({say.NUMBER})(\s?-?\s?)(hrs?|h|mins?|secs?|s|msec|ms|[uμ]s|ns|wks?|mths?"
    rf"|mos?|yrs?)\b(?!['/²^])"
    r"(?P<stop>\.?)"
)
_DECADE: Final = re.compile(r"\d{0,3}0")
_DECADE_BEFORE: Final = re.compile(
    r"(?:\b(?:the|early|late|mid|her|his|my|their|your|our|its)[ -]|')\Z", re.I
)
_DECADE_AFTER: Final = re.compile(
    r"\s(?:music|movies?|kids?|styles?|fashion|rock|pop|hits?|shows?|era|nostalgia|films?|party|child|songs?"
    r"|vibes?|and)\b"
)
_AFTER_LARGER: Final = re.compile(r"\b((?:hour|minute)s?) (\d{1,2})\s?(m|s)\b(?!')")
_SINGULAR_BEFORE: Final = re.compile(
    r"\b(?:an?|the|this|that|his|her|their|our|my|your|its|every|each|per|another)\s\Z", re.I
)
_NOUN_AFTER: Final = re.compile(
    r"\s(?!(?:a|an|the|at|in|on|of|or|and|to|for|from|by|with|ago|later|before|after|is|was|are|were|than|per"
    r"|each|until"
    r"|till|long|old|today|now|then|more|less|left|away|into|as|so|but|if|when|while|because)\b)[A-Za-z]"
)


def _kept_stop(match: Match[str], words: str) -> str:
    """Words with the full stop that the match took, if it ends the sentence."""
    stop = match.start("stop")
    return f"{words}." if match["stop"] and ends_sentence(match.string, stop) else words


def _minutes(minute: str | None) -> str:
    if not minute or minute == "00":
        return ""
    return f" oh {say.whole(minute)}" if minute[0] == "0" else f" {say.whole(minute)}"


def _seconds(second: str | None) -> str:
    if not second:
        return ""
    return f" and {say.whole(second)} second{'' if int(second) == 1 else 's'}"


def _half_day(match: Match[str]) -> str:
    if int(match["hour"]) > 24 or (match["half"].islower() and match[0].endswith("m") and _is_verb(match)):
        return match[0]
    words = f"{say.whole(match['hour'])}{_minutes(match['minute'])}{_seconds(match['second'])}"
    half = f"{words} {match['half'].upper()} M"
    return _kept_stop(match, half) if match["stop"] is not None else half


def _is_verb(match: Match[str]) -> bool:
    """Whether "am" behind a number is a verb, as in "No. 5 am I"."""
    return match[0].endswith(" am") and match.string.startswith(" I ", match.end())


def _counted_time(match: Match[str]) -> str:
    hour, minute, second = match["hour"], match["minute"], match["second"]
    parts = [_count(hour, "hour"), _count(minute, "minute"), _count(second, "second")]
    return " ".join(part for part in parts if part)


def _count(digits: str, name: str) -> str:
    value = int(digits)
    return "" if not value else f"{say.whole(digits)} {name}{'' if value == 1 else 's'}"


def _word_before(match: Match[str]) -> str:
    words = match.string[max(0, match.start() - 24) : match.start()].split()
    return words[-1].lower() if words else ""


def _clock(match: Match[str]) -> str:
    if _looks_like_ratio(match):
        return match[0]
    hour, minute, second = match["hour"], match["minute"], match["second"]
    if second and _word_before(match) in _COUNTED:
        return _counted_time(match)
    hours = " hours" if match["hours"] else ""
    if minute != "00" or second:
        words = "zero" if int(hour) == 0 else say.whole(hour)
        return f"{words}{_minutes(minute)}{_seconds(second)}{hours}"
    if int(hour) in (0, 24) and not hours:
        return "midnight"
    if int(hour) > 12 or hours:
        return f"{say.whole(hour)} hundred{hours}"
    return f"{say.whole(hour)} o'clock"


def _looks_like_ratio(match: Match[str]) -> bool:
    if match["second"]:
        return False
    before = match.string[max(0, match.start() - 40) : match.start()]
    return (
        _RATIO_BEFORE.search(before) is not None or _RATIO_AFTER.match(match.string, match.end()) is not None
    )


def _verse(match: Match[str]) -> str:
    words = f"{match[1]}{match[2]}{say.whole(match[3])} {say.whole(match[4])}"
    return f"{words} to {say.whole(match[5])}" if match[5] else words


def _first_part(match: Match[str]) -> str:
    unit = "hour" if match[2] else "minute" if match[3] else "day"
    return f"{_count(match[1], unit) or f'zero {unit}s'} "


def _hours_minutes(match: Match[str]) -> str:
    return f"{_count(match[1], 'hour') or 'zero hours'} {_count(match[2], 'minute')}".strip()


def _duration(match: Match[str]) -> str:
    unit = _DURATIONS[match[3]]
    before = match.string[max(0, match.start() - 12) : match.start()]
    if (
        match[3] == "s"
        and not match[2]
        and _DECADE.fullmatch(match[1])
        and (
            len(match[1]) > 2
            or _DECADE_BEFORE.search(before)
            or _DECADE_AFTER.match(match.string, match.end())
        )
    ):
        return match[0]
    adjective = "-" in match[2] or (
        _SINGULAR_BEFORE.search(before) is not None
        and _NOUN_AFTER.match(match.string, match.end()) is not None
    )
    single = adjective or match[1] == "1"
    return _kept_stop(match, f"{match[1]} {unit}{'' if single else 's'}")


TIMES_OF_DAY: Final = Kind(
    "times-of-day",
    "10:30 a.m., 15:40, 9-5 pm: hours and minutes; the last stop of a.m. ends the sentence only where one ends",
    (
        (re.compile(r"(?<=\d)T(?=\d\d:\d\d)"), ", "),
        (_VERSE, _verse),
        (_TIME_RANGE, lambda match: f"{match[1].removesuffix(':00')} to "),
        (_CLOCK_RANGE, r"\1 to "),
        (_CLOCK_HALF, _half_day),
        (_CLOCK, _clock),
        (_RATIO, r"\1 to \2"),
    ),
)
DURATIONS: Final = Kind(
    "durations",
    "1h 20min, 90 sec, 5 yrs: numbers of hours, minutes and longer or shorter times",
    (
        (_H_MINUTES, _hours_minutes),
        (_FIRST_PART, _first_part),
        (_AFTER_LARGER, lambda match: f"{match[1]} {_count(match[2], _DURATIONS[match[3]])}"),
        (_DURATION, _duration),
    ),
)
