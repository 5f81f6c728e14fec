"""Rewrites English text so that the original's normaliser reads it right.

Every rule here has its row in `sovits_runtime.text.en.corrections`, with the reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from re import Match
from typing import Final

from sovits_runtime.text.en.lexicon import knows
from sovits_runtime.text.en.numbers import cardinal, number_or_year

Rule = tuple[re.Pattern[str], "str | Callable[[Match[str]], str]"]

_BEFORE_FOLDING: Final = str.maketrans(
    {
        "²": " squared", "³": " cubed", "™": "", "®": "", "©": "",
        "，": ", ", "、": ", ", "；": ", ", "：": ": ", "。": ". ", "！": "! ", "？": "? ",
        "（": " ", "）": " ", "　": " ",
        "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
        "đ": "d", "Đ": "D", "ð": "d", "þ": "th", "Þ": "Th", "ı": "i",
        "…": "... ", "’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'",
        "“": " ", "”": " ", "„": " ", "«": " ", "»": " ", '"': " ",
        "—": ", ", "―": ", ", "−": "-", "‐": "-", "‑": "-",
    }
)  # fmt: skip
_UNITS: Final[Mapping[str, str]] = {
    "km/h": "kilometers per hour", "kph": "kilometers per hour", "mph": "miles per hour", "m/s": "meters per second",
    "kg": "kilograms", "g": "grams", "mg": "milligrams", "lb": "pounds", "lbs": "pounds", "oz": "ounces",
    "mm": "millimeters", "cm": "centimeters", "ml": "milliliters", "mL": "milliliters", "ms": "milliseconds",
    "KB": "kilobytes", "MB": "megabytes", "GB": "gigabytes", "TB": "terabytes",
    "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz",
    "W": "watts", "kW": "kilowatts", "kWh": "kilowatt hours", "V": "volts",
}  # fmt: skip
_CORE_UNITS: Final = "km|m|ft|L|tbsp|tsp|h|min|s"
_CURRENCIES: Final = {"$": "dollars", "£": "pounds", "€": "euros", "¥": "yen"}
_SIGNS: Final = {
    "&": " and ", "@": " at ", "+": " plus ", "=": " equals ", "*": " times ", "×": " times ", "÷": " divided by ",
    "°": " degrees ", "_": " ", "/": " ", "\\": " ", "|": " ", "<": " ", ">": " ", "^": " ",
    "(": " ", ")": " ", "[": " ", "]": " ", "{": " ", "}": " ", "#": " ", "~": " ", ":": ", ", ";": ", ",
}  # fmt: skip
_SIGN: Final = re.compile("[" + re.escape("".join(_SIGNS)) + "]")
_ADDRESS: Final = re.compile(
    r"(?:\bhttps?://|\bwww\.)[^\s,;]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|\b[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|org|net|edu|gov|io|ai)\b(?:/[^\s,;]*)?",
    re.IGNORECASE,
)
_ADDRESS_SIGNS: Final = {".": " dot ", "@": " at ", "/": " slash ", "-": " dash ", "_": " underscore "}


def _address(match: Match[str]) -> str:
    address = re.sub("^https?://", "", match[0], flags=re.IGNORECASE)
    trimmed = address.rstrip(".?!/'")
    spoken = re.sub(r"[./@_-]", lambda sign: _ADDRESS_SIGNS[sign[0]], trimmed)
    return spoken + (address[len(trimmed) :].replace("/", "") or "")


def _unit(match: Match[str]) -> str:
    words = _UNITS[match[2]]
    if match[1] == "1":
        first, _, rest = words.partition(" ")
        words = f"{first.removesuffix('s')} {rest}".strip()
    return f"{match[1]} {words}"


def _half_day(match: Match[str]) -> str:
    hour, minute, half = match[1], match[2] or "00", match[3].lower()
    spoken = "" if minute == "00" else f" {'oh ' if minute[0] == '0' else ''}{cardinal(minute)}"
    return f"{cardinal(hour)}{spoken} {half}.m."


def _decade(match: Match[str]) -> str:
    words = number_or_year(match[1])
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def _big_money(match: Match[str]) -> str:
    return f"{match[2]} {match[3].lower()} {_CURRENCIES[match[1]]}"


def _grouped(match: Match[str]) -> str:
    return cardinal(match[0].replace(",", ""))


def _money_in_thousands(match: Match[str]) -> str:
    return f"{cardinal(match[2])} {_CURRENCIES[match[1]]}"


def _list_number(match: Match[str]) -> str:
    return f"{match[1]}{match[2]}th, "


_RULES: Final[tuple[Rule, ...]] = (
    (re.compile(r"(?<=[.!?,;:])\s*[\r\n]+\s*"), " "),
    (re.compile(r"\s*[\r\n]+\s*"), ". "),
    (re.compile(r"\s+"), " "),
    (_ADDRESS, _address),
    (re.compile(r"(?<![A-Za-z])'|'(?![A-Za-z])"), ""),
    (re.compile(r"(?<=[A-Za-z]')([A-Z])(?=[a-z])"), lambda match: match[1].lower()),
    (re.compile(r"\b(Mr|Mrs|Ms|Dr|Prof|Jr|Sr|vs)\.(?= )"), r"\1"),
    (re.compile(r"\bNo\. ?(?=\d)"), "number "),
    (re.compile(r"#(?=\d)"), "number "),
    (re.compile(r"\b([CF])#"), r"\1 sharp"),
    (re.compile(r"(?<=\d) ?[–~] ?(?=\d)"), " to "),
    (re.compile(r" ?–+ ?|(?<!\b\w) -{1,3} (?!\d)| -{1,3} (?!\d|\w\b)|--+"), ", "),
    (re.compile(r"([$£€¥])-(?=\d)"), r"negative \1"),
    (re.compile(r"(?<![\w.])-([$£€¥]?)(?=\.?\d)"), r"negative \1"),
    (re.compile(r"(?<![\d.])\.(?=\d)"), "0."),
    (re.compile(r"(?<!\d)\d+(?:\.\d+){2,}"), lambda match: match[0].replace(".", " point ")),
    (re.compile(r"\b(\d{1,2})(?::([0-5]\d))? ?([AaPp])\.?[Mm]\b\.?"), _half_day),
    (re.compile(r"\b(\d{1,2}:\d\d):(\d\d)\b"), r"\1 and \2 seconds"),
    (re.compile(r"\b24:00\b"), "24 o'clock"),
    (re.compile(r"(?<=\d):(?=\d(?!\d))|(?<=\d\d\d):(?=\d)"), " to "),
    (re.compile(r"\b24/7\b"), "24 7"),
    (re.compile(r"\b(\d+)/(\d+)/(\d+)\b"), r"\1 \2 \3"),
    (re.compile(r"\b(\d{3}0)s\b"), _decade),
    (re.compile(r"(?<=\bthe )([2-9]0)s\b"), _decade),
    (re.compile(r"([$£€¥])(\d[\d,.]*) ?(thousand|million|billion|trillion)\b", re.IGNORECASE), _big_money),
    (re.compile(r"([$£])(1\d{3}|2\d{3})(?![\d.,])"), _money_in_thousands),
    (re.compile(r"([€¥])(\d+(?:,\d{3})*(?:\.\d+)?)"), lambda match: f"{match[2]} {_CURRENCIES[match[1]]}"),
    (re.compile(r"(?<![\d.,$£])\d{1,3}(?:,\d{3})+(?![\d.])"), _grouped),
    (re.compile(r"(?<=\d),(?=\d{1,2}(?!\d)|\d{4})"), ", "),
    (re.compile(r"(?<![\d.])(\d+(?:\.\d+)?) ?(" + "|".join(sorted(_UNITS, key=len, reverse=True)) + r")\b"), _unit),
    (re.compile(rf"(\d)(?!(?:st|nd|rd|th|{_CORE_UNITS})\b)(?=[A-Za-z])"), r"\1 "),
    (re.compile(r"(?<=[A-Za-z])(?=\d)"), " "),
    (re.compile(r"(^|[.!?] )([1-9]\d?)\. (?=[A-Z])"), _list_number),
)  # fmt: skip
_AFTER_SIGNS: Final[tuple[Rule, ...]] = (
    (re.compile(r"(?<![,.!?]) +(?=[,.!?])"), ""),
    (re.compile(r"(?<=[,.!?])(?: +[,.!?])+"), ""),
    (re.compile(r" {2,}"), " "),
)
_VULGAR_FRACTION: Final = re.compile(r"(?<=\d)(?=[¼½¾⅐-⅞])")
_TIMES: Final = re.compile(r"(?<![\d:])(?:[01]?\d|2[0-3]):[0-5]\d(?![\d:])")
_CAPITALS: Final = re.compile(r"(?<![A-Za-z'])[A-Z]{2,}(?![A-Za-z])")
_DROPPED: Final = re.compile(r"[^ A-Za-z0-9'.,?!%$£°/:\-]")


def _fold(text: str) -> str:
    text = _VULGAR_FRACTION.sub(" and ", text).translate(_BEFORE_FOLDING)
    text = unicodedata.normalize("NFKC", text).replace("⁄", "/")
    return "".join(char for char in text if unicodedata.category(char) != "Cf")


def _lower_capitals(text: str) -> str:
    words = _CAPITALS.findall(text)
    shouted = sum(len(word) >= 3 for word in words) >= 2 and not re.search("[a-z]", text)
    if shouted:
        return text.lower()
    return _CAPITALS.sub(
        lambda match: match[0].lower() if len(match[0]) >= 4 and knows(match[0]) else match[0], text
    )


def _spell_signs(text: str) -> str:
    kept: list[str] = []
    last = 0
    for match in re.finditer(rf"{_TIMES.pattern}|(?<!\d)\d+/\d+|\d°[CF]\b", text):
        kept += [_SIGN.sub(lambda sign: _SIGNS[sign[0]], text[last : match.start()]), match[0]]
        last = match.end()
    return "".join([*kept, _SIGN.sub(lambda sign: _SIGNS[sign[0]], text[last:])])


def repair(text: str) -> tuple[str, list[str]]:
    """Rewrite what the normaliser would misread.

    Args:
        text: English text.

    Returns:
        The rewritten text, and the characters that nothing can be made of.

    Raises:
        TextError: A package of the `en` extra is not installed.
    """
    text = _lower_capitals(_fold(text))
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    text = _spell_signs(text)
    plain = "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")
    dropped = _DROPPED.findall(plain)
    text = _DROPPED.sub(" ", plain)
    for pattern, replacement in _AFTER_SIGNS:
        text = pattern.sub(replacement, text)
    return text.strip(), dropped
