"""English number words, in the forms that the normaliser needs.

The wording is that of the `inflect` package, which takes seconds to import; the tests compare the two.
"""

from __future__ import annotations

from typing import Final

from sovits_runtime.text.word_list import word_list

_SMALL: Final = word_list(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen"
)
_TENS: Final = word_list("zero ten twenty thirty forty fifty sixty seventy eighty ninety")
_SCALES: Final = (
    "",
    *word_list(
        "thousand million billion trillion quadrillion quintillion sextillion septillion octillion nonillion"
        " decillion"
    ),
)
_ORDINALS: Final = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
MAX_DIGITS: Final = 3 * len(_SCALES)


def _two_digits(value: int) -> str:
    if value < 20:
        return _SMALL[value]
    tens, ones = divmod(value, 10)
    return f"{_TENS[tens]}-{_SMALL[ones]}" if ones else _TENS[tens]


def _three_digits(value: int, joint: str) -> str:
    hundreds, rest = divmod(value, 100)
    parts = [f"{_SMALL[hundreds]} hundred"] if hundreds else []
    if rest:
        parts.append(_two_digits(rest))
    return joint.join(parts)


def cardinal(digits: str, *, british: bool = False) -> str:
    """Words of a whole number.

    Args:
        digits: ASCII digits, leading zeros allowed.
        british: Put "and" before the last two digits of a group.

    Returns:
        Groups of three joined by commas, as in "two thousand, three hundred one". A number too long to
        have a name is read digit by digit.
    """
    digits = digits.lstrip("0") or "0"
    if len(digits) > MAX_DIGITS:
        return " ".join(_SMALL[int(digit)] for digit in digits)
    joint = " and " if british else " "
    width = -(-len(digits) // 3) * 3
    padded = digits.zfill(width)
    groups = [int(padded[start : start + 3]) for start in range(0, width, 3)]
    words = ""
    for group, scale in zip(groups, reversed(_SCALES[: len(groups)]), strict=True):
        if not group:
            continue
        part = _three_digits(group, joint) + (f" {scale}" if scale else "")
        link = (joint if not scale and group < 100 else ", ") if words else ""
        words += link + part
    return words or _SMALL[0]


def ordinal(digits: str) -> str:
    """Words of an ordinal number, for example "one hundred and second".

    Args:
        digits: ASCII digits, leading zeros allowed.
    """
    words = cardinal(digits, british=True)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    if last in _ORDINALS:
        return words[:cut] + _ORDINALS[last]
    return words[:-1] + "ieth" if last.endswith("y") else words + "th"


def fraction(numerator: str, denominator: str) -> str:
    """Words of a common fraction, for example "three quarters" as "three fourths".

    Args:
        numerator: ASCII digits.
        denominator: ASCII digits.
    """
    count = cardinal(numerator, british=True)
    upper, lower = numerator.lstrip("0") or "0", denominator.lstrip("0") or "0"
    if lower == "1":
        return count
    singular = upper in ("0", "1")
    if lower == "2":
        return f"{count} {'half' if singular else 'halves'}"
    return f"{count} {ordinal(denominator)}{'' if singular else 's'}"


def number_or_year(digits: str) -> str:
    """Words of a whole number; 1001 to 2999 are read as years, in pairs.

    Args:
        digits: ASCII digits, leading zeros allowed.
    """
    digits = digits.lstrip("0") or "0"
    if len(digits) != 4 or not 1000 < int(digits) < 3000 or digits == "2000":
        return cardinal(digits)
    century, rest = digits[:2], digits[2:]
    if rest == "00":
        return f"{cardinal(century)} hundred"
    if digits.startswith("200"):
        return f"two thousand {cardinal(rest)}"
    return f"{cardinal(century)} {'oh ' if rest[0] == '0' else ''}{cardinal(rest)}"
