"""Characters that stand for others: full width, ligatures of units, circled digits, variants, Roman numerals."""

from __future__ import annotations

import re
import unicodedata
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.written import ROMAN_SIGN, roman_value
from sovits_runtime.text.zh.kinds.patterns import HAN, neighbours, rule

# Full-width letters, digits and signs; units; radicals; compatibility ideographs; vertical forms; styled letters.
_FOLDED: Final = (
    "[\uff02-\uff07\uff0a\uff0b\uff0d-\uff19\uff1c-\uff1e\uff20-\uff5d\u3200-\u33ff\u2e80-\u2fdf\uf900-\ufaff\ufe30-\ufe4f"
    "\u2080-\u2089\u2460-\u249b\u24b6-\u24ea\u2776-\u2793\ufb00-\ufb06\U0001d400-\U0001d7ff\U0001f100-\U0001f12b]"
)
_VULGAR: Final = "\u00bc-\u00be\u2150-\u215e"
_SIGNS: Final = {
    **dict.fromkeys("\u2212\ufe63\u2010\u2011", "-"),
    **dict.fromkeys("～〜∼", "~"),
    **dict.fromkeys("≦⩽≤", "≤"),
    **dict.fromkeys("≧⩾≥", "≥"),
    **dict.fromkeys("✕✖⨯╳", "×"),
    **dict.fromkeys("∶︰", ":"),
    **dict.fromkeys("⁄∕", "/"),
    "º": "°",
    "\u2126": "Ω",
    "\u00a0": " ",
    "\u3000": " ",
    "\u2009": " ",
    "\u202f": " ",
    "⓪": "0",
    "〇": "零",
}
_INVISIBLE: Final = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]"
_VARIANTS: Final = {
    "𠮷": "吉",
    "㐂": "喜",
    "麪": "麵",
    "裏": "裡",
    "爲": "為",
    "綫": "線",
    "啓": "啟",
    "衆": "眾",
    "羣": "群",
}
_WORD: Final = re.compile(f"[{HAN}A-Za-z]")
_NUMERALS: Final = "零一二三四五六七八九十百千万亿\\d"
_ORDINAL_WORDS: Final = "章卷部集册届世代级期型类度篇幕场季回编条款项页节"
# Roman numerals that are words or other abbreviations.
_NOT_NUMERALS: Final = frozenset({"XX", "XXX", "VI", "IX", "XI"})


def _folded(match: Match[str]) -> str:
    plain = unicodedata.normalize("NFKC", match[0])
    if "①" <= match[0] <= "⒛" or "❶" <= match[0] <= "➓":
        left, right = neighbours(match)
        listed = _WORD.match(right) and left not in tuple("第图圖表式注")
        return plain.strip("().") + ("、" if listed else "")
    return plain


def _fraction(match: Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", match[2]).partition("⁄")
    return (match[1] + "又" if match[1] else "") + f"{top}/{bottom}"


def _numeral(match: Match[str]) -> str:
    value = roman_value(match[0])
    return match[0] if value is None else str(value)


def _name_numeral(match: Match[str]) -> str:
    """A numeral behind a Chinese name; those that may be words only behind a name of a king."""
    if match[0] in _NOT_NUMERALS and neighbours(match)[0] not in tuple("易士利治德普斯亨廉华華罗羅"):
        return match[0]
    return _numeral(match)


ROMAN_NUMERALS: Final = Kind(
    "roman-numerals",
    "Roman numerals in names, and before or behind a word that is counted: 路易XIV, 第Ⅳ卷",
    (
        rule(rf"{ROMAN_SIGN}+", _numeral),
        rule(ROMAN_SIGN, _numeral),
        rule(r"(?<=第)[IVX]+(?![A-Za-z])|(?<=第 )[IVX]+(?![A-Za-z])", _numeral),
        rule(rf"(?<![A-Za-z\d.-])(?:I{{1,3}}|IV|VI{{1,3}}|IX)(?= ?(?:[{_ORDINAL_WORDS}]|号线))", _numeral),
        rule(
            rf"(?<=[白拉娜])[IVX]+(?= ?[{HAN}，。！？、,!?]|$)(?! ?世)", lambda match: f"{_numeral(match)}世"
        ),
        rule(rf"(?<=[{HAN}·])(?:[IVX]{{2,}})(?![A-Za-z\d+-])", _name_numeral),
        rule(rf"(?<=[{HAN}] )(?:[IVX]{{2,}})(?= ?[{HAN}，。！？、,!?]|$)", _name_numeral),
    ),
)


COMPATIBILITY: Final = Kind(
    "compatibility-characters",
    "full width, ligatures of units, circled digits, vulgar fractions and variants in their plain form: １㎡, ½, 〇",
    (
        rule(_INVISIBLE, ""),
        rule(f"[{''.join(_SIGNS)}]", lambda match: _SIGNS[match[0]]),
        rule(" {2,}", " "),
        rule(rf"(\d*)([{_VULGAR}])", _fraction),
        rule(_FOLDED, _folded),
        rule(f"[{''.join(_VARIANTS)}]", lambda match: _VARIANTS[match[0]]),
        rule(f"(?<=[{_NUMERALS}])[○◯]|[○◯](?=[{_NUMERALS}])", "零"),
        rule(f"(?P<char>[{HAN}])々", r"\g<char>\g<char>"),
        rule(r"(?<=\d) ?： ?(?=\d)", ":"),
        rule(rf"(?<![\w.{HAN})])\.(?=\d)", "0."),
        rule(r"(?<=\d)(?!(?<=1[3-9]\d)\*\d{4}(?!\d)) ?[xX*] ?(?=\d)(?<!0x)", "×"),
        rule(r"[<=]=", lambda match: "≤" if match[0] == "<=" else "="),
        rule(r">=", "≥"),
        rule(r"!=|<>", "≠"),
        rule(r"\+/-|\+-", "±"),
        rule(r"-{1,2}>|=>|⇒|➡|➔|⟶", "→"),
    ),
)
