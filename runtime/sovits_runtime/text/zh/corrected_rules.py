"""Number rules without the plain misreadings of the original. `corrections.CORRECTIONS` lists the differences."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from sovits_runtime.text.zh.numbers import read_cardinal, read_digits, read_number
from sovits_runtime.text.zh.package_data import measure_word_pattern
from sovits_runtime.text.zh.rules import (
    DICTATED_LABELS,
    NUMBER,
    OPERATORS,
    SUPERSCRIPTS,
    UNITS,
    Rule,
    apply_rules,
    read_clock,
    read_date,
    read_power,
    rule,
)

_UNITS: Final = {
    **UNITS,
    "ds": "分秒",
    "ms": "毫秒",
    "mg": "毫克",
    "g": "克",
    "h": "小时",
    "min": "分钟",
    "km/h": "千米每小时",
    "m/s": "米每秒",
    "KG": "千克",
    "KM": "千米",
    "CM": "厘米",
    "MM": "毫米",
    "mL": "毫升",
    "dB": "分贝",
}
_UNIT: Final = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_DEGREE: Final = "°C|℃|摄氏度|度"
_CLOCK: Final = r"(?P<hour{0}>[01]?\d|2[0-4]):(?P<minute{0}>[0-5]\d)(?::(?P<second{0}>[0-5]\d))?"
_POWERS: Final = f"[{''.join(SUPERSCRIPTS)}]"
_OPERAND: Final = rf"(?:{NUMBER}|(?<![A-Za-z])[A-Za-z](?![A-Za-z])){_POWERS}*"
_MORE_MEASURE_WORDS: Final = "次遍倍种番点"
_ER_NOT_LIANG: Final = frozenset("月日号年世两")
_DICTATED_AFTER: Final = re.compile(f"(?:{DICTATED_LABELS})[是为]?$")
_DICTATED_BEFORE: Final = re.compile("室|房|号楼|路公交|次列车|航班|高地")
_LONGEST_QUANTITY: Final = 8
_PHONE_DIGITS: Final = 7


def _read_year(match: re.Match[str]) -> str:
    """Two digits are a year from 70 on, before 10, or before a month; else a number of years."""
    year = match["year"]
    is_year = len(year) == 4 or match["month"] or not 10 <= int(year) < 70
    if match["decade"] or not is_year:
        return (
            read_cardinal(year)
            + "年"
            + (match["decade"] or "")
            + match[0].partition("年")[2].removeprefix("代")
        )
    return read_date(match)


def _read_time(match: re.Match[str], part: int = 1) -> str:
    minute = match[f"minute{part}"]
    return read_clock(match[f"hour{part}"], minute, match[f"second{part}"], int(minute) == 30)


def _is_phone(groups: list[str]) -> bool:
    if sum(map(len, groups)) < _PHONE_DIGITS:
        return False
    first, second = groups[0], groups[1]
    if len(groups) > 2 or first.startswith(("0", "+")):
        return True
    return len(first) == len(second) == 4 and not (first.endswith("0") and second.endswith("0"))


def _read_phone_groups(match: re.Match[str]) -> str:
    groups = match[0].split("-")
    return _dictate(match) if _is_phone(groups) else match[0]


def _dictate(match: re.Match[str]) -> str:
    return "，".join(read_digits(part, one="幺") for part in match[0].lstrip("+").split("-"))


def _read_quantity(number: str) -> str:
    spoken = read_number(number)
    return "两" + spoken[1:] if re.match("二[千万亿]", spoken) else spoken


def _read_measured(match: re.Match[str]) -> str:
    number = _read_quantity(match[2])
    more = "多" if match[3] == "+" else match[3] or ""
    ordinal = bool(match[1]) or match[4] in _ER_NOT_LIANG
    return f"{match[1]}{'两' if number == '二' and not ordinal else number}{more}{match[4]}"


def _read_version(match: re.Match[str]) -> str:
    parts = match[0].split(".")
    return "点".join(map(read_cardinal if len(parts) == 3 else read_digits, parts))


def _read_bare(match: re.Match[str]) -> str:
    """A number without a measure word: dictated where it names something, else a quantity."""
    digits = match[1]
    before, after = match.string[: match.start()], match.string[match.end() :]
    named = _DICTATED_AFTER.search(before[-8:]) or (len(digits) > 2 and _DICTATED_BEFORE.match(after))
    if named or len(digits) > _LONGEST_QUANTITY or (digits.startswith("0") and len(digits) > 1):
        return read_digits(digits, one="幺")
    if re.fullmatch("(?:19|20)(?!00)..", digits):
        return read_digits(digits)
    return _read_quantity(digits) + ("多" if match[2] else "")


@lru_cache(maxsize=1)
def _rules() -> tuple[Rule, ...]:
    measure = f"([{_MORE_MEASURE_WORDS}]|{measure_word_pattern()[1:-1]})"
    unnamed_measure = f"(?:{measure[1:-1]})"
    return (
        rule(r"(?<!\d)(\d{4})[-~](\d{4})(?=年)", lambda m: f"{read_digits(m[1])}到{read_digits(m[2])}"),
        rule(
            r"(?<!\d)(?P<year>\d{4}|\d\d)年(?P<decade>代)?(?:(?P<month>0?[1-9]|1[0-2])月)?"
            r"(?:(?P<day>0?[1-9]|[12]\d|3[01])(?P<mark>[日号]))?",
            _read_year,
        ),
        rule(
            r"(?<![\d.])(?P<year>\d{4})([-/.])(?P<month>0?[1-9]|1[012])\2(?P<day>0?[1-9]|[12]\d|3[01])(?![\d.])",
            read_date,
        ),
        rule(
            rf"(?<![\d:]){_CLOCK.format(1)}[~-]{_CLOCK.format(2)}(?![\d:])",
            lambda match: f"{_read_time(match, 1)}至{_read_time(match, 2)}",
        ),
        rule(rf"(?<![\d:]){_CLOCK.format(1)}(?![\d:])", _read_time),
        rule(rf"({NUMBER}):(?={NUMBER})", lambda match: match[1] + "比"),
        rule(r"(?<![\d.+×÷*=-])\+?\d{2,4}(?:-\d{3,8})+(?![\d.=-])", _read_phone_groups),
        rule(r"(?<![\d.])(?:\+?86)?1[3-9]\d{9}(?![\d.])|(?<!\d)400\d{7}(?!\d)", _dictate),
        rule(
            rf"(?<![\d.])[1-9]\d{{3,4}}(?<!0)\d{{3}}(?!\d|\.\d|000|[%多余几万亿+]|{_UNIT}|{unnamed_measure})",
            _dictate,
        ),
        rule(
            rf"(?<![\d.+×÷*=A-Za-z-])(-?{NUMBER}(?:%|{_DEGREE}|{_UNIT}|{unnamed_measure})?)(?:~(-?)|-())"
            rf"(?={NUMBER}(?![\d.]*{_POWERS}*[+×÷*=-]))",
            lambda match: f"{match[1]}到{match[2] or ''}",
        ),
        rule(
            rf"(?<![\d.])(-?)({NUMBER})(?:{_DEGREE})",
            lambda m: f"{'零下' if m[1] else ''}{read_number(m[2])}度",
        ),
        rule(rf"(?<=\d)({_UNIT})(?![A-Za-z\d])", lambda match: _UNITS[match[1]]),
        rule(
            rf"({_OPERAND})([-+×÷=*])(?=-?{_OPERAND})",
            lambda match: match[1] + OPERATORS.get(match[2], "乘"),
            repeat=True,
        ),
        rule(f"{_POWERS}+", read_power),
        rule(
            r"(?<![\d./])(-?)(\d+)/(\d+)(?![\d./])",
            lambda m: f"{'负' if m[1] else ''}{read_cardinal(m[3])}分之{read_cardinal(m[2])}",
        ),
        rule(
            rf"(?<![\d.])(-?)({NUMBER})([%‰])",
            lambda m: f"{'负' if m[1] else ''}{'百' if m[3] == '%' else '千'}分之{read_number(m[2])}",
        ),
        rule(r"\d+(?:\.\d+){2,}", _read_version),
        rule(rf"(?<![A-Za-z\d])-(?={NUMBER})", lambda _: "负"),
        rule(r"(?<=[A-Za-z])[-+]+|-$|^-", lambda _: ""),
        rule(r"(\d)([万亿多]?)" + measure + r"/(?=[\u4e00-\u9fff])", lambda m: f"{m[1]}{m[2]}{m[3]}每"),
        rule(r"\d+\.\d+|\.\d+", lambda match: read_number(match[0])),
        rule(rf"(第?)(\d+)([多余几+])?{measure}", _read_measured),
        rule(r"(\d+)(\+(?!\d))?", _read_bare),
        rule("[-/]", lambda _: "，"),
        rule("=", lambda _: "等于"),
    )


def read_numbers(text: str) -> str:
    """Write out every number of one clause.

    Raises:
        TextError: zh-normalization is not installed.
    """
    return apply_rules(text, _rules())
