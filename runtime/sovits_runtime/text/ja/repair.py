"""Rewrites Japanese text so that numbers, signs and odd characters are read.

Every rule here has its row in `sovits_runtime.text.ja.corrections`, with the reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from re import Match
from typing import Final

from sovits_runtime.text.word_list import word_list

Rule = tuple[re.Pattern[str], "str | Callable[[Match[str]], str]"]

_VARIANTS: Final = str.maketrans(
    {"髙": "高", "﨑": "崎", "濵": "浜", "德": "徳", "㎡": "平方メートル", "㎥": "立方メートル"}
)
_CURRENCIES: Final = {"$": "ドル", "￥": "円", "¥": "円", "€": "ユーロ", "£": "ポンド"}
_UNITS: Final = {
    "km": "キロメートル", "cm": "センチメートル", "mm": "ミリメートル", "m": "メートル",
    "kg": "キログラム", "mg": "ミリグラム", "g": "グラム", "ml": "ミリリットル", "l": "リットル",
    "gb": "ギガバイト", "mb": "メガバイト", "kb": "キロバイト", "tb": "テラバイト",
    "km/h": "キロメートル毎時",
}  # fmt: skip
_SIGNS: Final = {
    "%": "パーセント", "°C": "度", "℃": "度", "°": "度", "+": "プラス", "=": "イコール", "×": "かける", "÷": "わる",
    "&": "アンド", "@": "アット", "#": "シャープ",
}  # fmt: skip
_AS_WRITTEN: Final = frozenset("！？：；，．…〜～「」『』“”‘’（）【】〈〉《》")
_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"(\d{4})/0?(\d{1,2})/0?(\d{1,2})"), r"\1年\2月\3日"),
    (re.compile(r"(?<![\d/])(\d+)/(\d+)(?![\d/])"), r"\2分の\1"),
    (re.compile(r"(?<!\d)([01]?\d|2[0-3]):([0-5]\d)(?!\d)"), lambda match: _time(match)),
    (re.compile(r"([$￥¥€£])(\d+(?:\.\d+)?)"), lambda match: match[2] + _CURRENCIES[match[1]]),
    (re.compile(r"(?<![\w)])[-−](?=[\d$￥¥€£])"), "マイナス"),
    (re.compile(r"(?<=[\u3040-\u30ff\u4e00-\u9fff])[-−](?=\d)"), "マイナス"),
    (re.compile(r"(?<=\d)[〜~～](?=\d)"), "から"),
    (re.compile(r"(\d+(?:\.\d+)?) ?(km/h|[kcm]m|[km]?g|ml|[kmgt]b|m|l)(?![a-z])", re.IGNORECASE),
     lambda match: match[1] + _UNITS[match[2].lower()]),
    (re.compile(r"(?<![\d.])(\d+)\.(\d+)(?![\d.])"), r"\1・\2"),
    (re.compile("|".join(map(re.escape, _SIGNS))), lambda match: _SIGNS[match[0]]),
    (re.compile(r"。?\s*[\r\n]+\s*"), "。"),
    (re.compile(r"[\s\u3000]+"), " "),
)  # fmt: skip
_SPOKEN_DIGITS: Final = dict(
    zip("0123456789", word_list("ゼロ イチ ニー サン ヨン ゴー ロク ナナ ハチ キュー"), strict=True)
)
_PHONE_NUMBER: Final = re.compile(r"(?<!\d)0\d{1,4}-\d{1,4}-\d{3,4}(?!\d)")
_KEPT: Final = re.compile(
    '[A-Za-z\\d々\u3040-\u30ff\u4e00-\u9fff、。！？!?,.…「」『』“”‘’"（）()【】〈〉《》：；，．:;·/〜～~―—– \\-]'
)


def _time(match: Match[str]) -> str:
    minute = match[2].lstrip("0")
    return f"{match[1]}時{minute}分" if minute else f"{match[1]}時"


def _phone_number(match: Match[str]) -> str:
    return "、".join("".join(map(_SPOKEN_DIGITS.__getitem__, group)) for group in match[0].split("-"))


def _fold(text: str) -> str:
    composed = unicodedata.normalize("NFC", text.translate(_VARIANTS))
    # Half-width voiced kana are two characters that fold into one.
    folded = (
        part if part in _AS_WRITTEN else unicodedata.normalize("NFKC", part)
        for part in re.findall(".[ﾞﾟ]?", composed, re.DOTALL)
    )
    text = "".join(folded).translate(_VARIANTS)
    return "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Mn"))


def repair(text: str) -> tuple[str, list[str]]:
    """Rewrite what would be misread.

    Args:
        text: Japanese text.

    Returns:
        The rewritten text, and the characters that nothing can be made of.
    """
    text = _PHONE_NUMBER.sub(_phone_number, _fold(text))
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    dropped = [char for char in text if not _KEPT.match(char)]
    return "".join(char if _KEPT.match(char) else " " for char in text).strip(), dropped
