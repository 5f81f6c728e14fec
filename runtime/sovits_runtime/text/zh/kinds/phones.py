"""Telephone numbers, read digit by digit with a pause between their groups."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.zh.kinds.patterns import Late, number_rule
from sovits_runtime.text.zh.kinds.quantities import dictated

_FEWEST_DIGITS: Final = 7
_CALL: Final = (
    "火警|匪警|急救|报警|求助|查号台|电话|热线|手机|号码|拨打|拨通|致电|客服|传真|来电|座机|专线|联系方式|打|"
    "拨|联系|短信|whatsapp|WhatsApp|Tel|TEL|tel"
)
_CALLED: Final = Late(f"(?:{_CALL})[^0-9+]{{0,4}}$")
_SEPARATOR: Final = "[ -]"
_EMERGENCY: Final = "11[0-49]|12[0-9]|99[39]|911|10086|10010|10000|12[345]\\d{2}|9[56]\\d{3,4}"
_KNOWN: Final = "955\\d\\d|10086|10010|12306|12315|12348|12358|12369|12377|12321"
_SERVICE: Final = "报警|急救|火警|热线|电话|客服|救护|指挥中心|平台"


def _groups(match: Match[str]) -> str:
    """Digits that a writer parted: a telephone number, or something else."""
    groups = re.split(_SEPARATOR, match[0].lstrip("+"))
    digits = sum(map(len, groups))
    called = _CALLED.search(match.string[max(0, match.start() - 16) : match.start()])
    if digits < _FEWEST_DIGITS and not (called and digits > 4):
        return match[0]
    first, second = groups[0], groups[1]
    is_phone = (
        called is not None
        or match[0][0] in "0+"
        or (len(groups) > 2 and len(first) > 1)
        or (len(first) == len(second) == 4 and not (first[3] == second[3] == "0"))
    )
    return dictated(match[0]) if is_phone else match[0]


def _extension(match: Match[str]) -> str:
    return f"{match[1]}{dictated(match[2])}"


PHONE_NUMBERS: Final = Kind(
    "phone-numbers",
    "telephone numbers, digit by digit with a pause between groups: 400-820-5566",
    (
        number_rule(
            r"(?<![\d.])(?:\+?86[ -]?)?1[3-9]\d(?:[ -]?[\d*]{4}){2}(?![\d.]*\d)",
            lambda match: dictated(match[0].replace("****", " ")),
        ),
        number_rule(r"(?<![\d.])1[3-9]\d\*{1,4}\d{4}(?!\d)", lambda match: dictated(match[0])),
        number_rule(
            r"(?<![\d.])(?:\(0\d{2,3}\)|0\d{2,3}[ -]?)[ -]?(?:\d{3,4}[ -]?\d{4})(?:[ -]\d{1,6})?(?![\d.]*\d)",
            lambda match: dictated(match[0]),
        ),
        number_rule(
            r"(?<![\d.])(?:\+\d{1,3}[ -])?\(\d{3}\) ?\d{3}[ -]\d{4}(?!\d)", lambda match: dictated(match[0])
        ),
        number_rule(
            r"(?<![\d.])[48]00[ -]?(?:\d{3}[ -]?\d{4}|\d{4}[ -]?\d{3})(?!\d)",
            lambda match: dictated(match[0]),
        ),
        number_rule(r"(?<![\d.])\+\d{8,15}(?!\d)", lambda match: dictated(match[0])),
        number_rule(
            r"(?<![\d.+×÷*=-])\+?\d{1,4}(?:-\d{2,8}){1,5}(?![\d.=-])|(?<![\d.])\+?\d{1,5}(?: \d{2,8}){1,5}(?![\d.])",
            _groups,
        ),
        number_rule(
            rf"((?:{_CALL})(?:是|为|系|係|：|:)? ?)(\d{{3,}})(?!\d|[.,]\d|次|个|分|通|元|块|秒|人)",
            _extension,
        ),
        number_rule(
            rf"(?<![\d.])(?<!\d,)({_KNOWN})(?![\d.,]*\d|[%‰多余元块人个米公千克]|万)",
            lambda m: dictated(m[0]),
        ),
        number_rule(
            rf"(?<![\d.])({_EMERGENCY})(?=(?:或|、|和|及|的)?(?:\d{{3,5}})?(?:{_SERVICE}))",
            lambda m: dictated(m[0]),
        ),
        number_rule(
            r"(转|分机|内线|内線)(号?)(\d{2,6})(?!\d|[.年月人元个])",
            lambda m: f"{m[1]}{m[2]}{dictated(m[3])}",
        ),
        number_rule(
            r"(?<![\d.])(?<!\d,)[1-9]\d{3,4}(?<!0)\d{3}(?!\d|[.,]\d|000|[%‰多余几万亿+A-Za-z¥$€£°℃×÷*=/:-]| ?[A-Za-z])"
            r"(?!元|块|人|个|名|只|条|张|件|次|年|天|米|斤|克|吨|公|千|辆|台|套|户|家|字|步|本|册|份|位|股|票|"
            r"美|欧|日|港|英|平|毫|厘|分|秒|小)",
            lambda match: dictated(match[0]),
        ),
    ),
)
