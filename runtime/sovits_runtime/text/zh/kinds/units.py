"""Units, temperatures and percentages."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list
from sovits_runtime.text.zh.kinds.patterns import (
    DASH,
    MAGNITUDES,
    NUMBER,
    START,
    Late,
    any_of,
    before,
    number_rule,
    rule,
)
from sovits_runtime.text.zh.kinds.quantities import amount, count, quantity

_UNITS: Final[dict[str, str]] = {
    pair.partition("=")[0]: pair.partition("=")[2]
    for pair in word_list(
        "km=千米 m=米 dm=分米 cm=厘米 mm=毫米 μm=微米 um=微米 nm=纳米 ft=英尺 in=英寸 inch=英寸 yd=码 "
        "mi=英里 nmi=海里 kg=千克 g=克 mg=毫克 μg=微克 ug=微克 mcg=微克 t=吨 lb=磅 lbs=磅 oz=盎司 L=升 "
        "l=升 dL=分升 dl=分升 cl=厘升 mL=毫升 ml=毫升 ML=毫升 μL=微升 μl=微升 cc=毫升 ha=公顷 sqm=平方米 "
        "h=小时 hr=小时 hrs=小时 min=分钟 mins=分钟 s=秒 sec=秒 ms=毫秒 μs=微秒 ns=纳秒 ds=分秒 W=瓦 "
        "kW=千瓦 KW=千瓦 MW=兆瓦 GW=吉瓦 kWh=千瓦时 KWh=千瓦时 Wh=瓦时 MWh=兆瓦时 V=伏 kV=千伏 KV=千伏 "
        "mV=毫伏 mA=毫安 mAh=毫安时 MAH=毫安时 Ah=安时 Hz=赫兹 HZ=赫兹 kHz=千赫兹 KHz=千赫兹 MHz=兆赫兹 "
        "GHz=吉赫兹 Pa=帕 hPa=百帕 kPa=千帕 KPa=千帕 MPa=兆帕 mmHg=毫米汞柱 bar=巴 psi=磅每平方英寸 "
        "J=焦耳 kJ=千焦 KJ=千焦 cal=卡 kcal=千卡 Kcal=千卡 KCAL=千卡 N=牛 kN=千牛 N·m=牛米 Nm=牛米 Ω=欧姆 "
        "kΩ=千欧 KΩ=千欧 MΩ=兆欧 dB=分贝 db=分贝 DB=分贝 mol=摩尔 mmol=毫摩尔 μmol=微摩尔 nmol=纳摩尔 "
        "cd=坎德拉 lx=勒克斯 lm=流明 mSv=毫西弗 μSv=微西弗 IU=国际单位 rpm=转每分钟 RPM=转每分钟 r=转 "
        "mph=英里每小时 kph=千米每小时 kmh=千米每小时 fps=帧每秒 FPS=帧每秒 px=像素 dpi=像素每英寸 "
        "ppi=像素每英寸 bpm=次每分钟 kbps=千比特每秒 Kbps=千比特每秒 Mbps=兆比特每秒 Gbps=吉比特每秒 "
        "KM=千米 CM=厘米 MM=毫米 KG=千克 Kg=千克 Km=千米 MG=毫克 Cm=厘米 Ml=毫升 °=度 ℃=摄氏度 °C=摄氏度 "
        "℉=华氏度 °F=华氏度"
    )
}
# Units of one letter that are names of other things behind a space or a word, or letters in ordinals.
_LONE: Final = frozenset("mgtlhsrNJVWL")
_SQUARE: Final = {"2": "平方", "²": "平方", "3": "立方", "³": "立方"}
_SQUARED: Final = frozenset(word_list("km m dm cm mm μm um nm ft in mi KM CM MM Km"))
_TOKEN: Final = rf"(?:{any_of(_UNITS)})(?:[²³]|(?<=[mtn])[23](?!\d))?"
_COUNTED: Final = (
    "次|个|人|元|块|美元|分|分钟|小时|秒|天|日|月|年|周|吨|斤|公斤|平方米|立方米|亩|米|升|克|千克|件|台|套|"
    "张|帧|转|页|字|户|株|支|瓶|度|公里|步|例|片|粒"
)
_PER: Final = rf"(?:/(?:{_TOKEN}|{_COUNTED}))"
_COMPOUND: Final = rf"(?:{_TOKEN}){_PER}{{0,2}}(?![A-Za-z0-9²³Ω°])"
_ANGLE: Final = Late("[角转偏倾斜经纬坡]")
_TEN_THOUSANDS_BEFORE: Final = Late("(?:阅读|粉丝|年薪|播放|点赞|存款|月入|赚|销量|浏览)[^，。]{0,4}$")
_POWER_OF_SECOND: Final = {"s²": "二次方秒", "s2": "二次方秒", "h²": "二次方小时"}
_DEGREE: Final = "℃|°[CＣ]|摄氏度|°(?!F)|度"


def _unit(token: str) -> str:
    """One unit, which may be squared or cubed."""
    if token in _UNITS:
        return _UNITS[token]
    if token in _POWER_OF_SECOND:
        return _POWER_OF_SECOND[token]
    if token[:-1] in _SQUARED and token[-1] in _SQUARE:
        return _SQUARE[token[-1]] + _UNITS[token[:-1]]
    return token if all("\u3400" <= char <= "\u9fff" for char in token) else ""


def unit_words(units: str) -> str:
    """Units with slashes, such as `"km/h"`; empty if one is unknown.

    Args:
        units: As written.
    """
    words = [_unit(token) for token in units.split("/")]
    if not all(words):
        return ""
    first, *others = (word.removeprefix("两") for word in words)
    return first + "".join(f"每{'小时' if word == '小时' else word}" for word in others)


def _measured(match: Match[str]) -> str:
    """A number with a unit."""
    units = match["units"]
    words = unit_words(units)
    if not words or (units in _LONE and not _may_be_unit(match, match["space"])):
        return match[0]
    more = "多" if match["more"] else ""
    return f"{'负' if match['minus'] else ''}{amount(match['number'])}{match['magnitude'] or ''}{more}{words}"


def _may_be_unit(match: Match[str], space: str) -> bool:
    """Whether a lone letter behind a number is a unit: not in `iPhone 5s`, `60W+`, or behind a Latin word."""
    left = match.string[max(0, match.start() - 2) : match.start()]
    if re.search(r"[A-Za-z]\s?$", left):
        return False
    if match["units"] == "W":
        following = match.string[match.end() : match.end() + 4]
        return not following.startswith("+") and not _TEN_THOUSANDS_BEFORE.search(before(match))
    return not (match["units"] == "s" and space)


def _temperature(match: Match[str]) -> str:
    """Degrees, from one to another; those of an angle are not below zero."""
    unit, left = match["unit"], before(match)
    words = "度" if unit in ("°", "度") else "摄氏度"
    minus = "负" if words == "度" and _ANGLE.search(left) else "零下"
    first = "" if left.endswith(("零下", "负", "負")) or not match["minus"] else minus
    spoken = f"{first}{quantity(match['number'])}"
    if match["second"]:
        second = minus if match["minus2"] else ""
        spoken += f"{words if match['own'] and second else ''}到{second}{quantity(match['second'])}"
    return spoken + words


def _percent(match: Match[str]) -> str:
    """Percent, per mille, and ranges of both."""
    base = {"%": "百", "‰": "千", "‱": "万"}[match["sign"]]
    sign = {"-": "负", "+": "正"}.get(match["minus"] or "", "")
    first = f"{sign}{base}分之{_part(match['number'], base)}"
    if match["second"]:
        first += f"到{'负' if match['minus2'] else ''}{base}分之{_part(match['second'], base)}"
    return first + ("多" if match["more"] else "")


def _part(number: str, base: str) -> str:
    return "百" if base == "百" and number == "100" else quantity(number)


def _digits(digits: str) -> str:
    return "".join("零一二三四五六七八九"[int(digit)] for digit in digits)


def _pressure(match: Match[str]) -> str:
    return f"{quantity(match[1])}，{quantity(match[2])}{_UNITS['mmHg'] if match[3] else ''}"


def _alone(match: Match[str]) -> str:
    return unit_words(match[0]) or match[0]


TEMPERATURES: Final = Kind(
    "temperatures",
    "degrees, below zero with a minus: -5℃, 36.5°C",
    (
        number_rule(r"(?<![A-Za-z\d])\+(?=\d+(?:\.\d+)?(?:[-~～到至]\d+)? ?(?:[°℃度]|摄氏))", "正"),
        number_rule(
            rf"{START}(?P<minus>(?<![\d%℃°])-)?(?P<number>{NUMBER}) ?(?P<own>{_DEGREE})? "
            rf"?(?:{DASH} ?(?P<minus2>-)?(?P<second>{NUMBER}))? ?"
            rf"(?P<unit>{_DEGREE})(?![电])",
            _temperature,
        ),
        number_rule(
            rf"{START}(?P<minus>-)?({NUMBER}) ?(?:℉|°F)",
            lambda m: f"{'零下' if m['minus'] else ''}{quantity(m[2])}华氏度",
        ),
        rule(r"℃|°C", "摄氏度"),
    ),
)
PERCENT: Final = Kind(
    "percent",
    "percent and per mille, single or from one to another: 50%, 5-10%, 35‰",
    (
        number_rule(
            rf"{START}(?P<minus>(?<![\d%‰])[-+])?(?P<number>{NUMBER}) ?(?P<own>[%‰‱])? "
            rf"?(?:{DASH} ?(?P<minus2>-)?(?P<second>{NUMBER}))? ?"
            r"(?P<sign>[%‰‱])(?P<more>\+(?!\d))?",
            _percent,
        ),
        rule(r"(?<=[几数两多])%", "成"),
    ),
)
UNITS: Final = Kind(
    "units",
    "units behind a number, also with a slash: 80km/h, 20m², 3kg",
    (
        number_rule(r"(?<=\d)(?P<unit> ?[KMGT]i?[Bb])/s(?:ec)?(?![A-Za-z])", r"\g<unit>每秒"),
        number_rule(r"(?<![\d.])(\d{2,3})/(\d{2,3}) ?(mmHg|毫米汞柱)", _pressure),
        number_rule(
            r"(?<=血压)([^\d，。]{0,4})(\d{2,3})/(\d{2,3})(?!\d)",
            lambda m: f"{m[1]}{quantity(m[2])}，{quantity(m[3])}",
        ),
        number_rule(
            r"(?<![\d.A-Za-z])([12])m([1-9]\d?)(?![\d A-Za-z²³/])",
            lambda m: f"{count(m[1])}米{_digits(m[2])}",
        ),
        number_rule(r"(?<![\d.])(\d)(米)([1-9]\d)(?![\d.])", lambda m: f"{count(m[1])}{m[2]}{_digits(m[3])}"),
        number_rule(
            rf"(?<![A-Za-z\d])(?<!\d[.,])(?P<minus>(?<![\d%)）])-)?(?P<number>{NUMBER})"
            rf"(?P<magnitude>[{MAGNITUDES}]{{1,2}})?(?P<more>\+)?(?P<space> ?)"
            rf"(?P<units>{_COMPOUND})",
            _measured,
        ),
        rule(rf"(?<=[几数多半每/{MAGNITUDES}])(?:{_COMPOUND})", _alone),
        rule(r"°", "度"),
        number_rule(r"(?<=度)(\d{1,2}(?:\.\d+)?)['′]", lambda m: quantity(m[1]) + "分"),
        number_rule(r"(?<=分)(\d{1,2}(?:\.\d+)?)(?:\"|″|'')", lambda m: quantity(m[1]) + "秒"),
    ),
)
