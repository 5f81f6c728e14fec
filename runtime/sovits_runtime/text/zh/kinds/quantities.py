"""Numbers of any script as Mandarin says them: quantities, digits one by one, ordinals of time."""

from __future__ import annotations

from sovits_runtime.text.zh.numbers import read_cardinal, read_digits

_LONGEST_QUANTITY = 16


def quantity(number: str) -> str:
    """A number with or without decimals; two thousand and more start with 两.

    Args:
        number: Such as `"1,234.50"`.
    """
    whole, _, decimals = number.replace(",", "").partition(".")
    spoken = read_cardinal(whole) if len(whole) <= _LONGEST_QUANTITY else read_digits(whole)
    if spoken.startswith(("二千", "二万", "二亿")):
        spoken = "两" + spoken[1:]
    return f"{spoken}点{read_digits(decimals)}" if decimals else spoken


def count(number: str) -> str:
    """A number of things: two is 两.

    Args:
        number: Such as `"2"`.
    """
    return "两" if number == "2" else quantity(number)


def amount(number: str) -> str:
    """A number of a currency or a unit, without zeros that end its decimals.

    Args:
        number: Such as `"12.50"`.
    """
    return count(number.rstrip("0").rstrip(".") if "." in number else number)


def dictated(digits: str) -> str:
    """Digits one by one, with a pause where the writer parted them.

    Args:
        digits: Digits, hyphens, spaces, and anything else that parts them.
    """
    groups, group = [], ""
    for char in digits:
        if char.isdigit():
            group += char
        elif group:
            groups.append(group)
            group = ""
    return "，".join(read_digits(part, one="幺") for part in [*groups, group] if part)


def sixtieths(digits: str) -> str:
    """Minutes or seconds of two digits, below ten with 零.

    Args:
        digits: Such as `"05"`.
    """
    return ("零" if len(digits) > 1 and digits[0] == "0" else "") + read_cardinal(digits)
