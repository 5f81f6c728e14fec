"""Money: signs and codes of currencies, with thousands and millions in letters."""

from __future__ import annotations

from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.zh.kinds.patterns import DASH, FREE, MAGNITUDES, NUMBER, any_of, number_rule
from sovits_runtime.text.zh.kinds.quantities import amount
from sovits_runtime.text.zh.numbers import read_cardinal

CURRENCIES: Final = {
    "¥": "元",
    "￥": "元",
    "元": "元",
    "CN¥": "元",
    "JP¥": "日元",
    "$": "美元",
    "US$": "美元",
    "HK$": "港元",
    "NT$": "新台币",
    "MOP$": "澳门元",
    "A$": "澳元",
    "AU$": "澳元",
    "C$": "加元",
    "CA$": "加元",
    "NZ$": "新西兰元",
    "S$": "新加坡元",
    "SG$": "新加坡元",
    "R$": "雷亚尔",
    "€": "欧元",
    "£": "英镑",
    "₩": "韩元",
    "₹": "卢比",
    "₽": "卢布",
    "฿": "泰铢",
    "₫": "越南盾",
    "₺": "里拉",
    "₱": "比索",
    "₿": "比特币",
    "RMB": "元人民币",
    "CNY": "元人民币",
    "USD": "美元",
    "HKD": "港元",
    "TWD": "新台币",
    "NTD": "新台币",
    "MOP": "澳门元",
    "JPY": "日元",
    "EUR": "欧元",
    "GBP": "英镑",
    "KRW": "韩元",
    "AUD": "澳元",
    "CAD": "加元",
    "SGD": "新加坡元",
    "CHF": "瑞士法郎",
    "THB": "泰铢",
    "RUB": "卢布",
    "INR": "卢比",
}
_CODES: Final = any_of(name for name in CURRENCIES if name.isascii() and name.isalpha())
_SIGNS: Final = any_of(
    name for name in CURRENCIES if not (name.isascii() and name.isalpha()) and name != "元"
)
_NAMES: Final = (
    "元|块钱?|美元|美金|刀|欧元|英镑|日元|日圆|港币|港元|蚊|人民币|韩元|卢布|卢比|台币|新台币|澳元|加元|泰铢"
)
_LETTERS: Final = {
    "k": 1000,
    "K": 1000,
    "M": 10**6,
    "m": 10**6,
    "B": 10**9,
    "b": 10**9,
    "bn": 10**9,
    "thousand": 1000,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "T": 10**12,
}
_MAGNITUDE: Final = (
    rf"(?P<magnitude> ?(?:[{MAGNITUDES}]{{1,2}}|(?:bn|thousand|million|billion|trillion|"
    rf"[kKMmBbT])(?![A-Za-z])))?"
)


def scaled(number: str, factor: int) -> str:
    """A number times a power of ten, in words.

    Args:
        number: Such as `"1.5"`.
        factor: 1000 or more.
    """
    whole, _, decimals = number.replace(",", "").partition(".")
    zeros = len(str(factor)) - 1
    if len(decimals) > zeros:
        return amount(number) + read_cardinal(str(factor))
    return amount(str(int(whole + decimals.ljust(zeros, "0"))))


def _value(number: str, magnitude: str | None) -> str:
    magnitude = (magnitude or "").strip()
    if magnitude in _LETTERS:
        return scaled(number, _LETTERS[magnitude])
    return amount(number) + magnitude


def money_words(currencies: dict[str, str]) -> Kind:
    """The kind that reads money, for one way of naming currencies.

    Args:
        currencies: Sign or code -> name, or how it is said.
    """

    def signed(match: Match[str]) -> str:
        minus = "负" if match["minus"] or match["inner"] else ""
        magnitude, unit = match["magnitude"], match["unit"] or currencies[match["sign"].strip()]
        spoken = _value(match["number"], magnitude)
        if match["second"]:
            spoken += "到" + _value(match["second"], magnitude)
        more = "多" if match["more"] else ""
        return f"{minus}{spoken}{more}{unit}"

    def trailed(match: Match[str]) -> str:
        return f"{_value(match['number'], match['magnitude'])}{currencies[match['sign']]}"

    second = rf"(?: ?{DASH} ?(?:{_SIGNS})?(?P<second>{NUMBER}))?"
    return Kind(
        "money",
        "amounts with a sign or a code: ¥299, $3.5M, 100 USD",
        (
            number_rule(
                rf"(?<![A-Za-z])(?P<minus>(?<![\d%])-)?(?P<sign>{_SIGNS}|(?:{_CODES})(?= ?\d)) "
                rf"?(?P<inner>-)?(?P<number>{NUMBER}){second}{_MAGNITUDE}"
                rf"(?P<more>\+)?(?P<unit>{_NAMES})?",
                signed,
            ),
            number_rule(
                rf"{FREE}(?P<number>{NUMBER}){_MAGNITUDE} ?(?P<sign>{_SIGNS}|{_CODES})(?![A-Za-z\d])", trailed
            ),
            number_rule(rf"{FREE}(?P<number>{NUMBER})¢", lambda match: f"{amount(match['number'])}美分"),
        ),
    )


MONEY: Final = money_words(CURRENCIES)
