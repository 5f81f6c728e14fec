"""Japanese numbers in kanji, as Open JTalk reads them with counters; digits in kana where each is called out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from sovits_runtime.text.word_list import word_list
from sovits_runtime.text.written import ascii_digits

NUMBER: Final = r"\d{1,3}(?:[,，]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
DASH: Final = "[-−‐‑–]"
WAVE: Final = "[〜～~∼]"
RANGE: Final = rf"\s?(?:{WAVE}|{DASH})\s?"
KANA_DIGITS: Final = dict(
    zip("0123456789", word_list("ゼロ イチ ニー サン ヨン ゴー ロク ナナ ハチ キュー"), strict=True)
)
_KANJI: Final = dict(zip("0123456789", "零一二三四五六七八九", strict=True))
_PLACES: Final = ("", "十", "百", "千")
_SCALES: Final = ("", *"万億兆京垓")
_LONGEST: Final = 4 * len(_SCALES)


def called(digits: str) -> str:
    """Digits one by one in kana, as in telephone numbers; everything else is left out."""
    return "".join(KANA_DIGITS[char] for char in ascii_digits(digits) if char in KANA_DIGITS)


def kanji(digits: str) -> str:
    """A whole number in kanji; one with a zero in front, or too long, digit by digit in kana.

    Args:
        digits: ASCII digits; commas between thousands are allowed.
    """
    digits = ascii_digits(re.sub("[,，]", "", digits))
    if digits == "0":
        return "ゼロ"
    if digits.startswith("0") or len(digits) > _LONGEST:
        return called(digits)
    groups = (len(digits) + 3) // 4
    padded = digits.zfill(4 * groups)
    parts = (_four_digits(padded[4 * index : 4 * index + 4]) for index in range(groups))
    return "".join(part + _SCALES[groups - 1 - index] for index, part in enumerate(parts) if part)


def _four_digits(group: str) -> str:
    return "".join(
        place if digit == "1" and place else _KANJI[digit] + place
        for digit, place in zip(group, reversed(_PLACES), strict=True)
        if digit != "0"
    )


def number(text: str) -> str:
    """A number as written, whole or decimal: 3.14 is 三点イチヨン.

    Args:
        text: Digits, with thousands commas and one decimal point at most.
    """
    whole, point, fraction = ascii_digits(text).partition(".")
    if not point:
        return kanji(whole)
    spoken = "零" if whole.strip("0,，") == "" else kanji(whole)
    if len(fraction) == 1 and fraction != "0":
        return f"{spoken}点{_KANJI[fraction]}"
    return f"{spoken}点{called(fraction)}"


def from_low(low: str | None) -> str:
    """The lower end of a range, if there is one."""
    return f"{number(low)}から" if low else ""


def either(words: Iterable[str]) -> str:
    """A pattern of any of the words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
