"""What texts of several languages share in how they are written: addresses, Roman numerals, compatibility characters.

Latin words are left as they are, since they are read as English; only what stands between them gets words of the
language.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind, Rule
from sovits_runtime.text.word_list import word_list

ENGLISH_DIGITS: Final = dict(
    zip("0123456789", word_list("zero one two three four five six seven eight nine"), strict=True)
)
_ENDINGS: Final = (
    "com|net|org|edu|gov|info|biz|io|ai|app|dev|tv|me|co|jp|kr|cn|hk|tw|us|uk|de|fr|eu|au|ca|in|xyz|online"
    "|site|shop|blog"
)
_FILE_ENDINGS: Final = (
    "pdf|txt|docx?|xlsx?|pptx?|csv|tsv|json|ya?ml|xml|jpe?g|png|gif|svg|bmp|mp[34]|wav|flac|ogg|avi|mov"
    "|zip|tar|gz|7z|rar"
    "|exe|dll|apk|py|js|ts|html?|css|md|hwp|onnx|ckpt|pth|bin|iso|log|ini|cfg|bat|sh|psd"
)
_PATH: Final = r"(?::\d{1,5})?(?:/[A-Za-z0-9_./?%&=+#~:-]*[A-Za-z0-9_/=])?"
_LABELS: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
ADDRESS: Final = re.compile(
    rf"(?<![A-Za-z0-9.@_-])(?:https?://{_LABELS}[A-Za-z0-9]{{2,24}}{_PATH}|www\.{_LABELS}[A-Za-z]{{2,24}}{_PATH}"
    rf"|{_LABELS}(?:{_ENDINGS})(?![A-Za-z0-9@_-]){_PATH})",
    re.ASCII,
)
E_MAIL: Final = re.compile(
    rf"(?<![A-Za-z0-9.+_-])[A-Za-z0-9][A-Za-z0-9.+_-]{{0,63}}@{_LABELS}[A-Za-z]{{2,24}}", re.ASCII
)
FILE_NAME: Final = re.compile(
    rf"(?<![A-Za-z0-9._/-])[A-Za-z0-9][A-Za-z0-9._/-]{{0,80}}\.(?:{_FILE_ENDINGS})(?![A-Za-z0-9_-])", re.ASCII
)
HANDLE: Final = re.compile(r"(?<![A-Za-z0-9_])@(?=[A-Za-z_])([A-Za-z0-9_.]{0,30}[A-Za-z0-9_])", re.ASCII)
_ADDRESS_PART: Final = re.compile(r"[A-Za-z]+|\d+|.")
_SPELLED: Final = re.compile(
    rf"www|[a-z]{{2}}|(?!(?:org|gov|info|io|app|online|site|shop|blog|zip|log|bin|bat|iso|ini|tar|mov)$)"
    rf"[b-df-hj-np-tv-xz]+|html?|exe|edu|jpe?g|apk|avi|xyz|csv|svg|pdf|psd|(?:{_FILE_ENDINGS})(?<=x)"
)
_WORDS_OF_TWO: Final = frozenset(
    word_list("me go my in on to we be he it is at up us so no by of or am an as")
)

_OF_FACES: Final = "ω´｀`＾^∀▽Дд;；＿・°ﾟ＞＜≧≦￣"
_FACE: Final = _OF_FACES + "_><ε=＝*"
EMOTICONS: Final = Kind(
    "emoticons",
    "faces made of signs, such as ^^ and (・ω・), are left out",
    (
        (
            re.compile(
                rf"[(（](?=[^)）\n]{{0,12}}[{re.escape(_OF_FACES)}])"
                rf"[{re.escape(_FACE)}ToOwvxㅅㅂㅇㅠㅜ \-.~～'’/\\]{{2,12}}[)）]"
                "[ﾉノ☆♪]{0,2}"
            ),
            "",
        ),
        (re.compile(r"\^[_ㅡ.-]?\^(?:;+)?|(?<![A-Za-z\d:;])[:;]-?[)(DPp](?![A-Za-z\d])"), ""),
    ),
)

VULGAR_FRACTIONS: Final = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5), "⅘": (4, 5),
    "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8),
}  # fmt: skip
"""Sign -> numerator and denominator."""

_ROMAN_SIGNS: Final = {
    char: unicodedata.normalize("NFKC", char).upper() for char in map(chr, range(0x2160, 0x2180))
}
ROMAN_SIGN: Final = "[\u2160-\u217f]"
_ROMAN: Final = re.compile(r"(?=.)M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,4})")
_ROMAN_VALUES: Final = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
CIRCLED: Final = "[\u2460-\u2473\u24ea-\u24ff\u2776-\u2793\u3251-\u325f\u32b1-\u32bf]"
_FULL_WIDTH_MARKS: Final = frozenset("！？：；，．…〜～「」『』“”‘’（）【】〈〉《》‥")


@dataclass(frozen=True)
class AddressWords:
    """How the signs in addresses are said.

    Attributes:
        signs: Sign -> word.
        digits: Digit -> word.
    """

    signs: Mapping[str, str]
    digits: Mapping[str, str]

    def rules(self, *patterns: re.Pattern[str]) -> tuple[Rule, ...]:
        """Rules that spell what patterns such as `ADDRESS`, `E_MAIL`, `FILE_NAME` and `HANDLE` find."""
        return tuple((pattern, self._spell) for pattern in patterns)

    def _spell(self, match: Match[str]) -> str:
        """An address in words: Latin parts stay, short ones and those without vowels are spelled."""
        address = re.sub(r"^https?://", "", match[0]).rstrip("/")
        words, before = [], ""
        for part in _ADDRESS_PART.findall(address):
            if part.isdigit():
                words.append("".join(map(self.digits.__getitem__, part)))
            elif part.isascii() and part.isalpha():
                words.append(_spelled_part(part, before))
            else:
                words.append(self.signs.get(part, ""))
            before = part
        return f" {' '.join(filter(None, words))} "


def _spelled_part(part: str, before: str) -> str:
    lower = part.lower()
    if lower in _WORDS_OF_TWO and before != ".":
        return part
    return " ".join(part.upper()) if len(part) == 1 or _SPELLED.fullmatch(lower) else part


def roman_value(numeral: str, *, most_ones: int = 3) -> int | None:
    """Value of a Roman numeral, of letters or of signs such as Ⅲ; None if it is none.

    Args:
        numeral: Upper case, as in `"XIV"`.
        most_ones: How often I may stand at the end: 4 on clocks and stones.
    """
    letters = "".join(_ROMAN_SIGNS.get(char, char) for char in numeral)
    if not _ROMAN.fullmatch(letters) or letters.endswith("I" * (most_ones + 1)):
        return None
    values = [_ROMAN_VALUES[letter] for letter in letters]
    return sum(
        -value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True)
    )


def ascii_digits(text: str) -> str:
    """A text with the decimal digits of any script as ASCII ones."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def circled_value(char: str) -> str:
    """Value of a number in a circle, in digits.

    Args:
        char: One that `CIRCLED` matches.
    """
    return str(int(unicodedata.numeric(char)))


def fold(text: str, kept: re.Pattern[str]) -> str:
    """Compatibility characters in their plain form: full-width letters, ligatures of units, composed syllables.

    Args:
        text: Any text.
        kept: Characters that stay as they are; CJK punctuation and Roman numeral signs do so anyway.
    """
    composed = unicodedata.normalize("NFC", ascii_digits(text))
    parts = re.findall(".[ﾞﾟ]?", composed, re.DOTALL)  # half-width voiced kana are two characters
    return "".join(
        part
        if part.isascii() or part in _FULL_WIDTH_MARKS or part in _ROMAN_SIGNS or kept.match(part)
        else unicodedata.normalize("NFKC", part)
        for part in parts
    )
