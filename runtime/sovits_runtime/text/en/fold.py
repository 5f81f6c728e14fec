"""Characters that stand for plain ones: full width, ligatures, curly quotes, superscripts, accents."""

from __future__ import annotations

import re
import unicodedata
from re import Match
from typing import Final

from sovits_runtime.text.en import roman, say
from sovits_runtime.text.spelling import Kind

_PLAIN: Final = str.maketrans(
    {
        "²": "^2", "³": "^3", "¹": "^1", "⁰": "^0", "⁴": "^4", "⁵": "^5", "⁶": "^6", "⁷": "^7", "⁸": "^8", "⁹": "^9",
        "™": "", "®": "", "©": "", "℠": "",
        "，": ", ", "、": ", ", "；": "; ", "：": ": ", "。": ". ", "！": "! ", "？": "? ", "（": " (", "）": ") ",
        "　": " ", "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O",
        "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i",
        "’": "'", "‘": "'", "ʼ": "'", "ʻ": "'", "´": "'", "‛": "'", "′": "'", "＇": "'",
        "“": '"', "”": '"', "„": '"', "‟": '"', "«": '"', "»": '"', "″": '"', "〝": '"', "〞": '"',
        "‹": "'", "›": "'", "‐": "-", "‑": "-", "⁃": "-", "﹣": "-", "―": "—", "‒": "–",
        "º": "°", "˚": "°", "℃": "°C", "℉": "°F", "№": "number ", "⁄": "/", "∕": "/", "∶": ":",
        "µ": "μ", "…": "...", "￥": "¥", "¿": "", "¡": "", "≠": "!=",
    }
)  # fmt: skip
_ROMAN_SIGNS: Final = re.compile("(?<![A-Za-z\\d.)])(?<![A-Za-z.] )[\u2160-\u217f]+(?= ?[a-z])")
_FRACTION: Final = re.compile("(?<=\\d)(?=[¼½¾⅐-⅞])")
_OTHER: Final = re.compile("[^\x00-\x7f]+")
_FACE: Final = re.compile(
    r"(?<!\S)(?:[:;=]'?-?[()DPpOo|*\\/\]\[]+|<3+|XD+|xD+|\^_*\^|-_+-|[Tt]_[Tt]|[oO]_[oO]|:-?3)(?=[\s.,!?]|$)"
)
_BLANKS: Final = re.compile("[\t\x0b\x0c\x1c-\x1f\x85\u2028\u2029]+")
_MARK_ABOVE: Final = re.compile("[\u0300-\u036f\ufe00-\ufe0f]+")


def _digit(char: str) -> str:
    """A digit of any script in its plain form; other characters stay."""
    return str(unicodedata.decimal(char)) if char.isdecimal() else char


def _roman_number(match: Match[str]) -> str:
    """A numeral of signs that stands for itself, not behind a name or a label."""
    number = roman.value(unicodedata.normalize("NFKC", match[0]))
    return match[0] if number is None else say.whole(str(number))


def _fold(match: Match[str]) -> str:
    plain = unicodedata.normalize("NFKC", match[0].translate(_PLAIN)).translate(_PLAIN)
    parts = _MARK_ABOVE.sub("", unicodedata.normalize("NFD", plain))
    kept = "".join(_digit(char) for char in parts if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", kept)


KINDS: Final = (
    Kind(
        "compatibility-characters",
        "characters in another form, such as full width, ligatures, curly quotes and accents, become plain ones",
        ((_FRACTION, " "), (_ROMAN_SIGNS, _roman_number), (_OTHER, _fold), (_MARK_ABOVE, ""), (_BLANKS, " ")),
    ),
    Kind(
        "emoticons",
        ":), <3: faces are left out, a heart before a word is love",
        ((re.compile(r"(?<!\S)<3+(?=\s\w)"), "love"), (_FACE, "")),
    ),
)
