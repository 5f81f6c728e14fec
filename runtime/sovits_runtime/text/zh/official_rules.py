"""Number rules in the order and with the reach of the original, its misreadings included.

Source: GPT-SoVITS, text/zh_normalization, TextNormalizer.normalize_sentence (after PaddleSpeech).
"""

from __future__ import annotations

import re
from typing import Final

from sovits_runtime.text.extras import once
from sovits_runtime.text.zh.numbers import read_cardinal, read_digits, read_number, read_signed
from sovits_runtime.text.zh.package_data import measure_word_pattern
from sovits_runtime.text.zh.rules import (
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

_VALUE: Final = rf"(?:-?{NUMBER}|\.\d+)"
_CLOCK: Final = r"(?P<hour{0}>[01]?\d|2[0-3]):(?P<minute{0}>[0-5]\d)(?::(?P<second{0}>[0-5]\d))?"
_UNIT: Final = "(?:%|°C|℃|度|摄氏度|" + "|".join(UNITS) + ")"
_POWERS: Final = f"[{''.join(SUPERSCRIPTS)}]"
_OPERAND: Final = rf"(?:-?{NUMBER}{_POWERS}*|\.\d+{_POWERS}*|[A-Za-z]{_POWERS}*)"


def _read_time_range(match: re.Match[str]) -> str:
    half = int(match["minute1"]) == 30
    first = read_clock(match["hour1"], match["minute1"], match["second1"], half)
    return first + "至" + read_clock(match["hour2"], match["minute2"], match["second2"], half)


def _read_time(match: re.Match[str]) -> str:
    return read_clock(match["hour1"], match["minute1"], match["second1"], int(match["minute1"]) == 30)


def _read_temperature(match: re.Match[str]) -> str:
    return ("零下" if match[1] else "") + read_number(match[2]) + "度"


def _read_fraction(match: re.Match[str]) -> str:
    return ("负" if match[1] else "") + f"{read_cardinal(match[3])}分之{read_cardinal(match[2])}"


def _read_percentage(match: re.Match[str]) -> str:
    return ("负" if match[1] else "") + "百分之" + read_number(match[2])


def _read_phone(match: re.Match[str]) -> str:
    return "，".join(read_digits(part, one="幺") for part in re.split("[- ]", match[0].lstrip("+")))


def _read_measured(match: re.Match[str]) -> str:
    number = read_cardinal(match[1])
    more = "多" if match[2] == "+" else match[2] or ""
    return ("两" if number == "二" else number) + more + match[3]


def _read_version(match: re.Match[str]) -> str:
    return "点".join(read_digits(part) for part in match[0].split("."))


_BEFORE_UNITS: Final = (
    rule(
        r"(?P<year>\d{4}|\d\d)年(?:(?P<month>0?[1-9]|1[0-2])月)?"
        r"(?:(?P<day>0?[1-9]|[12]\d|3[01])(?P<mark>[日号]))?",
        read_date,
    ),
    rule(r"(?P<year>\d{4})([- /.])(?P<month>0[1-9]|1[012])\2(?P<day>0[1-9]|[12]\d|3[01])", read_date),
    rule(f"{_CLOCK.format(1)}[~-]{_CLOCK.format(2)}", _read_time_range),
    rule(_CLOCK.format(1), _read_time),
    rule(f"{_VALUE}{_UNIT}~{_VALUE}{_UNIT}", lambda match: match[0].replace("~", "至")),
    rule(rf"(-?)({NUMBER})(?:°C|℃|度|摄氏度)", _read_temperature),
)


@once
def _after_units() -> tuple[Rule, ...]:
    return (
        rule(
            rf"({_OPERAND})([-+×÷=])(?={_OPERAND})",
            lambda match: match[1] + OPERATORS[match[2]],
            repeat=True,
        ),
        rule(f"{_POWERS}+", read_power),
        rule(r"(-?)(\d+)/(\d+)", _read_fraction),
        rule(rf"(-?)({NUMBER})%", _read_percentage),
        rule(r"(?<!\d)(?:\+?86 ?)?1(?:[38]\d|5[0-35-9]|7[678]|9[89])\d{8}(?!\d)", _read_phone),
        rule(r"(?<!\d)(?:0(?:10|2[1-3]|[3-9]\d\d)-?)?[1-9]\d{6,7}(?!\d)", _read_phone),
        rule(r"400-?\d{3}-?\d{4}", _read_phone),
        rule(
            rf"(?<![\d+×÷=-])(-?{NUMBER})[-~](-?{NUMBER})(?![\d+×÷=-])",
            lambda match: f"{read_signed(match[1])}到{read_signed(match[2])}",
        ),
        rule(r"-(\d+)", lambda match: "负" + read_cardinal(match[1])),
        rule(r"\d+\.\d+(?:\.\d+)+", _read_version),
        rule(r"-?\d+\.\d+|\.\d+", lambda match: read_signed(match[0])),
        rule(rf"(\d+)([多余几+])?{measure_word_pattern()}", _read_measured),
        rule(r"\d{3,}", lambda match: read_digits(match[0], one="幺")),
        rule(rf"-?{NUMBER}|\.\d+", lambda match: read_signed(match[0])),
    )


def read_numbers(text: str) -> str:
    """Write out every number of one clause.

    Raises:
        TextError: zh-normalization is not installed.
    """
    text = apply_rules(text, _BEFORE_UNITS)
    for unit, spoken in UNITS.items():
        text = text.replace(unit, spoken)
    return apply_rules(text, _after_units())
