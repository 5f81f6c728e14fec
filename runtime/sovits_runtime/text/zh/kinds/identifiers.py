"""Numbers that are names: codes, versions, models, rooms, standards. They are dictated, not counted."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.zh.kinds.patterns import FREE, HAN, Late, after, number_rule
from sovits_runtime.text.zh.kinds.quantities import dictated, quantity
from sovits_runtime.text.zh.normalize import HALF_WIDTH
from sovits_runtime.text.zh.numbers import read_cardinal, read_digits

_LABELS: Final = (
    "房间|端口|房号|号码|编号|序号|邮编|邮政编码|密码|口令|验证码|校验码|激活码|兑换码|邀请码|取件码|取货码|"
    "提取码|识别码|动态码|暗号|账号|帐号|户口|卡号|尾号|学号"
    "|工号|警号|座位号|座位|单号|订单|订单号|运单号|快递单号|流水号|票号|车次|门牌号?|车牌号?|车牌|航班号?|"
    "班次|代码|代号|股票代码|基金代码|区号|型号|批号|文号|货号|尾数"
    "|身份证号?码?|护照号?|证件号|社保号|(?<![A-Za-z])QQ号?|QQ群号?|群号|微信号?|会议号|(?<![A-Za-z])ID|"
    "(?<![A-Za-z])id|(?<![A-Za-z])Id|(?<![A-Za-z])UID|(?<![A-Za-z])PIN|(?<![A-Za-z])IMEI|(?<![A-Za-z])ISBN|"
    "(?<![A-Za-z])ISSN|条码|条形码|拨打?|房门|档案号|案号|许可证号"
)
_NAMED_BY: Final = (
    "室|房|房间|号房|教室|病房|包厢|包间|机房|寝室|宿舍|公寓|号楼|路公交|路公车|路车|路巴士|路|次列车|次航班|"
    "次高铁|次|航班|高地|国道|省道|县道|高速|医院|中学|中队|所|厂|团|师|旅|兵工厂|胶水|错误|页面|状态|端口|"
    "协议"
)
_LONG_NAMED_BY: Final = (
    "室|房间?|号房|教室|病房|包厢|包间|机房|寝室|宿舍|号楼|路公交|路公车|路车|路巴士|路|次列车|次航班|次高铁|"
    "航班|高地|国道|省道|县道|医院|中学|兵工厂|胶水|错误|端口|号文|号令|号巴士|号小巴|艺术区|师|"
    "团(?=[长部的])"
)
_BUILDINGS: Final = "室|教室|病房|会议室|办公室|包厢|房|房间|号房|单元|号楼|楼|栋|幢|座|户"
_AT: Final = (
    "住(?:在|到|进|喺|系)?|(?:家|房|屋企|宿舍)(?:在|喺)|地址(?:[是为系係][：:]?|[：:])?|房(?:间|号)?(?:[是为系係]|[：:])|"
    "(?:寄|送|搬)(?:到|去)"
)
_PROVINCES: Final = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_LONGEST_PLAIN: Final = 8
_ENDLESS: Final = 24
_COUNTED: Final = Late(rf"[{HAN}]?(?:元|块|人|个|名|米|克|斤|次|年|天|张|件)")
_YEAR: Final = re.compile("(?:19|20)[0-9]{2}")
_QUANTITIES: Final = re.compile(
    r"(?:top|only|over|about|under|max|min|plus|no|vol|part|page|step|day|week|level|lv|round|season|chapter|"
    r"volume|no\.|vol\.) ?$",
    re.IGNORECASE,
)


def _labelled(match: Match[str]) -> str:
    return match["label"] + _dictated_mixed(match["code"])


def _dictated_mixed(code: str) -> str:
    """A code of letters and digits: letters stay, digits are dictated."""
    return re.sub(r"\d[\d -]*", lambda digits: dictated(digits[0]), code).replace("-", "")


def _version(match: Match[str]) -> str:
    """Parts of three are numbers; of more they are digits."""
    parts = match["version"].split(".")
    spoken = "点".join(map(read_cardinal if len(parts) <= 3 else read_digits, parts))
    return f"{match['mark'] or ''}{spoken}"


def _room(match: Match[str]) -> str:
    """Building, unit and room, parted by hyphens."""
    return _by_hyphens(match[1]) + match[2]


def _by_hyphens(parts: str) -> str:
    return "杠".join(_part(part) for part in re.split("[-–—]", parts))


def _three_parts(match: Match[str]) -> str:
    """Three numbers or more with hyphens are no range; of one digit each, such as 4-3-3, they are a pattern."""
    parts = match["parts"]
    if re.fullmatch(r"\d(?:[-–—]\d)+", parts):
        return read_digits(re.sub(r"\D", "", parts))
    return _by_hyphens(parts)


def _part(digits: str) -> str:
    return read_digits(digits, one="幺") if len(digits) > 2 or digits[0] == "0" else read_cardinal(digits)


def _plate(match: Match[str]) -> str:
    return match["letter"] + _dictated_mixed(match["code"])


def _model(match: Match[str]) -> str:
    """A model with a hyphen between its numbers, such as A320-200; a standard ends in its year."""
    first, second = match["first"], match["second"]
    if len(second) > 3 or second.startswith("0"):
        named = read_digits(first) if len(first) > 2 else read_cardinal(first)
        return f"{match['space']}{named}杠{read_digits(second)}"
    whole = second.endswith("00") or len(second) < 3
    return f"{match['space']}{_code(first)}杠{quantity(second) if whole else _code(second)}"


def _code(digits: str) -> str:
    """A number behind letters: small ones are numbers, long ones digits."""
    if len(digits) < 3 and not (len(digits) > 1 and digits[0] == "0"):
        return read_cardinal(digits)
    return read_digits(digits, one="幺")


def _after_letters(match: Match[str]) -> str:
    if _QUANTITIES.search(match.string[max(0, match.start() - 10) : match.start()]):
        return match[0]
    return _code(match["digits"])


def _behind_word(match: Match[str]) -> str:
    """Digits behind a Latin word and a space or hyphen."""
    left = match.string[max(0, match.start() - 10) : match.start() + 1]
    if _QUANTITIES.search(left) or _COUNTED.match(after(match)):
        return match[0]
    space = " " if match["sign"].startswith(" ") else ""
    digits = match["digits"]
    if _YEAR.fullmatch(digits):
        return space + read_digits(digits)
    if len(digits) < 3 or (digits.endswith("00") and len(digits) > 3):
        return f"{space}{digits}" if len(digits) > 2 else space + _code(digits)
    return space + read_digits(digits, one="幺")


def _parted(match: Match[str]) -> str:
    """Spaces between numbers: a pause, or nothing where they part thousands."""
    return "" if re.match("000(?!\\d)", match.string[match.end() : match.end() + 4]) else "，"


def _leading_zero(match: Match[str]) -> str:
    return read_digits(match[0], one="幺")


def _long(match: Match[str]) -> str:
    """Digits too many for a quantity without a word that says so."""
    digits = match[0]
    if len(digits) <= _LONGEST_PLAIN or digits.endswith("0000"):
        return digits
    return read_digits(digits, one="幺")


IDENTIFIERS: Final = Kind(
    "identifiers",
    "codes, versions, models, rooms and standards: A320-200, 2.0.1, 5-1203室, 验证码482913",
    (
        number_rule(r"(?<![\d-])7-11(?=便利|店|超商|超市|[买買，。,.！？!?]|$)", "seven eleven"),
        number_rule(
            rf"(?P<label>(?:{_LABELS})号?(?:是|为|系|係|：|:|"
            rf"尾号)?[：: ]?(?:[A-Za-z]{{1,4}}[- ]?)?)(?P<code>\d[\d -]*\d(?:[-A-Za-z\d]{{0,20}})|"
            rf"\d)(?![\d.]*\d|[个种次元块人%])",
            _labelled,
        ),
        number_rule(
            r"(?<![\d.])\d{17}[\dXx](?![\dA-Za-z])",
            lambda m: dictated(m[0][:-1]) + (m[0][-1] if m[0][-1] in "Xx" else dictated(m[0][-1])),
        ),
        number_rule(r"(?<![\d.])97[89]-?\d-?\d{2,6}-?\d{2,6}-?\d(?!\d)", lambda m: dictated(m[0])),
        number_rule(rf"(?<![\d.A-Za-z-])(\d{{1,4}}(?:[-–—]\d{{1,4}}){{1,3}}) ?({_BUILDINGS})", _room),
        number_rule(
            rf"(?P<at>{_AT})(?P<parts>\d{{1,4}}(?:[-–—]\d{{1,4}}){{2,3}}|\d{{1,2}}[-–—]\d{{3,4}}(?!元|块|平|万))"
            r"(?![\d.]*\d|[-–—\d])",
            lambda match: match["at"] + _by_hyphens(match["parts"]),
        ),
        number_rule(
            r"(?<![\d.A-Za-z-])(?P<parts>\d{1,4}(?:[-–—]\d{1,4}){2,3})(?![\d.]*\d|[-–—]|[+×÷=])", _three_parts
        ),
        number_rule(
            r"(?<=[栋幢座区楼元])((?:-\d{1,4}){2,3})(?![\d.]*\d)",
            lambda match: "".join(f"杠{_part(part)}" for part in match[1].split("-")[1:]),
        ),
        number_rule(
            r"(?<=[栋幢座区楼元])-?(\d{3,4})(?![\d.,]*\d|[%多余万千元人个平米户套块])",
            lambda m: read_digits(m[1], one="幺"),
        ),
        number_rule(
            rf"(?<=[{_PROVINCES}])(?P<letter>[A-Z])[·・ -]?(?P<code>[A-Z\d]{{4,6}})(?![A-Za-z\d])", _plate
        ),
        number_rule(r"(?<=[A-Za-z])(?P<space> ?)(?P<first>\d{1,6})[-:](?P<second>\d{2,6})(?![\d.-])", _model),
        number_rule(
            r"(?<=波音|空客|客机)(?P<space> ?)(?P<first>7\d7|3\d0)-(?P<second>\d{1,4})(?!\d)", _model
        ),
        number_rule(
            r"(?<![\d.])(7\d7|3[0-9]0|919)(?=客机|飞机|机型|货机|系列|MAX| MAX)|(?<=波音)7\d7(?!\d)",
            lambda m: read_digits(m[0]),
        ),
        number_rule(r"(?P<mark>(?<![A-Za-z])[vV])\.?(?P<version>\d+(?:\.\d+)+)(?![\d.]*\d)", _version),
        number_rule(r"(?<![\d.])(?P<mark>)(?P<version>\d{1,6}(?:\.\d{1,6}){2,6})(?![\d.]*\d)", _version),
        number_rule(rf"{FREE}(\d{{3,4}})(?={_LONG_NAMED_BY})", lambda m: read_digits(m[1], one="幺")),
        number_rule(r"(?<=[A-Za-z])(?P<digits>\d{1,24})(?![\d.]*\d|[A-Za-z]*[/×])", _after_letters),
        number_rule(
            r"(?<=[A-Za-z])(?P<sign>[- ])(?P<digits>\d{1,24})(?![\d.,]*\d| ?[-~–:/×%年月日号点时分秒])",
            _behind_word,
        ),
        number_rule(r"(?<=[A-Za-z])-(?=\d)", ""),
        number_rule(r"(?<![A-Za-z])(?P<letter>[A-Z])\.(?=\d)", r"\g<letter>点"),
        number_rule(
            r"(?<![\d.A-Za-z])(480|720|1080|1440|2160)(?=[pPiI](?![A-Za-z]))",
            lambda m: read_digits(m[1], one="幺"),
        ),
        number_rule(r"(?<![\d.])(?<!\d,)0\d{1,24}(?![\d.]*\d)", _leading_zero),
        number_rule(r"(?<![\d.])(?<!\d,)\d{9,24}(?![\d.,]*\d|[多余几万亿元人个%‰]|公|千|美)", _long),
        number_rule(r"(?<=\d) +(?=\d+(?![\d/]))", _parted),
    ),
)


def _endless(match: Match[str]) -> str:
    return read_digits(match[0].translate(HALF_WIDTH), one="幺")


LONG_DIGITS: Final = Kind(
    "long-digits",
    "more digits than any quantity has, one by one",
    (
        (re.compile(rf"[0-9０-９]{{{_ENDLESS + 1},}}"), _endless),
        (re.compile(rf"(?<=[0-9])[.,:/-](?=(?:[0-9]{{1,3}}[.,:/-]){{{_ENDLESS},{_ENDLESS}}})"), "，"),
    ),
)
