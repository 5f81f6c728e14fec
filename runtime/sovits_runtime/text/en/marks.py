"""Signs that are left, and the marks that make pauses."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list

_GREEK: Final = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψω",
        word_list(
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau"
            " upsilon phi"
            " chi psi omega"
        ),
        strict=True,
    )
)
_SIGN_NAMES: Final = {
    "&": " and ", "@": " at ", "+": " plus ", "=": " equals ", "°": " degrees ", "%": " percent ", "§": " section ",
    "∞": " infinity ", "√": " square root of ", "∑": " sum ", "∆": " delta ", "∈": " in ", "∪": " union ",
    "€": " euros ",
    "$": " dollars ", "£": " pounds ", "¥": " yen ", "¢": " cents ", "_": " ", "\\": " ", "~": " ", "^": " ", "`": "",
    "*": " ", "#": " ", "ς": "sigma", **_GREEK, **{letter.upper(): name for letter, name in _GREEK.items()},
}  # fmt: skip
_SIGN: Final = re.compile("[" + re.escape("".join(_SIGN_NAMES)) + "]")
_PLUS: Final = re.compile(r"(?<=[A-Za-z])\+(?!\+|\w)")
_MINUS_GRADE: Final = re.compile(r"\b((?:an?|got|the|gave|grade)\s[A-D])-(?=[\s.,!?]|$)")
_PAUSES: Final = re.compile(r"\s?(?:[|•·▪●○◦‣→⇒➔➜←↔]|(?<![-=])[-=]{1,4}>|<[-=]{1,4}|\s/\s|//+)\s?")
_APOSTROPHE: Final = re.compile(r"(?<![A-Za-z])'|'(?![A-Za-z])")
_ELLIPSIS: Final = re.compile(r"\s?(?:\.\s?){2,}\.?(\s*[\"')\]]*\s*)(?=(.?))", re.DOTALL)
_BREAK: Final = re.compile(r"(?<=[^.!?,;:\s])[\"')\]]{0,4}[ ]{0,8}[\r\n]+\s*")


_NEAR_START: Final = 16


def _ellipsis(match: Match[str]) -> str:
    if match.start() < _NEAR_START and not match.string[: match.start()].strip(" \"'("):
        return match[1]
    if match[2] in "!?" and match[2]:
        return ""
    return f",{match[1] or ' '}" if match[2].islower() else f".{match[1] or ' '}"


KINDS: Final = (
    Kind(
        "signs",
        "&, @, +, =, and/or, Greek letters: signs that are left are named, or part words",
        (
            (re.compile(r"(?<=[a-z])\((s|es|d|ed|ren)\)"), r"\1"),
            (_MINUS_GRADE, r"\1 minus"),
            (_PLUS, " plus"),
            (_PAUSES, ", "),
            (re.compile(r"(?<=\w)/(?=\w)"), " "),
            (_SIGN, lambda match: _SIGN_NAMES[match[0]]),
        ),
    ),
    Kind(
        "marks",
        "colons, brackets and dashes become pauses; quotes go; one mark stays of several",
        (
            (re.compile(r"(?<![A-Za-z])'n'?(?![A-Za-z])"), "and"),
            (_APOSTROPHE, ""),
            (_BREAK, ". "),
            (re.compile(r"\s+"), " "),
            (_ELLIPSIS, _ellipsis),
            (re.compile(r"(?<=\w)\(\)"), ""),
            (re.compile(r"(?<=\w)\(([^()\s]{1,16})\)"), r" \1"),
            (re.compile(r"(?<=[.!?])[)\]}]+"), ""),
            (re.compile(r"\s?[()\[\]{}]\s?"), ", "),
            (re.compile(r"\s?[\"<>/]\s?(?=[,.!?;:])"), ""),
            (re.compile(r"[\"<>/]"), " "),
            (re.compile(r"\s?[—–]+\s?|\s-{1,8}\s|(?<=\w)-{2,8}(?=\w)|\s-{2,8}|(?<!-)-{2,8}\s"), ", "),
            (re.compile(r"[;:]"), ","),
            (re.compile(r"(?<![A-Za-z])-+|-+(?![A-Za-z])"), " "),
            (re.compile(r"([A-Za-z])([.!?,])(?=[A-Za-z])"), r"\1\2 "),
            (re.compile(r"(?<!\s)\s+(?=[,.!?])"), ""),
            (re.compile(r"\.(?=,)"), ""),
            (re.compile(r"(?<!,),[\s,]*(?=[.!?])"), ""),
            (re.compile(r"([.!?,])[\s.,!?]*[.,!?]"), r"\1"),
            (re.compile(r"^[\s,]+|[\s,]+$"), ""),
            (re.compile(r"\s{2,}"), " "),
        ),
    ),
)
