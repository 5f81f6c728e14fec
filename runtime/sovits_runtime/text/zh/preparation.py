"""Corrections that need the raw text, before spaces go and commas cut it into clauses."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from sovits_runtime.text.zh.normalize import HALF_WIDTH
from sovits_runtime.text.zh.rules import DICTATED_LABELS, NUMBER, Rule, apply_rules, rule

# Stand-ins that survive normalisation: a pause asked for with ￥ or ^.
PAUSE_SIGNS: Final = {"\ue000": "SP2", "\ue001": "SP3"}
_CURRENCIES: Final = {"￥": "元", "¥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
_COMPATIBILITY: Final = re.compile("[％＋－＝／．～\u3371-\u33df\u00bc-\u00be\u2150-\u215e]")
_NUMERALS: Final = "零一二三四五六七八九十百千万亿\\d"
_PHONE_DIGITS: Final = 7
_STOPS: Final = r"\s，。！？；：、…,.!?;:"


def _compatible(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match[0]).replace("\u2044", "/")


def _money(match: re.Match[str]) -> str:
    return match[2] + (match[3] or "") + (match[4] or _CURRENCIES[match[1]])


def _groups(match: re.Match[str]) -> str:
    """Digits parted by spaces: one phone number, or numbers of their own."""
    digits = sum(char.isdigit() for char in match[0])
    return re.sub(" +", "-" if digits >= _PHONE_DIGITS else "，", match[0])


_RULES: Final[tuple[Rule, ...]] = (
    rule(r"(?<=\d)([\u00bc-\u00be\u2150-\u215e])", lambda match: "又" + match[0]),
    Rule(_COMPATIBILITY, _compatible),
    rule("〇", lambda _: "零"),
    rule(f"(?<=[{_NUMERALS}])○|○(?=[{_NUMERALS}])", lambda _: "零"),
    rule(r"(?<=\d)：(?=\d)", lambda _: ":"),
    rule(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])", lambda match: match[0].replace(",", "")),
    rule(r"(?<=[\d%℃°Ca-z²³年月日天号点分时元]) *[–—―～~]+ *(?=-?\d)", lambda _: "~"),
    rule(r"(?<!\d)(\d{4}) (0?[1-9]|1[0-2]) (0?[1-9]|[12]\d|3[01])(?!\d)", lambda m: f"{m[1]}-{m[2]}-{m[3]}"),
    rule(r"(?<![\d.])\+?\d+(?: +\d+)+(?![\d.])", _groups),
    rule(rf"([￥¥$€£]) *(-?{NUMBER})([十百千万亿]+)?(元|块|美元|欧元|英镑)?", _money),
    rule("￥", lambda _: "\ue000"),
    rule(r"\^", lambda _: "\ue001"),
    rule(f"({DICTATED_LABELS})[:：] *(?=\\d)", lambda match: match[1]),
    rule(f"(?<=[^{_STOPS}])\\s*\n\\s*(?=[^{_STOPS}])", lambda _: "，"),
)


def prepare_text(text: str) -> str:
    """Raw text with signs, spaced digits and money in a form the number rules read well."""
    for sign in PAUSE_SIGNS:
        text = text.replace(sign, "")
    return apply_rules(text.translate(HALF_WIDTH), _RULES)
