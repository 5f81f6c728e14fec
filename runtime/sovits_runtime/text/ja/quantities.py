"""Japanese amounts: money, units, fractions, sums, ratios, ranges, and the numbers that are left."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.ja.numbers import (
    DASH,
    NUMBER,
    RANGE,
    WAVE,
    called,
    either,
    from_low,
    kanji,
    number,
)
from sovits_runtime.text.ja.units import SPEEDS, UNITS
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.written import VULGAR_FRACTIONS

_STARTS: Final = r"(?<!\d)(?<!\d[.,，])"  # also what keeps long numbers from being tried at every digit
_NOT_INSIDE: Final = rf"{_STARTS}(?<![A-Za-z])"
_LOW: Final = rf"(?P<low>(?:{NUMBER})(?={RANGE}\d))?(?(low){RANGE})"
_SCALE: Final = "[十百千万億兆]{1,2}"

_CURRENCIES: Final = {
    "$": "ドル", "US$": "ドル", "USD": "ドル", "¥": "円", "￥": "円", "JPY": "円", "€": "ユーロ",
    "EUR": "ユーロ", "£": "ポンド",
    "GBP": "ポンド", "₩": "ウォン", "KRW": "ウォン", "₹": "ルピー", "₽": "ルーブル", "฿": "バーツ",
    "HK$": "香港ドル", "NT$": "台湾ドル",
    "A$": "豪ドル", "C$": "カナダドル", "CNY": "人民元", "RMB": "人民元", "₿": "ビットコイン", "₫": "ドン",
    "CHF": "スイスフラン",
}  # fmt: skip
_CENTS: Final = {"ドル": "セント", "ユーロ": "セント", "ポンド": "ペンス"}
_SIGN: Final = either(_CURRENCIES)
_ENGLISH: Final = {
    "k": 10**3,
    "m": 10**6,
    "b": 10**9,
    "bn": 10**9,
    "million": 10**6,
    "billion": 10**9,
    "t": 10**12,
}
_MONEY_BEFORE: Final = re.compile(
    rf"(?<![A-Za-z])(?P<sign>{_SIGN})\s?(?P<low>(?:{NUMBER})(?={RANGE}(?:{_SIGN})?\s?\d))?(?(low){RANGE}(?:{_SIGN})?\s?)"
    rf"(?P<amount>{NUMBER})(?:(?P<scale>{_SCALE})|\s?(?P<english>million|billion|bn"
    rf"|[KkMBT])(?![A-Za-z]))?(?:{DASH}(?!\d))?"
    "円?"
)
_MONEY_AFTER: Final = re.compile(
    rf"{_NOT_INSIDE}{_LOW}(?P<amount>{NUMBER})(?P<scale>{_SCALE})?\s?(?P<sign>{_SIGN})(?![A-Za-z\d])"
)
_THOUSAND_YEN: Final = re.compile(rf"{_NOT_INSIDE}(?P<number>{NUMBER})[Kk](?=円)")

_SPEED: Final = re.compile(
    rf"{_NOT_INSIDE}(?:[時秒]速\s?)?(?P<number>{NUMBER})\s?(?P<unit>{either(SPEEDS)})(?![A-Za-z])"
)
_MEASURED: Final = re.compile(
    rf"{_NOT_INSIDE}{_LOW}(?P<number>{NUMBER})(?P<scale>{_SCALE})?\s?(?P<unit>{either(UNITS)})(?:/(?P<per>{either(UNITS)}"
    r"|h|s))?"
    rf"(?![A-Za-z]|\d(?!(?:\d{{0,5}}|\d{{0,2}}(?:,\d{{3}})+)円))"
)
_PER_UNIT: Final = re.compile(rf"(?<![A-Za-z\d])(?P<unit>{either(UNITS)})(?=あたり|当たり|単位|数)")
_PER: Final = {"h": "時", "s": "秒"}
_PERCENT: Final = re.compile(rf"(?:{_NOT_INSIDE}{_LOW}(?P<number>{NUMBER}))?\s?(?P<sign>[%‰])")
_DEGREES: Final = re.compile(rf"{_STARTS}{_LOW}(?P<number>{NUMBER})\s?°\s?(?P<scale>[CF](?![A-Za-z]))?")

_COMPARED: Final = {
    ">": "だいなり", "<": "しょうなり", "≥": "だいなりイコール", "≧": "だいなりイコール",
    ">=": "だいなりイコール", "≤": "しょうなりイコール",
    "≦": "しょうなりイコール", "<=": "しょうなりイコール", "≠": "ノットイコール", "!=": "ノットイコール",
    "≒": "ニアリーイコール",
    "≈": "ニアリーイコール", "≡": "合同",
}  # fmt: skip
_LIMITS: Final = {
    ">": "より大きい", "<": "未満", "≥": "以上", "≧": "以上", ">=": "以上", "≤": "以下", "≦": "以下", "<=": "以下",
}  # fmt: skip
_OPERAND: Final = rf"(?:{NUMBER}|[A-Za-z](?![A-Za-z]))"
_COMPARISON: Final = re.compile(
    rf"(?<=[\dA-Za-z)])\s?(?P<sign>{either(_COMPARED)})\s?(?={DASH}?{_OPERAND}|\()"
)
_LIMIT: Final = re.compile(
    rf"(?P<sign>{either(_LIMITS)})\s?(?P<right>(?:{NUMBER})(?:[歳才人個点円%度本回枚名台件]|万円)?)"
)
_EQUATION: Final = re.compile(
    rf"[\d)A-Za-z]\s?(?:{DASH}|[+×÷*])\s?[\d(A-Za-z][\d\s.,+×÷*()A-Za-z−-]{{0,40}}[=≒≠]"
    rf"|[=]\s?[\d(][\d\s.,+×÷*()−-]{{0,40}}\d"
)
_MINUS_IN_SUM: Final = re.compile(rf"(?<=[\d)A-Za-z])\s?{DASH}\s?(?=[\d(A-Za-z])")
_MINUS: Final = re.compile(
    rf"(?:(?<![\w)）%°]){DASH}|(?<=[\u3040-\u30ff\u4e00-\u9fff]){DASH}|[▲△])(?=\d|[$¥￥€£])"
)

_FRACTION: Final = re.compile(
    r"(?<![\d/.A-Za-z])(?<!\d,)(?:(?P<whole>\d+)(?:\s"
    r"|と))?(?P<top>\d{1,4})[/⁄](?P<bottom>[1-9]\d{0,4})(?![\d/]|\.\d|[A-Za-z])"
)
_KANJI_FRACTION: Final = re.compile(
    r"(?<=[一二三四五六七八九十百千万\d])分(?=の[一二三四五六七八九十百千\d])"
)
_WON: Final = (
    r"で(?:勝|負|敗|快勝|大勝|完勝|圧勝|辛勝|引き分|リード|逆転|下し|破|制し|降し|試合|終|決着)|の(?:勝利"
    r"|敗戦|引き分|スコア|逆転|接戦|大差)"
)
_SCORE: Final = re.compile(
    rf"(?<![\d:：.-])(?P<left>\d{{1,3}})\s?(?:{DASH}|[:：])\s?(?P<right>\d{{1,3}})(?=\s?(?:{_WON}))"
)
_RATIO: Final = re.compile(
    r"(?<![\d:：.])(?P<left>\d{1,4}(?:\.\d+)?)\s?[:：∶]\s?(?P<right>\d{1,4}(?:\.\d+)?)(?:\s?[:：∶]\s?(?P<third>\d{1,4}))?(?![\d:：])"
)
_AFTER_RANGE: Final = r"[\u3041-\u30ff\u4e00-\u9fff%A-Za-z°]"


def _money(match: Match[str]) -> str:
    groups = match.groupdict()
    name, amount, scale = _CURRENCIES[match["sign"]], match["amount"], groups["scale"] or ""
    low = from_low(groups["low"])
    if groups.get("english"):
        value = round(float(re.sub("[,，]", "", amount)) * _ENGLISH[match["english"].lower()])
        return f"{low}{kanji(str(value))}{name}"
    whole, _, cents = amount.partition(".")
    if len(cents) == 2 and name in _CENTS and not scale:
        units = f"{kanji(whole)}{name}" if whole.strip("0,") else ""
        return low + units + (f"{kanji(str(int(cents)))}{_CENTS[name]}" if int(cents) else "")
    return f"{low}{number(amount)}{scale}{name}"


def _measured(match: Match[str]) -> str:
    per = f"毎{_PER.get(match['per']) or UNITS[match['per']]}" if match["per"] else ""
    return (
        f"{from_low(match['low'])}{number(match['number'])}{match['scale'] or ''}{UNITS[match['unit']]}{per}"
    )


def _percent(match: Match[str]) -> str:
    word = "パーセント" if match["sign"] == "%" else "パーミル"
    return from_low(match["low"]) + (number(match["number"]) if match["number"] else "") + word


def _degrees(match: Match[str]) -> str:
    value = "零" if match["number"] == "0" else number(match["number"])
    return f"{'華氏' if match['scale'] == 'F' else ''}{from_low(match['low'])}{value}度"


def _vulgar(match: Match[str]) -> str:
    top, bottom = VULGAR_FRACTIONS[match["sign"]]
    return (
        f"{kanji(match['whole']) + 'と' if match['whole'] else ''}{kanji(str(bottom))}ぶんの{kanji(str(top))}"
    )


def _fraction(match: Match[str]) -> str:
    whole = f"{kanji(match['whole'])}と" if match["whole"] else ""
    return f"{whole}{kanji(match['bottom'])}ぶんの{kanji(match['top'])}"


def _ratio(match: Match[str]) -> str:
    third = match.groupdict().get("third")
    return "対".join(number(part) for part in (match["left"], match["right"], third) if part)


SCORES: Final = Kind("scores", "scores and ratios: 3:2 is 三対二", ((_SCORE, _ratio), (_RATIO, _ratio)))
FRACTIONS: Final = Kind(
    "fractions",
    "3/4 is 四ぶんの三, ½ 二ぶんの一",
    (
        (re.compile(rf"(?:(?<!\d)(?P<whole>\d+))?(?P<sign>[{''.join(VULGAR_FRACTIONS)}])"), _vulgar),
        (_FRACTION, _fraction),
        (_KANJI_FRACTION, "ぶん"),
    ),
)
COMPARISONS: Final = Kind(
    "comparisons",
    "a minus before a number, ± and comparisons: -5 is マイナス五, 5>3 五だいなり三, ≥18 十八以上",
    (
        (_EQUATION, lambda match: _MINUS_IN_SUM.sub("マイナス", match[0])),
        (_COMPARISON, lambda match: _COMPARED[match["sign"]]),
        (_LIMIT, lambda match: match["right"] + _LIMITS[match["sign"]]),
        (re.compile(r"[≒≈]\s?(?=\d)"), "約"),
        (re.compile(r"(?:±|\+/-)\s?(?=\d)"), "プラスマイナス"),
        (_MINUS, "マイナス"),
    ),
)
MONEY: Final = Kind(
    "money",
    "¥ is 円; $3.50 is 三ドル五十セント",
    (
        (_THOUSAND_YEN, lambda match: kanji(str(round(float(re.sub("[,，]", "", match["number"])) * 1000)))),
        (_MONEY_BEFORE, _money),
        (_MONEY_AFTER, _money),
    ),
)
UNITS_KIND: Final = Kind(
    "units",
    "5GB is 五ギガバイト, 20㎡ 二十平方メートル",
    (
        (_SPEED, lambda match: f"時速{number(match['number'])}{SPEEDS[match['unit']]}"
         if match["unit"][-1] == "h" else f"秒速{number(match['number'])}{SPEEDS[match['unit']]}"),
        (_MEASURED, _measured),
        (_PER_UNIT, lambda match: UNITS[match["unit"]]),
    ),
)  # fmt: skip
PERCENT: Final = Kind("percent", "10% is 十パーセント", ((_PERCENT, _percent),))
TEMPERATURES: Final = Kind("temperatures", "23℃ is 二十三度", ((_DEGREES, _degrees),))
RANGES: Final = Kind(
    "ranges",
    "10〜15人 is 十から十五人, 9時〜 九時から",
    (
        (
            re.compile(
                rf"{_NOT_INSIDE}(?P<low>{NUMBER})(?P<unit>[\u4e00-\u9fffヶかカケ]{{0,3}}|キロ|メートル|ドル|パーセント)"
                rf"(?:\s?{WAVE}\s?|{DASH}(?=(?:{NUMBER}){_AFTER_RANGE}))(?=\d)"
            ),
            lambda match: f"{number(match['low'])}{match['unit']}から",
        ),
        (re.compile(rf"(?<=[\u4e00-\u9fffァ-ヶー])\s?{WAVE}\s?(?=[\d\u4e00-\u9fff])"), "から"),
        (re.compile(rf"(?<=[時分半日月年円人度目階番章話巻代歳名個]){WAVE}(?![ぁ-ん])"), "から"),
        (
            re.compile(rf"(?<![\w)）]){WAVE}\s?(?P<high>(?:{NUMBER})(?:[\u4e00-\u9fff]{{1,3}}|%)?)"),
            r"\g<high>まで",
        ),
    ),
)
ARITHMETIC: Final = Kind(
    "arithmetic",
    "3+4=7 is 三プラス四イコール七",
    (
        (re.compile(r"(?<=[\d)ルムト])\s?[x×*]\s?(?=[\d(])|(?<=[\w)])\s?×\s?(?=[\w(])"), "かける"),
        (re.compile(r"(?<=[\w)])\s?÷\s?(?=[\w(])"), "わる"),
        (re.compile(r"\s?[+]\s?(?=[\w(])|(?<=\d)[+]"), "プラス"),
        (re.compile(r"(?<=[\w)])\s?=\s?(?=[\w(-])"), "イコール"),
        (re.compile(r"√\s?(?=\w)"), "ルート"),
        (re.compile(r"(?<=\d)\^\s?(?P<power>\d+)"), lambda match: f"の{kanji(match['power'])}乗"),
    ),
)
_COUNTED: Final = {
    "分": {2: "二フン", 5: "五フン", 8: "ハップン", 9: "九フン", 10: "一〇分", 12: "十二フン"},
    "頭": {8: "ハットー"}, "足": {1: "イッソク", 4: "ヨンソク", 100: "ヒャクソク"},
    "歳": {1000: "センサイ"}, "節": {5: "ゴセツ"}, "条": {4: "ヨンジョー"},
    "口": {8: "ハックチ"}, "勝": {10: "ジュッショー"},
    "羽": {1000: "センワ"},
    "代": {1000: "センダイ", 8000: "ハッセンダイ"}, "番": {110: "ヒャクトーバン"}, "国": {4: "ヨンコク"},
    "行": {1: "イチギョー", 100: "ヒャクギョー"}, "行目": {1: "イチギョー目", 100: "ヒャクギョー目"},
    "丸": {1: "イチマル", 3: "サンマル"}, "名様": {2: "ニメーサマ", 8: "ハチメーサマ"},
    "字": {9: "キュージ"}, "文": {3: "サンブン"},
    "文字": {1: "イチモジ", 8: "ハチモジ", 10: "ジューモジ", 17: "ジューナナモジ", 31: "サンジューイチモジ"},
    "反": {1000: "センタン"}, "町": {6: "ロクマチ"}, "章": {99: "キュージューキューショー"}, "里": {3: "サンリ"},
}  # fmt: skip
_MISREAD_VALUES: Final = dict.fromkeys(str(value) for table in _COUNTED.values() for value in table)
_MISREAD: Final = re.compile(
    rf"(?<![\d.,，時点万億])(?P<number>{either(_MISREAD_VALUES)})(?P<word>{either(_COUNTED)})"
    r"(?:(?<=分)(?![間咲割目丈袖刈粥別])|(?<!分)(?![\u4e00-\u9fff々]))(?!の\d)"
)


def _counted(match: Match[str]) -> str:
    return _COUNTED[match["word"]].get(int(match["number"]), match[0])


COUNTERS: Final = Kind(
    "counters",
    "numbers whose kanji would make another word with what is counted: 2分 is 二フン",
    ((_MISREAD, _counted), (re.compile(r"(?<![\d.,，])0(?=[度点])"), "零")),
)
NUMBERS: Final = Kind(
    "numbers",
    "numbers in kanji, which are read with their counters: 3本 is 三本, 3.14 三点イチヨン",
    (
        (re.compile(rf"{_STARTS}\d{{1,3}}(?:[,，]\d{{3}})+(?:\.\d+)?(?!\d)"), lambda match: number(match[0])),
        (re.compile(r"(?<![\d.])(?P<number>\d+\.\d+)(?![.]?\d)"), lambda match: number(match["number"])),
        (
            re.compile(r"(?:(?<=率)|(?<![\w.]))\.(?P<fraction>\d+)(?!\.?\d)"),
            lambda match: f"零点{called(match['fraction'])}",
        ),
        (re.compile(r"\d+"), lambda match: kanji(match[0])),
    ),
)
