"""Rewrites Korean text so that numbers, signs and odd characters are read.

Every rule here has its row in `sovits_runtime.text.ko.corrections`, with the reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from re import Match
from typing import Final

Rule = tuple[re.Pattern[str], "str | Callable[[Match[str]], str]"]

_DIGITS: Final = dict(zip("0123456789", "영일이삼사오육칠팔구", strict=True))
_CURRENCIES: Final = {"$": "달러", "￥": "엔", "¥": "엔", "€": "유로", "£": "파운드", "₩": "원"}
_UNITS: Final = {
    "km/h": "킬로미터", "km": "킬로미터", "cm": "센티미터", "mm": "밀리미터", "m": "미터",
    "kg": "킬로그램", "mg": "밀리그램", "g": "그램", "ml": "밀리리터", "l": "리터",
    "kb": "킬로바이트", "mb": "메가바이트", "gb": "기가바이트", "tb": "테라바이트",
}  # fmt: skip
_SIGNS: Final = {
    "°C": "도", "℃": "도", "°": "도", "%": "퍼센트", "+": "더하기 ", "=": "는 ", "×": "곱하기 ", "÷": "나누기 ",
    "&": "앤드", "@": "골뱅이", "#": "샵", "㎡": "제곱미터", "㎥": "세제곱미터",
}  # fmt: skip
_MARKS: Final = str.maketrans(
    {
        **dict.fromkeys(":;：；—–―/~〜～", ","),
        "‥": "…",
    }
)
_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(r"(\d{4})[-/.]0?(\d{1,2})[-/.]0?(\d{1,2})(?!\d)"), r"\1년 \2월 \3일"),
    (re.compile(r"(?<![\d/])(\d+)/(\d+)(?![\d/])"), r"\2분의 \1"),
    (re.compile(r"(?<!\d)([01]?\d|2[0-3]):([0-5]\d)(?!\d)"), lambda match: _time(match)),
    (re.compile(r"([$￥¥€£₩])(\d[\d,]*(?:\.\d+)?)"), lambda match: match[2] + _CURRENCIES[match[1]]),
    (re.compile(r"(?<![\w)])[-−](?=\d)"), "마이너스 "),
    (re.compile(r"(?<=\d)[~〜～](?=\d)"), "에서 "),
    (re.compile(r"(\d) ?(km/h|[kcm]m|[km]?g|ml|[kmgt]b|m|l)(?![a-z])", re.IGNORECASE),
     lambda match: match[1] + _UNITS[match[2].lower()]),
    (re.compile(r"(?<![\d.])(\d+)\.(\d+)(?![\d.])"), lambda match: _decimal(match)),
    (re.compile("|".join(map(re.escape, _SIGNS))), lambda match: _SIGNS[match[0]]),
    (re.compile(r"(?<=[.!?,])\s*[\r\n]+\s*"), " "),
    (re.compile(r"\s*[\r\n]+\s*"), ". "),
    (re.compile(r"\s+"), " "),
)  # fmt: skip
_QUOTES: Final = "“”‘’\"'「」『』《》〈〉【】()（）[]{}<>"
_KEPT: Final = re.compile(
    f"[A-Za-z0-9\uac00-\ud7a3\u3131-\u3163\u1100-\u11ff ,.!?…，、·。！？{re.escape(_QUOTES)}-]"
)
_AS_WRITTEN: Final = re.compile("[，！？…：；～（）㎡㎥￥\u3131-\u318e]")


def _time(match: Match[str]) -> str:
    minute = match[2].lstrip("0")
    return f"{match[1]}시 {minute}분" if minute else f"{match[1]}시"


def _decimal(match: Match[str]) -> str:
    return f"{match[1]}쩜" + "".join(_DIGITS[digit] for digit in match[2])


def _fold(text: str) -> str:
    composed = unicodedata.normalize("NFC", text)
    folded = (char if _AS_WRITTEN.match(char) else unicodedata.normalize("NFKC", char) for char in composed)
    return "".join(char for char in "".join(folded) if unicodedata.category(char) not in ("Cf", "Mn"))


def repair(text: str) -> tuple[str, list[str]]:
    """Rewrite what would be misread.

    Args:
        text: Korean text.

    Returns:
        The rewritten text, and the characters that nothing can be made of.
    """
    text = _fold(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    text = text.translate(_MARKS)
    dropped = [char for char in text if not _KEPT.match(char)]
    kept = "".join(char if _KEPT.match(char) else " " for char in text)
    return re.sub(" +", " ", re.sub(" +(?=[,.!?])", "", kept)).strip(), dropped
