"""Korean dates, times of day and durations."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.ko.numbers import native, sino
from sovits_runtime.text.spelling import Kind

_MONTHS: Final = {6: "유", 10: "시"}
_WEEKDAY: Final = r"\s?\((?P<weekday>[월화수목금토일])(?:요일)?\)"
_RANGE: Final = r"\s?[-~∼〜～–]\s?"
_YEAR_DATE: Final = re.compile(
    r"(?<![\d.])(?P<year>\d{4}|(?<=')\d{2})(?P<mark>[-/.])\s?0?(?P<month>1[0-2]"
    r"|[1-9])(?P=mark)\s?0?(?P<day>[12]\d|3[01]|[1-9])"
    r"(?!\d)(?:\.(?=[^\d\s]|\s*[(\d가-힣]))?"
)
_HOLIDAY: Final = (
    r"(?:식목일|어린이날|어버이날|스승의 ?날|현충일|제헌절|광복절|개천절|한글날|성탄절|크리스마스|삼일절|신정|설날"
    r"|추석|동지|할로윈"
    r"|[가-힣]의 날|(?:발렌타인|밸런타인|화이트|빼빼로) ?데이)"
)
_DAY_OF: Final = (
    r"(?:[가-힣]{1,8}\s){0,2}(?:[가-힣]{0,8})(?:생일|기념일|공휴일|휴일|마감일?|시험|회의|개강|종강|개학|방학|[가-힣]식|수능|면접|발표|제사)"
    r"(?=이다|이야|이에|이었|였|입니|예요|이라|일까|[.,!?]|\s*$)"
)
_NAMED_DAY: Final = re.compile(
    r"(?<![\d./])0?(?P<month>1[0-2]|[1-9])/0?(?P<day>[12]\d|3[01]|[1-9])(?![\d/]|\.\d|\s?[+×÷=])"
    rf"(?=(?:[은는이가],?|,)?\s?{_HOLIDAY}|[은는]\s?{_DAY_OF})(?P<particle>[는가]?)"
)
_SHORT_DATE: Final = re.compile(
    r"(?<![\d./])0?(?P<month>1[0-2]|[1-9])/0?(?P<day>[12]\d|3[01]|[1-9])(?![\d/.]|\s?[+×÷=])"
    rf"(?={_WEEKDAY.replace('?P<weekday>', '')}|까지|부터|일자|\s?(?:오전|오후|개봉|출시|마감|공연|오픈)"
    rf"|{_RANGE}\d{{1,2}}/\d)"
)
_NAMED_DATE: Final = re.compile(
    r"(?P<name>(?:마감|생일|회의|시험|기한|기간|날짜|일정|일시|개봉|출시|공연|결혼식|졸업식|입학식|면접|발표|개강|종강|방학|휴일|기념일|제사)일?"
    r"(?:은|는|이|가|:)\s?)0?(?P<month>1[0-2]|[1-9])/0?(?P<day>[12]\d|3[01]|[1-9])(?![\d/.]\d|\s?[+×÷=])"
)
_SHORT_DATE_END: Final = re.compile(
    rf"(?<=[일요])(?P<range>{_RANGE})0?(?P<month>1[0-2]|[1-9])/0?(?P<day>[12]\d|3[01]|[1-9])(?![\d/])"
)
_WEEKDAY_AFTER: Final = re.compile(rf"(?<=일){_WEEKDAY}")
_MEMORIAL: Final = re.compile(
    r"(?<![\d.·])(?:3·1|4·19|4·3|5·16|5·18|6·10|6·25|8·15|10·26|12·12)(?![\d·])"
    r"|(?<![\d.])(?:3\.1|4\.19|4\.3|5\.16|5\.18|6\.10|6\.25|8\.15|10\.26|12\.12)"
    r"(?=\s?(?:절|운동|혁명|민주|전쟁|광복|사변|사태|정변|쿠데타|항쟁|의거))"
)
_MONTH_RANGE: Final = re.compile(
    rf"(?<![\d.])0?(?P<low>1[0-2]|[1-9]){_RANGE}0?(?P<high>1[0-2]|[1-9])(?P<space> ?)월(?!드)"
)
_MONTH: Final = re.compile(r"(?<![\d.,])0?(?P<month>1[0-2]|[1-9])(?P<space> ?)월(?!드)")
_MONTHS_LISTED: Final = re.compile(r"(?<![\d.,])(?P<month>1[0-2]|[1-9]),\s?(?=(?:1[0-2]|[1-9])\s?월(?!드))")
_SHORT_YEAR: Final = re.compile(r"['’‘](?P<year>\d{2})(?=\s?년)")
_SHORT_YEAR_ALONE: Final = re.compile(r"(?<![\w])['’‘](?P<year>\d{2})(?![\d'’])")

_CLOCK: Final = re.compile(
    r"(?<![\d:.])(?:(?P<half>오전|오후|[AaPp]\.?[Mm]\.?)\s?)?0?(?P<hour>2[0-4]|1\d|\d):(?P<minute>[0-5]\d)"
    r"(?::(?P<second>[0-5]\d))?(?![\d:])(?:\s?(?P<after>[AaPp]\.?[Mm](?![A-Za-z])\.?))?"
    r"(?!\s?(?:으?로\s?(?:이기|이겼|졌|지고|승|패|비|앞|뒤|역전|완승|리드)))"
)
_HOUR_HALF: Final = re.compile(
    r"(?<![\d:.A-Za-z])(?:(?P<before>[AaPp]\.?[Mm]\.?)\s?(?P<hour>1[0-2]|\d)(?=\s?시)|(?P<hour2>1[0-2]"
    r"|\d)\s?(?P<after>[AaPp]\.?[Mm])(?![A-Za-z])\.?)"
)
_HOURS: Final = re.compile(
    rf"(?<![\d:.,])(?:0?(?P<low>2[0-4]|1\d|\d)(?P<mark>{_RANGE}))?0?(?P<hour>2[0-4]|1\d|\d)(?P<space> ?)시"
    r"(?!간|즌|대(?!에)|리즈|스|켈|장|민|험|작|합|도(?=[^\s]))"
)
_HALVES: Final = {"a": "오전", "p": "오후"}
_LARGEST_NATIVE_HOUR: Final = 12


def month(value: str) -> str:
    """Name of a month without 월: 유 for June, 시 for October.

    Args:
        value: Digits.
    """
    return _MONTHS.get(int(value)) or sino(str(int(value)))


def _day(month_digits: str, day: str) -> str:
    return f"{month(month_digits)}월 {sino(str(int(day)))}일"


def _named_day(match: Match[str]) -> str:
    """A day with the particle that goes with 일, whatever the writer had in mind."""
    return _day(match["month"], match["day"]) + {"는": "은", "가": "이", "": ""}[match["particle"]]


def _year_date(match: Match[str]) -> str:
    return f"{sino(match['year'])}년 {_day(match['month'], match['day'])}"


def _hour(value: str) -> str:
    hour = int(value)
    return native(hour) if 1 <= hour <= _LARGEST_NATIVE_HOUR else sino(str(hour))


def _clock(match: Match[str]) -> str:
    half = match["half"] or match["after"] or ""
    words = [_HALVES.get(half[:1].lower(), half), f"{_hour(match['hour'])}시"]
    if int(match["minute"]) or match["second"]:
        words.append(f"{sino(str(int(match['minute'])))}분")
    if match["second"]:
        words.append(f"{sino(str(int(match['second'])))}초")
    return " ".join(filter(None, words))


def _hours(match: Match[str]) -> str:
    low = f"{_hour(match['low'])}시에서 " if match["low"] else ""
    return f"{low}{_hour(match['hour'])}{match['space']}시"


def _hour_half(match: Match[str]) -> str:
    half = _HALVES[(match["before"] or match["after"])[0].lower()]
    return f"{half} {_hour(match['hour'])}" if match["hour"] else f"{half} {_hour(match['hour2'])}시"


def _memorial(match: Match[str]) -> str:
    """A day that history knows by its numbers: 6·25 is 육이오."""
    first, second = re.split("[.·]", match[0])
    return sino(first) + (sino(second) if first == second else "".join(map(sino, second)))


DATES: Final = Kind(
    "dates",
    "2023/07/08 is 이천이십삼년 칠월 팔일, 6월 유월, 10월 시월",
    (
        (_YEAR_DATE, _year_date),
        (_SHORT_DATE, lambda match: _day(match["month"], match["day"])),
        (_NAMED_DAY, _named_day),
        (_NAMED_DATE, lambda match: match["name"] + _day(match["month"], match["day"])),
        (_SHORT_DATE_END, lambda match: f"에서 {_day(match['month'], match['day'])}"),
        (_WEEKDAY_AFTER, r" \g<weekday>요일"),
        (_MEMORIAL, _memorial),
        (_MONTH_RANGE, lambda match: f"{month(match['low'])}월에서 {month(match['high'])}{match['space']}월"),
        (_MONTHS_LISTED, lambda match: f"{month(match['month'])}, "),
        (_MONTH, lambda match: f"{month(match['month'])}{match['space']}월"),
        (_SHORT_YEAR, lambda match: sino(str(int(match["year"])) if match["year"] != "00" else "0")),
        (_SHORT_YEAR_ALONE, lambda match: "".join(map(sino, match["year"]))),
    ),
)
TIMES: Final = Kind(
    "times-of-day",
    "12:30 is 열두시 삼십분, 9시 아홉시, 18시 십팔시",
    (
        (re.compile(rf"{_CLOCK.pattern}{_RANGE}(?=\d{{1,2}}:\d\d)"), lambda match: f"{_clock(match)}에서 "),
        (_CLOCK, _clock),
        (_HOUR_HALF, _hour_half),
        (_HOURS, _hours),
    ),
)
