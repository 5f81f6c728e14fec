"""Numbers of list items, signs of calculation and comparison, powers."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.en.dotted import ends_sentence
from sovits_runtime.text.spelling import Kind

_NUM: Final = say.NUMBER
_OPERAND: Final = r"(?:[\d)]|\b[a-zA-Zπ]\b|\b[a-zA-Z]\^\d|\d[a-zA-Z]\b)"
_COMPARISONS: Final = {
    "<=": "less than or equal to", ">=": "greater than or equal to", "≤": "less than or equal to",
    "≥": "greater than or equal to", "⩽": "less than or equal to", "⩾": "greater than or equal to",
    "<": "less than", ">": "greater than", "≠": "is not equal to", "!=": "is not equal to", "≈": "is approximately",
    "≪": "much less than", "≫": "much greater than", "==": "equals", "≡": "is equivalent to",
    "∝": "is proportional to",
}  # fmt: skip
_COMPARISON: Final = re.compile(
    r"(?<![<>=!-])\s?(<=|>=|==|!=|[≤≥⩽⩾≠≈≪≫≡∝]|[<>](?![<>=-]))\s?(?=[\w\s.$£€(-]|π|$)"
)
_CALCULATION: Final = re.compile(r"=|\+|×|÷|\b(?:equals?|is|minus|plus|what's|calculate|compute)\b")
_MINUS_SPACED: Final = re.compile(r"(?<=[\w).])\s-\s(?=[\d(a-zA-Z]\b|\d|\()")
_EQUATION_MINUS: Final = re.compile(
    r"(?<![\w.,-])(\d[\d.,]{0,20}|[a-zA-Z])\s?-\s?(?=(?:\d[\d.]{0,20}|[a-zA-Z])\s?=)"
)
_SIGN_MINUS: Final = re.compile(r"(?<![\w.,)%°'\"$£€¥₹-])[-−](?=[$£€¥]?(?:\d|\.\d))|−")
_FRACTION_EQUATION: Final = re.compile(rf"(?<![\w.,/])({_NUM})\s?/\s?({_NUM})(?=\s?=)|(?<=\d)\s/\s(?=\d)")
_TIMES_X: Final = re.compile(rf"(?<![\w.,])(?!0x)({_NUM})\s?([xX])\s?(?={_NUM})")
_TIMES_WORD: Final = re.compile(
    rf"(?<![\w.,])({_NUM})\s?[xX](?=\s(?:faster|slower|more|better|bigger|larger|smaller|cheaper|as|the|zoom"
    rf"|speed)\b|[.,!?/]|\s*$)"
)
_STAR: Final = re.compile(r"(?<=[\w)])(?:\s\*\s|\*)(?=[\w(])")
_POWER: Final = re.compile(r"\^\(?(-?\d+|[a-z])\)?(?!\w)")
_ROOT: Final = re.compile(r"√\s?(?=[\w(])")
_APPROXIMATELY: Final = re.compile(r"(?<!\w)[~∼≈]\s?(?=[$£€¥]?\d)")
_POWERS: Final = {"2": "squared", "3": "cubed"}
_LIST_NUMBER: Final = re.compile(
    r"(?m)(?P<start>^[ \t]*\(?|[.!?:;,] \(?)(?P<digits>\d{1,3})(?:[.)]|\.\))(?=[ \t]+[\"'(]?[A-Za-z])"
)
_LINE_NUMBER: Final = re.compile(
    r"(?m)(?P<start>^[ \t]*\(?)(?P<digits>\d{1,3})(?:[.)]|\.\))(?=[ \t]+[\"'(]?[A-Za-z])"
)
# An "a" that is no article: beside a sign of calculation, or where no noun can follow.
_SIGNS: Final = "=+×÷<>≤≥≠≈⩽⩾≪≫≡∝^*"
_VARIABLE: Final = re.compile(
    rf"(?<![\w'’.-])a(?=[{_SIGNS}]|!=|\s(?:[{_SIGNS}]|[<>=!]=)\s|\s[-−]\s(?:\d|[b-z]\s?[=<>+])|/[b-z\d]\b)"
    r"|(?<![\w'’.-])a(?=(?:,? and|,? or)\s[b-z]\b(?!['’])|, [b-z](?:,|,? and|,? or)\s)"
    rf"|(?<=[{_SIGNS}√])a(?![\w'’])"
    rf"|(?<=[{_SIGNS}]\s)a(?=\s?(?:[{_SIGNS}/),.;:!?-]|$)|\s(?:and|or|then|is|in|if|when|for|holds?|but)\b)"
    r"|(?<=\w\s)a(?=[.;?!](?:\s|$))"
    r"|(?<=[b-z]\s[-−/]\s)a(?=\s?(?:[=),.;:!?]|$))"
    r"|(?:(?<=\b[b-z] and )|(?<=\b[b-z] or ))a(?=[,.;:!?)]|$)"
    r"|(?:(?<=, )|(?<=then ))a(?=\s(?:is|loses|wins|equals)\b)"
)
_LETTERS_ALONE: Final = re.compile(r"\A\s*(?:[A-Za-z][\s,.&]{1,3}){0,24}[A-Za-z][.!?]?\s*\Z")
_FACTORIAL: Final = re.compile(r"(?:(?<=\d)|(?<=\b[nkm]))!(?=\s*(?:[=+×÷*/]|is\s|equals\b))")
_EXPONENT: Final = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?)(\d{1,3})(?!\w)")


def _comparison(match: Match[str]) -> str:
    sign = match[1]
    start, end = match.start(), match.end()
    if sign in "<>":
        before, after = match.string[max(0, start - 1) : start], match.string[end : end + 1]
        if not (
            after.isdigit() or after in ("-", "$", "£", "€", ".", "(") or (before and _operand_at(match))
        ):
            return match[0]
    return f" {_COMPARISONS[sign]} "


def _operand_at(match: Match[str]) -> bool:
    """Whether a number or a variable stands on both sides."""
    left = re.search(rf"{_OPERAND}\Z", match.string[max(0, match.start() - 4) : match.start()])
    right = re.match(_OPERAND, match.string[match.end() : match.end() + 4])
    return left is not None and right is not None


def _minus_spaced(match: Match[str]) -> str:
    around = match.string[max(0, match.start() - 24) : match.end() + 24]
    digit_left = match.string[match.start() - 1].isdigit()
    digit_right = match.string[match.end()].isdigit()
    if _CALCULATION.search(around) and (digit_left or digit_right):
        operands = re.search(rf"{_OPERAND}\Z", match.string[max(0, match.start() - 4) : match.start()])
        return " minus " if operands else match[0]
    return match[0]


def _equation_minus(match: Match[str]) -> str:
    return f"{match[1]} minus "


def _times_x(match: Match[str]) -> str:
    after = match.string[match.end() : match.end() + 40]
    word = "times" if re.match(rf"{_NUM}\s?(?:=|is\b|equals\b)", after) else "by"
    return f"{match[1]} {word} "


def _power(match: Match[str]) -> str:
    exponent = match[1]
    return f" {_POWERS.get(exponent) or f'to the power of {exponent}'}".replace("-", "minus ")


def _star(match: Match[str]) -> str:
    before, after = match.string[match.start() - 1], match.string[match.end()]
    if before.isdigit() or after.isdigit() or _operand_at(match):
        return " times "
    return match[0]


def _list_number(match: Match[str]) -> str:
    dot = match.start()
    if match["start"].startswith(".") and not ends_sentence(match.string, dot):
        return match[0]
    return f"{match['start'].replace('(', '')}{say.whole(match['digits'])},"


def _letters_alone(match: Match[str]) -> str:
    return re.sub(r"\ba\b", "A", match[0])


def _exponent(match: Match[str]) -> str:
    sign = "minus " if match[2] == "-" else ""
    return f"{match[1]} times ten to the power of {sign}{say.whole(match[3])}"


LIST_NUMBERS: Final = Kind(
    "list-numbers",
    "1. Wash the rice, 2) Stir: the number of an item of a list, with a pause",
    ((_LINE_NUMBER, _list_number), (_LIST_NUMBER, _list_number)),
)
ARITHMETIC: Final = Kind(
    "arithmetic",
    "2 + 2 = 4, x < 5, -3, ±5, 6 * 7, 2^3: signs of calculation between numbers",
    (
        (_LETTERS_ALONE, _letters_alone),
        (_VARIABLE, "A"),
        (_FACTORIAL, " factorial"),
        (_EXPONENT, _exponent),
        (_EQUATION_MINUS, _equation_minus),
        (_MINUS_SPACED, _minus_spaced),
        (re.compile(r"(?<=\d)\s-\s?(?=-\d)"), " minus "),
        (_SIGN_MINUS, " minus "),
        (re.compile(r"(?<=minus)\s\s+"), " "),
        (re.compile(r"±|\+/-"), " plus or minus "),
        (_COMPARISON, _comparison),
        (_APPROXIMATELY, "about "),
        (
            _FRACTION_EQUATION,
            lambda match: f"{match[1]} divided by {match[2]}" if match[1] else " divided by ",
        ),
        (_TIMES_X, _times_x),
        (_TIMES_WORD, r"\1 times"),
        (_STAR, _star),
        (re.compile(r"\s?[×⋅]\s?"), " times "),
        (re.compile(r"\s?÷\s?"), " divided by "),
        (_ROOT, "the square root of "),
    ),
)
POWERS: Final = Kind(
    "powers",
    "x^2, 10^6: powers",
    (
        (re.compile(r"(?<![A-Za-z])([a-z]{2,3})(?=\^)"), lambda match: say.letters(match[1])),
        (_POWER, _power),
    ),
)
