"""Arabic numerals read aloud in Chinese."""

from __future__ import annotations

import re
from typing import Final

_DIGITS: Final = dict(zip("0123456789", "零一二三四五六七八九", strict=True))
_UNITS: Final = {1: "十", 2: "百", 3: "千", 4: "万", 8: "亿"}
# Longer runs of digits are dictated at once: quantities end earlier, and the number rules would take minutes.
_LONGEST_NUMBER: Final = 1000
_ENDLESS: Final = re.compile(rf"[0-9]{{{_LONGEST_NUMBER + 1},}}")


def read_digits(digits: str, one: str = "一") -> str:
    """Digit by digit; `one` is 幺 where numbers are dictated."""
    return "".join(one if digit == "1" else _DIGITS[digit] for digit in digits)


def _spell(digits: str) -> str:
    value = digits.lstrip("0")
    if not value:
        return ""
    if len(value) == 1:
        return ("零" if len(digits) > 1 else "") + _DIGITS[value]
    unit = max(power for power in _UNITS if power < len(value))
    return _spell(digits[:-unit]) + _UNITS[unit] + _spell(digits[-unit:])


def read_cardinal(digits: str) -> str:
    """As a quantity."""
    value = digits.lstrip("0")
    if not value:
        return "零"
    spelled = _spell(value)
    return spelled[1:] if spelled.startswith("一十") else spelled


def read_number(number: str) -> str:
    """A number with or without decimals (`"12.50"`, `".5"`); of trailing zeros one is read."""
    whole, _, decimals = number.partition(".")
    spoken = read_cardinal(whole)
    kept = decimals.rstrip("0")
    if len(kept) < len(decimals):
        kept += "0"
    return f"{spoken}点{read_digits(kept)}" if kept else spoken


def read_signed(number: str) -> str:
    """A number with an optional minus sign."""
    return "负" + read_number(number[1:]) if number.startswith("-") else read_number(number)


def dictate_endless(text: str) -> str:
    """Text whose runs of more than a thousand digits are written out digit by digit."""
    return _ENDLESS.sub(lambda match: read_digits(match[0], one="幺"), text)
