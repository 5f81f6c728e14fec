"""Korean numbers in words: Sino-Korean for amounts, native ones before words that count things."""

from __future__ import annotations

from typing import Final

from sovits_runtime.text.word_list import word_list
from sovits_runtime.text.written import ascii_digits

DIGITS: Final = dict(zip("0123456789", "영일이삼사오육칠팔구", strict=True))
CALLED_DIGITS: Final = {**DIGITS, "0": "공"}
_PLACES: Final = ("", "십", "백", "천")
_SCALES: Final = ("", *word_list("만 억 조 경 해 자 양 구 간 정 재 극"))
_LONGEST: Final = 4 * len(_SCALES)
_ONES: Final = ("", *word_list("한 두 세 네 다섯 여섯 일곱 여덟 아홉"))
_TENS: Final = ("", *word_list("열 스물 서른 마흔 쉰 예순 일흔 여든 아흔"))
_FEWEST_HUNDRED: Final = 100


def sino(digits: str) -> str:
    """A whole number in Sino-Korean words; one too long for them, or with a zero in front, digit by digit.

    Args:
        digits: ASCII digits; commas between thousands are allowed.
    """
    digits = ascii_digits(digits.replace(",", ""))
    if len(digits) > _LONGEST or (digits.startswith("0") and len(digits) > 1):
        return "".join(map(CALLED_DIGITS.__getitem__, digits))
    if digits == "0":
        return "영"
    words: list[str] = []
    groups = (len(digits) + 3) // 4
    padded = digits.zfill(4 * groups)
    for index in range(groups):
        scale = _SCALES[groups - 1 - index]
        group = _four_digits(padded[4 * index : 4 * index + 4])
        if group:
            # Ten thousand is 만, a hundred million 일억.
            words.append(scale if group == "일" and scale == "만" and not words else group + scale)
    return "".join(words)


def _four_digits(group: str) -> str:
    words = []
    for digit, place in zip(group, reversed(_PLACES), strict=True):
        if digit != "0":
            words.append(place if digit == "1" and place else DIGITS[digit] + place)
    return "".join(words)


def decimal(whole: str, fraction: str) -> str:
    """A decimal number: 3.14 is 삼쩜일사.

    Args:
        whole: Digits before the point, none for zero.
        fraction: Digits after it.
    """
    return f"{sino(whole or '0')}쩜{''.join(map(DIGITS.__getitem__, ascii_digits(fraction)))}"


def number(text: str) -> str:
    """A number as written, whole or decimal, in Sino-Korean words.

    Args:
        text: Digits, with thousands commas and one decimal point at most.
    """
    whole, point, fraction = text.partition(".")
    return decimal(whole, fraction) if point else sino(whole)


def digit_by_digit(text: str) -> str:
    """Digits as they are called in phone numbers; everything else is left out."""
    return "".join(CALLED_DIGITS[char] for char in ascii_digits(text) if char in CALLED_DIGITS)


def native(value: int) -> str:
    """A number of 1 to 109 as it stands before a word that counts things: 한, 두, 스무, 백한.

    Args:
        value: The number.
    """
    if value >= _FEWEST_HUNDRED:
        return "백" + _ONES[value - _FEWEST_HUNDRED]
    if value == 20:
        return "스무"
    return _TENS[value // 10] + _ONES[value % 10]


def ends_in_consonant(word: str) -> bool:
    """Whether the last syllable is closed, which chooses the particle: 은, not 는.

    Args:
        word: Hangul, or anything else, which counts as open.
    """
    return bool(word) and "가" <= word[-1] <= "힣" and (ord(word[-1]) - ord("가")) % 28 != 0


def with_topic(word: str) -> str:
    """A word with the particle of topic."""
    return word + ("은" if ends_in_consonant(word) else "는")
