"""Signs that are words, and marks: what is left once numbers are words."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.zh.kinds.money import CURRENCIES
from sovits_runtime.text.zh.kinds.patterns import HAN, neighbours, rule
from sovits_runtime.text.zh.rules import CHARACTER_NAMES

_NAMED: Final = {
    "∞": "无穷大",
    "√": "根号",
    "∑": "求和",
    "∫": "积分",
    "∵": "因为",
    "∴": "所以",
    "∠": "角",
    "⊥": "垂直于",
    "∥": "平行于",
    "∈": "属于",
    "∉": "不属于",
    "⊂": "包含于",
    "∪": "并",
    "∩": "交",
    "∅": "空集",
    "∀": "任意",
    "∃": "存在",
    "♂": "男",
    "♀": "女",
    "℡": "电话",
    "№": "编号",
    "℃": "摄氏度",
    "℉": "华氏度",
    "‰": "千分号",
    "%": "百分号",
    "§": "第",
    "µ": "微",
    "Å": "埃",
}
_MARKS: Final = ",.!?…，。！？；：、;:"
_OPEN: Final = "(（[［{｛【〔〖"
_CLOSE: Final = ")）]］}｝】〕〗"
_QUOTES: Final = '“”„‟"「」『』《》〈〉«»〝〞＂'


def _bracket(match: Match[str]) -> str:
    """Brackets are pauses, unless they hold a single character or stand at a mark."""
    inner = match[2].strip()
    if len(inner) < 2:
        return inner
    left, right = neighbours(match)
    first = "" if not left or left in _MARKS else "，"
    last = "" if not right or right in _MARKS + _CLOSE or inner[-1] in _MARKS else "，"
    return f"{first}{inner}{last}"


def _sign(match: Match[str]) -> str:
    return _NAMED[match[0]]


SIGNS: Final = Kind(
    "signs",
    "signs that are words: &, @, γ, →, 和/或, C++",
    (
        rule(r"(?<=[A-Za-z]) ?& ?(?=[A-Z](?![a-z]))", "&"),
        rule(r"(?<=[A-Za-z]) ?& ?(?=[A-Za-z])", lambda match: match[0] if match[0] == "&" else " and "),
        rule(r" ?(?<![A-Za-z])& ?| ?& ?(?![A-Za-z])", "和"),
        rule(r"(?<![A-Za-z])C#(?![A-Za-z])", "C sharp"),
        rule(r"(?<![A-Za-z])N[oO]\. ?(?=[零幺一二三四五六七八九十百])", "number "),
        rule(r"(?<![A-Za-z])Vol\. ?(?=[零幺一二三四五六七八九十百])", "volume "),
        rule(r"#([^#\n]{1,40})#", r"\1，"),
        rule(rf"(?<=[零一二三四五六七八九十])#(?=[{HAN}]|$)", "号"),
        rule(r"#(?=[零幺一二三四五六七八九十])", "第"),
        rule(r"(?<=[A-Za-z])\+\+", "加加"),
        rule(r"(?<=[A-Za-z\d])\+|\+(?=[A-Za-z\d])", "加"),
        rule(rf"(?<=[{HAN}]) ?\+ ?(?=[{HAN}])", "加"),
        rule(r"(?<=打)[√✓✔]", "勾"),
        rule(r"(?<=打)[×✗✘]", "叉"),
        rule(r" ?× ?", "乘以"),
        rule(r"↑ ?(?=百分之|[零一二三四五六七八九十两])", "上升"),
        rule(r"↓ ?(?=百分之|[零一二三四五六七八九十两])", "下降"),
        rule(r"(?<=[一二三四五])★", "星"),
        rule(r"△(?=[A-Z])", "三角形"),
        rule(r"[αβγδεζηθικλμνξοπρςστυφχψωΓΔΘΛΞΠΣΦΨΩ]", lambda match: CHARACTER_NAMES[match[0]]),
        rule(f"[{''.join(_NAMED)}]", _sign),
        rule(r"[¥$€£₩₹₽฿₿](?=[A-Za-z\d零一二三四五六七八九十])", lambda match: CURRENCIES[match[0]]),
        rule(r"[¥$€£₩₹₽฿₿]", lambda match: CURRENCIES[match[0]]),
        rule(
            rf"(?<=[次个人元蚊天月年周斤克吨米升件台套张页户株支瓶度里步例片粒时日分秒亩块]) ?/ ?(?=[{HAN}])",
            "每",
        ),
        rule(r"(?<=[A-Za-z])/(?=[A-Za-z])", " "),
        rule(r"(?<=GB) ?T(?=[零幺一二三四五六七八九])", " T"),
        rule("[⁰¹²³⁴⁵⁶⁷⁸⁹]", lambda match: "零一二三四五六七八九"["⁰¹²³⁴⁵⁶⁷⁸⁹".index(match[0])]),
        rule("@", "艾特"),
        rule(r"\+", "加"),
        rule("[′″]", ""),
    ),
)
MARKS: Final = Kind(
    "marks",
    "brackets, dashes, slashes and arrows are pauses; quotes are silent",
    (
        rule(r"[(（]([一-龥])[)）]", r"\1"),
        (
            re.compile(
                rf"([{re.escape(_OPEN)}])([^{re.escape(_OPEN + _CLOSE)}\n]{{0,300}})([{re.escape(_CLOSE)}])"
            ),
            _bracket,
        ),
        (re.compile(rf"[{re.escape(_OPEN + _CLOSE)}]"), "，"),
        (re.compile(f"[{_QUOTES}]|(?<![A-Za-z])[‘’']|[‘’'](?![A-Za-z])"), ""),
        (re.compile(r"(?:\.{3,}|。{2,}|…+)"), "…"),
        (
            re.compile(rf"[{_MARKS}]?[—–―]+[{_MARKS}]?|(?<![A-Za-z\d])-{{2,}}"),
            lambda match: match[0].strip("—–―-")[:1] or "，",
        ),
        (re.compile(r" ?[→←↔⇔]+ ?"), "，"),
        (re.compile(r" ?[|｜‖\\/／•●■◆◇▪▶►※¦]+ ?"), "，"),
        (
            re.compile(r"^ ?-+|(?<=[A-Za-z])-(?![A-Za-z])|(?<![A-Za-z])-(?=[A-Za-z])"),
            lambda m: "",
        ),
        (re.compile(rf"(?<=[{HAN}]) ?- ?(?=[{HAN}])"), "，"),
        (re.compile(r"-$"), ""),
        (re.compile(r"[:;]"), lambda match: "：" if match[0] == ":" else "；"),
        (re.compile(r"~+(?=\S)(?![,.!?…，。！？])"), "，"),
        (re.compile(r"~+"), "…"),
        (re.compile(r"[_*#<>=`]+"), " "),
        (re.compile(rf"，+(?=[{_MARKS}])"), lambda match: ""),
    ),
)
