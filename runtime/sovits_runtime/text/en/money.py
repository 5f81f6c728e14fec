"""Amounts of money."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list


@dataclass(frozen=True)
class Currency:
    """Names of a currency: one and several, and of its hundredth part."""

    one: str
    many: str
    small_one: str = "cent"
    small_many: str = "cents"

    def units(self, *, single: bool) -> str:
        """The name of the currency behind a number."""
        return self.one if single else self.many


def _plain(name: str, small: str = "cent") -> Currency:
    return Currency(name, f"{name}s", small, f"{small}s")


_DOLLAR: Final = _plain("dollar")
_POUND: Final = Currency("pound", "pounds", "penny", "pence")
_EURO: Final = _plain("euro")
_YEN: Final = Currency("yen", "yen", "sen", "sen")
_SIGNS: Final[Mapping[str, Currency]] = {
    "US$": _plain("U S dollar"), "A$": _plain("Australian dollar"), "AU$": _plain("Australian dollar"),
    "C$": _plain("Canadian dollar"), "CA$": _plain("Canadian dollar"), "HK$": _plain("Hong Kong dollar"),
    "NZ$": _plain("New Zealand dollar"), "S$": _plain("Singapore dollar"), "NT$": _plain("New Taiwan dollar"),
    "R$": Currency("real", "reais", "centavo", "centavos"), "$": _DOLLAR, "£": _POUND, "€": _EURO, "¥": _YEN,
    "₹": Currency("rupee", "rupees", "paisa", "paise"), "Rs.": Currency("rupee", "rupees", "paisa", "paise"),
    "Rs": Currency("rupee", "rupees", "paisa", "paise"), "₩": Currency("won", "won"), "₽": _plain("ruble", "kopeck"),
    "₺": Currency("lira", "lira", "kurush", "kurush"), "₿": _plain("bitcoin"), "฿": Currency("baht", "baht"),
    "₫": Currency("dong", "dong"), "₴": Currency("hryvnia", "hryvnias"), "₪": _plain("shekel"), "₱": _plain("peso"),
    "₦": Currency("naira", "naira"), "₡": _plain("colon"), "₲": Currency("guarani", "guaranis"),
}  # fmt: skip
_CODES: Final[Mapping[str, Currency]] = {
    "USD": _plain("U S dollar"), "EUR": _EURO, "GBP": _plain("British pound", "penny"), "JPY": _YEN,
    "AUD": _SIGNS["A$"],
    "CNY": Currency("yuan", "yuan", "fen", "fen"), "RMB": Currency("yuan", "yuan", "fen", "fen"), "CAD": _SIGNS["C$"],
    "CHF": Currency("Swiss franc", "Swiss francs"), "INR": _SIGNS["₹"], "KRW": _SIGNS["₩"], "HKD": _SIGNS["HK$"],
    "SGD": _SIGNS["S$"], "NZD": _SIGNS["NZ$"], "BTC": _plain("bitcoin"),
    "SEK": Currency("Swedish krona", "Swedish kronor"),
    "NOK": Currency("Norwegian krone", "Norwegian kroner"), "DKK": Currency("Danish krone", "Danish kroner"),
    "MXN": _plain("Mexican peso"), "TWD": _SIGNS["NT$"],
}  # fmt: skip
SCALES: Final[Mapping[str, str]] = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million", "mm": "million",
    "MM": "million",
    "mil": "million", "b": "billion", "B": "billion", "bn": "billion", "Bn": "billion", "BN": "billion",
    "t": "trillion", "T": "trillion", "tn": "trillion", "trn": "trillion", "thousand": "thousand",
    "million": "million", "billion": "billion", "trillion": "trillion",
}  # fmt: skip
_SCALE: Final = (
    r"(?:\s?(?P<scale>(?i:thousand|million|billion|trillion)|mn|mm|MM|mil|bn|Bn|BN|tn|trn|[kKmMbBtT])"
    r"(?![A-Za-z]))?"
)
_SIGN: Final = "|".join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True))
_NUMBER: Final = say.NUMBER
_RANGE: Final = re.compile(
    rf"(?<![A-Za-z\d])(?P<sign>{_SIGN})\s?(?P<low>{_NUMBER})(?P<lowscale>[kKmM]?|\s?(?:million"
    rf"|billion))(?:[-–—]|\s[-–—]\s|\sto\s)"
    rf"(?:{_SIGN})?\s?(?P<number>{_NUMBER}){_SCALE}"
)
_RANGE_BEFORE_UNIT: Final = re.compile(
    rf"(?<![\w.,-])({_NUMBER})(?:[-–—]|\s[-–—]\s)(?={_NUMBER}{_SCALE}\s?(?:[€$£¥¢]|(?:{'|'.join(_CODES)})\b))"
)
_BEFORE: Final = re.compile(
    rf"(?<![A-Za-z\d])(?P<minus>[-−]\s?)?(?P<sign>{_SIGN})\s?(?P<minus2>[-−]\s?)?(?P<number>{_NUMBER}){_SCALE}(?P<plus>\+)?"
)
_AFTER: Final = re.compile(rf"(?<![\w.,])(?P<number>{_NUMBER})\s?{_SCALE}\s?(?P<sign>[$£€¥₹₩₽₺₫₴₪])(?!\w)")
_CODE_AFTER: Final = re.compile(rf"(?<![\w.,])(?P<number>{_NUMBER}){_SCALE}\s?(?P<sign>{'|'.join(_CODES)})\b")
_CODE_BEFORE: Final = re.compile(rf"\b(?P<sign>{'|'.join(_CODES)})\s?(?P<number>{_NUMBER}){_SCALE}(?![\w])")
_CENTS: Final = re.compile(rf"(?<![\w.,])(?P<number>{_NUMBER})\s?¢")
_PENCE: Final = re.compile(r"(?<![\w.,])(?P<number>\d{1,2})p\b(?!\.\s?\d)")
_NAMES: Final = r"\b((?:dollar|pound|euro|cent|rupee|bitcoin)s?|pence|yen|won|yuan)"
_PER: Final = re.compile(
    rf"{_NAMES}\s?/\s?(hour|hr|h|day|week|wk|month|mo|year|yr|person|night|head|kg|lb|unit|item|user|seat|pound"
    rf"|gallon|gal"
    r"|minute|min|piece|page|word|ticket|mile|km|kWh)\b"
)
_HYPHENED: Final = re.compile(rf"{_NAMES}-([A-Za-z])")
_PER_WORDS: Final = {
    "hr": "hour", "h": "hour", "wk": "week", "mo": "month", "yr": "year", "kg": "kilogram", "lb": "pound",
    "gal": "gallon",
    "min": "minute", "km": "kilometer", "kWh": "kilowatt hour",
}  # fmt: skip
_COUNTED: Final = re.compile(
    r"(?:\b(?:an?|the|this|that|these|those|his|her|their|our|my|your|its|each|every|per|another|one|two|three"
    r"|four|five|six"
    r"|ten|some|no|any|with|crisp|extra|whole|single|annual|new|old|free)|\d)\s\Z",
    re.IGNORECASE,
)
_FUNCTION_WORDS: Final = frozenset(
    word_list(
        "a an the and or but nor for to of in on at by with from as than into per is was are were be been has"
        " have had do"
        " does did will would can could should may might must not more less each every all only just too also so if"
        " when while because after before until since about over under off up down out back now then today yesterday"
        " tomorrow here there he she it they we you i that this these those which who what extra total left away ago"
        " again plus minus instead apiece anyway and/or i'd i'll i'm i've you'd you'll he'd she'd we'd they'd worth"
        " goes went comes came makes made looks seems costs cost buys gets got gave gives was says said cash per via"
        " my your his her our their its us me him them no yes please on"
    )
)
_NEXT: Final = re.compile(r"\s([A-Za-z][A-Za-z']*)(?:-[A-Za-z]+)?")


def _is_adjective(match: Match[str]) -> bool:
    """Whether an amount stands before what it counts, as in "a $50 coupon"."""
    if re.match(r"-(?!off\b)[A-Za-z]", match.string[match.end() : match.end() + 5]):
        return True
    following = _NEXT.match(match.string, match.end())
    if following is None or following[1].lower() in _FUNCTION_WORDS:
        return False
    before = match.string[max(0, match.start() - 16) : match.start()]
    return _COUNTED.search(before) is not None


def _amount(number: str, scale: str | None, currency: Currency, *, adjective: bool) -> str:
    if scale:
        name = SCALES.get(scale) or scale.lower()
        return f"{say.number(number)} {name} {currency.units(single=adjective)}"
    plain = number.replace(",", "")
    head, _, cents = plain.partition(".")
    if len(cents) == 1 and cents != "0":
        cents += "0"
    if cents and len(cents) != 2 and cents.strip("0"):
        return f"{say.number(number)} {currency.units(single=adjective)}"
    units = say.whole(head or "0")
    small = int(cents or 0) if cents.strip("0") else 0
    single = adjective or (head.lstrip("0") == "1")
    words = f"{units} {currency.units(single=single)}"
    if not small:
        return words
    small_words = (
        f"{say.whole(cents)} {currency.small_one if small == 1 or adjective else currency.small_many}"
    )
    return small_words if not (head or "0").strip("0") else f"{words} and {small_words}"


def _money(match: Match[str]) -> str:
    groups = match.groupdict()
    sign = groups["sign"]
    currency = _SIGNS.get(sign) or _CODES[sign]
    minus = "minus " if groups.get("minus") or groups.get("minus2") else ""
    plus = " plus" if groups.get("plus") else ""
    return minus + _amount(groups["number"], groups["scale"], currency, adjective=_is_adjective(match)) + plus


def _range(match: Match[str]) -> str:
    currency = _SIGNS[match["sign"]]
    low = say.number(match["low"])
    scale = match["lowscale"].strip()
    if scale:
        low = f"{low} {SCALES.get(scale, scale)}"
    if "." in match["low"] or "." in match["number"]:
        low = _amount(match["low"], None, currency, adjective=False) if not (scale or match["scale"]) else low
    return f"{low} to {_amount(match['number'], match['scale'], currency, adjective=_is_adjective(match))}"


def _cents(match: Match[str]) -> str:
    single = match["number"] == "1" or _is_adjective(match)
    return f"{say.number(match['number'])} cent{'' if single else 's'}"


KINDS: Final = (
    Kind(
        "money",
        "$1,234.56, £5, €20, $5k, $3.5 million, 99¢, a $50 coupon: the amount first, then the currency",
        (
            (_RANGE, _range),
            (_RANGE_BEFORE_UNIT, r"\1 to "),
            (_BEFORE, _money),
            (_CODE_BEFORE, _money),
            (_AFTER, _money),
            (_CODE_AFTER, _money),
            (_CENTS, _cents),
            (
                _PENCE,
                lambda match: (
                    f"{say.whole(match['number'])} {'penny' if match['number'] == '1' else 'pence'}"
                ),
            ),
            (_HYPHENED, r"\1 \2"),
            (_PER, lambda match: f"{match[1]} per {_PER_WORDS.get(match[2], match[2])}"),
        ),
    ),
)
