"""A normalisation rule, and the vocabulary that official and corrected rules share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from sovits_runtime.text.zh.numbers import read_cardinal, read_digits

NUMBER: Final = r"\d+(?:\.\d+)?"
SUPERSCRIPTS: Final = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ", "零一二三四五六七八九xyn", strict=True))
_NUMBER_SIGN: Final = re.compile(f"[ -~{''.join(SUPERSCRIPTS)}]")
OPERATORS: Final = {"+": "加", "-": "减", "×": "乘", "÷": "除", "=": "等于"}
# In this order: the original replaces them one after the other.
UNITS: Final = {
    "cm2": "平方厘米",
    "cm²": "平方厘米",
    "cm3": "立方厘米",
    "cm³": "立方厘米",
    "cm": "厘米",
    "db": "分贝",
    "ds": "毫秒",
    "kg": "千克",
    "km": "千米",
    "m2": "平方米",
    "m²": "平方米",
    "m³": "立方米",
    "m3": "立方米",
    "ml": "毫升",
    "m": "米",
    "mm": "毫米",
    "s": "秒",
}
CHARACTER_NAMES: Final = {
    **dict(zip("①②③④⑤⑥⑦⑧⑨⑩", "一二三四五六七八九十", strict=True)),
    **dict.fromkeys("α", "阿尔法"),
    **dict.fromkeys("β", "贝塔"),
    **dict.fromkeys("γΓ", "伽玛"),
    **dict.fromkeys("δΔ", "德尔塔"),
    **dict.fromkeys("ε", "艾普西龙"),
    **dict.fromkeys("ζ", "捷塔"),
    **dict.fromkeys("η", "依塔"),
    **dict.fromkeys("θΘ", "西塔"),
    **dict.fromkeys("ι", "艾欧塔"),
    **dict.fromkeys("κ", "喀帕"),
    **dict.fromkeys("λΛ", "拉姆达"),
    **dict.fromkeys("μ", "缪"),
    **dict.fromkeys("ν", "拗"),
    **dict.fromkeys("ξΞ", "克西"),
    **dict.fromkeys("ο", "欧米克伦"),
    **dict.fromkeys("πΠ", "派"),
    **dict.fromkeys("ρ", "肉"),
    **dict.fromkeys("ςσΣ", "西格玛"),
    **dict.fromkeys("τ", "套"),
    **dict.fromkeys("υ", "宇普西龙"),
    **dict.fromkeys("φΦ", "服艾"),
    **dict.fromkeys("χ", "器"),
    **dict.fromkeys("ψΨ", "普赛"),
    **dict.fromkeys("ωΩ", "欧米伽"),
}


@dataclass(frozen=True)
class Rule:
    """Text that a pattern finds is replaced by what `read` says.

    Attributes:
        pattern: Where the rule applies.
        read: What is spoken there.
        repeat: Apply until nothing is found, for chains whose parts are shared by two matches.
    """

    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], str]
    repeat: bool = False

    def apply(self, text: str) -> str:
        """Text with every match replaced."""
        text = self.pattern.sub(self.read, text)
        while self.repeat and self.pattern.search(text):
            text = self.pattern.sub(self.read, text)
        return text


def rule(pattern: str, read: Callable[[re.Match[str]], str], *, repeat: bool = False) -> Rule:
    """Compile a rule; digits are 0 to 9 only."""
    return Rule(re.compile(pattern, re.ASCII), read, repeat)


def apply_rules(text: str, rules: Iterable[Rule]) -> str:
    """Apply rules one after the other."""
    for each in rules:
        text = each.apply(text)
    return text


def has_numbers(text: str) -> bool:
    """Whether any number rule can apply: they all look for an ASCII character or a superscript."""
    return _NUMBER_SIGN.search(text) is not None


def read_date(match: re.Match[str]) -> str:
    """Year digit by digit, month and day as numbers. Groups: year, month, day, and mark (日 or 号) if present."""
    parts = match.groupdict()
    spoken = read_digits(parts["year"]) + "年"
    if parts["month"]:
        spoken += read_cardinal(parts["month"]) + "月"
    if parts["day"]:
        spoken += read_cardinal(parts["day"]) + (parts.get("mark") or "日")
    return spoken


def read_clock(hour: str, minute: str, second: str | None, half: bool) -> str:
    """A time of day; zero minutes and seconds are left out."""
    spoken = read_cardinal(hour) + "点"
    if int(minute):
        spoken += "半" if half else _read_sixtieths(minute) + "分"
    if second and int(second):
        spoken += _read_sixtieths(second) + "秒"
    return spoken


def _read_sixtieths(digits: str) -> str:
    return ("零" if digits.startswith("0") else "") + read_cardinal(digits)


def read_power(match: re.Match[str]) -> str:
    """A run of superscripts."""
    return "的" + "".join(SUPERSCRIPTS[char] for char in match[0]) + "次方"
