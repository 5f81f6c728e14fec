"""Calculations, comparisons, powers, minus signs and fractions."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.zh.kinds.patterns import HAN, NUMBER, Late, before, rule
from sovits_runtime.text.zh.kinds.quantities import quantity
from sovits_runtime.text.zh.numbers import read_cardinal

_SIGNS: Final = {
    "+": "加",
    "-": "减",
    "×": "乘以",
    "*": "乘以",
    "·": "乘以",
    "÷": "除以",
    "/": "除以",
    "=": "等于",
    "≠": "不等于",
    "≈": "约等于",
    "≒": "约等于",
    "≡": "恒等于",
    "<": "小于",
    ">": "大于",
    "≤": "小于等于",
    "≥": "大于等于",
    "±": "正负",
    "∓": "负正",
    "∝": "正比于",
    "≪": "远小于",
    "≫": "远大于",
}
_SUPERSCRIPTS: Final = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿˣʸ", "0123456789-+nxy", strict=True))
_POWER: Final = f"[{''.join(_SUPERSCRIPTS)}]"
_OPERAND: Final = (
    rf"(?:[(（]{{0,3}}[-√]?(?:{NUMBER}[%‰]?(?:[A-Za-z](?![A-Za-z]))?|(?<![A-Za-z])[A-Za-zα-ωπ]{{1,3}}\d?(?![A-Za-z]))"
    rf"(?:{_POWER}{{1,4}}|\^-?(?:\d{{1,4}}|[a-z])(?![A-Za-z]))?[)）]{{0,3}})"
)
_OPERATOR: Final = r"[-+×*÷/=≠≈≒≡<>≤≥±∓∝≪≫]"
_EXPRESSION: Final = rf"(?<![\d.A-Za-z])(?<!\d,){_OPERAND}(?: ?{_OPERATOR} ?{_OPERAND})+"
_TELLING: Final = re.compile(r"[+×*÷=≠≈≒≡<>≤≥±∓∝≪≫]")
_PLAIN: Final = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_MORE_SIGNS: Final = re.compile(r"[+×*÷-]")
_PARTS_OF_ONE: Final = re.compile(r"(?<![\d./])(\d{1,3})/(\d{1,3})(?![\d./])")
_PIECES: Final = re.compile(rf"(?P<operand>{_OPERAND})|(?P<operator>{_OPERATOR})|(?P<other>[^ ()（）])|.")
_PARENTHESES: Final = str.maketrans("", "", "()（）")
# Names of weapons, rockets and the like, whose number is no negative one.
_SERIES: Final = Late(
    "(?:歼|轰|运|直|强|武直|红旗|东风|长征|神舟|嫦娥|天问|天宫|天舟|鹰击|巨浪|枭龙|霹雳|图|苏|米格|伊尔|安|"
    "辽宁|新冠|甲|乙|丙|丁|附|附件|附录|型)$"
)


def _calculation(match: Match[str]) -> str:
    """A whole calculation; a hyphen or a slash alone does not make one."""
    text = match[0]
    if not _TELLING.search(text.lstrip("(（-")):
        return text
    spoken, due = "", False
    if _MORE_SIGNS.search(text):
        text = _PARTS_OF_ONE.sub(_part_of_one, text)
    for piece in _PIECES.finditer(text):
        if piece["operand"] and not (due and piece["operand"][0] == "-"):
            spoken += _operand(piece["operand"])
            due = True
        elif piece["operand"]:
            spoken += "减" + _operand(piece["operand"][1:])
        elif piece["other"]:
            spoken += piece["other"]
            due = True
        elif piece["operator"]:
            spoken += _SIGNS[piece["operator"]]
            due = False
    return spoken


def _part_of_one(match: Match[str]) -> str:
    if int(match[1]) >= int(match[2]):
        return match[0]
    return f"{read_cardinal(match[2])}分之{read_cardinal(match[1])}"


def _operand(operand: str) -> str:
    """A number or a letter with its sign and its power; digits stay for the number rules."""
    opened = operand.translate(_PARENTHESES)
    if not opened:
        return ""
    sign = {"-": "负", "√": "根号"}.get(opened[0], "")
    return sign + _powers(opened[1:] if sign else opened)


def _powers(text: str) -> str:
    found = re.search(rf"{_POWER}+$|\^-?\w{{1,4}}$", text)
    base = text[: found.start()] if found else text
    return (quantity(base) if _PLAIN.fullmatch(base) else base) + (_power(found) if found else "")


def _power(match: Match[str]) -> str:
    exponent = "".join(_SUPERSCRIPTS.get(char, char) for char in match[0].lstrip("^"))
    named = {"2": "的平方", "3": "的立方"}.get(exponent)
    sign = "负" if exponent.startswith("-") else ""
    digits = exponent.lstrip("-+")
    return named or f"的{sign}{read_cardinal(digits) if digits.isdigit() else digits}次方"


def _comparison(match: Match[str]) -> str:
    return _SIGNS[match[1]]


def _minus(match: Match[str]) -> str:
    """A minus, unless the number belongs to a name such as 歼-20."""
    return "" if _SERIES.search(before(match)) else "负"


def _fraction(match: Match[str]) -> str:
    sign, top, bottom = match["minus"], match["top"], match["bottom"]
    if match[0] == "24/7":
        return "二十四，七"
    if int(bottom) == 0 or match["top"].startswith("0"):
        return match[0]
    return f"{'负' if sign else ''}{read_cardinal(bottom)}分之{read_cardinal(top)}"


def _page(match: Match[str]) -> str:
    return f"第{read_cardinal(match[1])}{match[3]}，共{read_cardinal(match[2])}{match[3]}"


ARITHMETIC: Final = Kind(
    "arithmetic",
    "calculations, comparisons, powers and minus signs: 2+3=5, ≥60, x², -3",
    (
        rule(_EXPRESSION, _calculation),
        rule(rf"(?P<left>[{HAN}A-Za-z]) ?[≈≒] ?(?=[{HAN}A-Za-z\d])", r"\g<left>约等于"),
        rule(r"[≈≒] ?(?=-?\d)", "约"),
        rule(r"([≤≥≠±∓≡∝≪≫]) ?", _comparison),
        rule(r"([<>]) ?(?=[-+]?[\d.¥$€£零一二两三四五六七八九十])", _comparison),
        rule(rf"(?<=[{HAN}A-Za-z\d]) ?([<>=]) ?(?=[{HAN}A-Za-z\d])(?![^<>\n]{{0,40}}>)", _comparison),
        rule(r"([=]) ?(?=[-+]?\d)", _comparison),
        rule(rf"(?<=\d)×(?=[{HAN}])|(?<=[{HAN}A-Za-z]) ?[×xX](?=\d)", "乘"),
        rule(r"√ ?(?=\d)", "根号"),
        rule(rf"(?<=[A-Za-z\d)）{HAN}]){_POWER}+", _power),
        rule(r"(?<=[A-Za-z\d)])\^-?(?:\d{1,4}|[a-z](?![A-Za-z]))", _power),
    ),
)
MINUS: Final = Kind(
    "minus-signs",
    "a minus or a plus before a number: -3, yet not 歼-20",
    (
        rule(r"(?<![A-Za-z\d%)）])-(?=\d)", _minus),
        rule(rf"(?<=[{HAN}])(?<![温是为至到达约零度])\+(?=\d)(?!\d+(?:\.\d+)? ?(?:[°℃度]|摄氏))", "加"),
        rule(r"(?<![A-Za-z\d])\+(?=\d)", "正"),
    ),
)
FRACTIONS: Final = Kind(
    "fractions",
    "fractions, mixed numbers, and pages of so many: 3/4, 1又1/2, 第1/3页",
    (
        rule(r"第(\d{1,4})/(\d{1,4})(页|章|集|期|张|题|关|步|部分|节|轮|天)", _page),
        rule(r"(?<![\d.])(\d{1,3}) (?=\d{1,2}/\d{1,2}(?![\d/]))", r"\1又"),
        rule(r"(?<![\d./A-Za-z])(?P<minus>-)?(?P<top>\d{1,6})/(?P<bottom>\d{1,6})(?![\d./]*\d)", _fraction),
    ),
)
