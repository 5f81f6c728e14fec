"""Written Korean -> words and pause marks: the kinds of rewriting, in order."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.ko import counters, dates, names, quantities
from sovits_runtime.text.ko.numbers import sino
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.written import CIRCLED, EMOTICONS, circled_value, fold

_AS_WRITTEN: Final = re.compile("[\u3131-\u318e½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞￥™℠]")
_ODD: Final = re.compile(r"[^\x00-\x7f\uac00-\ud7a3]+")
_CIRCLED: Final = re.compile(CIRCLED)

_COMPATIBILITY: Final = Kind(
    "compatibility-characters",
    "full-width letters, circled digits, ligatures of units in their plain form",
    (
        (_CIRCLED, lambda match: sino(circled_value(match[0]))),
        (re.compile(r"[㈜㈱]|\((?:주|株)\)"), "주식회사 "),
        (_ODD, lambda match: _fold(match)),
        (re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]"), ""),
        (re.compile(r"[^\S\n]+"), " "),
    ),
)
_BEFORE_NUMBERS: Final = {"ver": "버전", "lv": "레벨", "vol": "볼륨", "ch": "채널", "ep": "에피소드"}
_ABBREVIATIONS: Final = Kind(
    "abbreviations",
    "vs is 대, No. 5 넘버 오",
    (
        (re.compile(r"(?<![A-Za-z])[Vv][Ss]\.?(?![A-Za-z])"), "대"),
        (
            re.compile(r"(?<![A-Za-z])(?P<word>[Vv]er|[Ll]v|LV|[Vv]ol|[Cc]h|[Ee]p)\.\s?(?=\d)"),
            lambda match: f"{_BEFORE_NUMBERS[match['word'].lower()]} ",
        ),
        (re.compile(r"(?<![A-Za-z])N[Oo]\.?\s?(?=\d)"), "넘버 "),
        (re.compile(r"(?<![A-Za-z])(?:[Tt]el|TEL)\s?[.:)]\s?(?=[\d+(])"), "전화 "),
        (
            re.compile(r"(?<![A-Za-z])[Pp]\.\s?(?P<page>\d+)(?!\d)"),
            lambda match: f"{sino(match['page'])}페이지",
        ),
        (re.compile(r"(?<![A-Za-z])(?P<first>[AO])/(?P<second>[SX])(?![A-Za-z])"), r"\g<first> \g<second>"),
    ),
)
_SIGN_NAMES: Final = {
    "&": " 앤드 ", "@": " 골뱅이 ", "#": "샵 ", "%": "퍼센트", "+": " 플러스 ", "=": " 이콜 ", "×": " 곱하기 ",
    "÷": " 나누기 ",
    "°": "도", "±": "플러스마이너스 ", "√": "루트 ", "∞": "무한대", "π": "파이", "α": "알파", "β": "베타",
    "γ": "감마", "δ": "델타",
    "Δ": "델타", "Ω": "오메가", "ω": "오메가", "μ": "뮤", "λ": "람다", "θ": "세타", "σ": "시그마",
    "Σ": "시그마", "ε": "엡실론",
    "§": "절 ", "$": "달러", "€": "유로", "£": "파운드", "₩": "원", "¥": "엔", "￥": "엔", "≥": "크거나 같다",
    "≤": "작거나 같다",
    "≠": "같지 않다", "≈": "거의 같다", "≒": "거의 같다", "∴": "따라서 ", "∵": "왜냐하면 ", "♂": "수컷",
    "♀": "암컷", "№": "넘버 ", "☎": "전화, ", "☏": "전화, ",
}  # fmt: skip
_SIGNS: Final = Kind(
    "signs",
    "signs that are left get their names: & is 앤드",
    (
        (re.compile("#(?=[가-힣A-Za-z])"), "해시태그 "),
        (re.compile("[○◯〇]{2}"), "땡땡"),
        (re.compile(r"(?<=[A-Za-z])\s?&\s?(?=[A-Za-z])"), "&"),
        (re.compile(rf"(?<![A-Za-z])&|&(?![A-Za-z])|[{re.escape(''.join(_SIGN_NAMES).replace('&', ''))}]"),
         lambda match: _SIGN_NAMES[match[0]]),
    ),
)  # fmt: skip
_BRACKETS: Final = re.escape("()[]{}<>〈〉《》「」『』【】〔〕（）")
_QUOTES: Final = re.escape('"“”„‟«»‘`´″′')
_MARKS: Final = Kind(
    "marks",
    "brackets, colons and dashes become pauses, quotation marks go",
    (
        (re.compile(rf"[{_QUOTES}]|(?<![A-Za-z])['’]|['’](?![A-Za-z])"), ""),
        (re.compile(r"[—–―:;/\\|~∼〜～·ㆍ・•→←↔⇒➔▶►|]|(?<![A-Za-z])-+|-+(?![A-Za-z])|_+"), ", "),
        (re.compile(rf"[{_BRACKETS}]"), ", "),
        (re.compile("[、，]"), ","),
        (re.compile("[。．]"), "."),
        (re.compile("！"), "!"),
        (re.compile("？"), "?"),
        (re.compile(r"\.{2,}|‥|⋯"), "…"),
        (re.compile(r"[ \t]+(?=[,.!?…\n]|$)"), ""),
        (re.compile(r"(?P<mark>[.!?…])[, ]*,"), r"\g<mark>"),
        (re.compile(r",[, ]*(?P<mark>[.!?…,])"), r"\g<mark>"),
        (re.compile(r"^[ ,]+|[ ,]+$"), ""),
        (re.compile(r"(?<=[,!?…])(?=[가-힣A-Za-z])|(?<=[가-힣,!?…]\.)(?=[가-힣A-Za-z])"), " "),
        (re.compile(" {2,}"), " "),
    ),
)

KINDS: Final[tuple[Kind, ...]] = (
    EMOTICONS,
    _COMPATIBILITY,
    names.ADDRESSES,
    _ABBREVIATIONS,
    names.ROMAN_NUMERALS,
    names.PHONE_NUMBERS,
    dates.DATES,
    dates.TIMES,
    quantities.SCORES,
    quantities.COMPARISONS,
    quantities.FRACTIONS,
    quantities.MONEY,
    quantities.TEMPERATURES,
    quantities.PERCENT,
    quantities.UNITS_KIND,
    names.IDENTIFIERS,
    counters.KIND,
    quantities.RANGES,
    quantities.ARITHMETIC,
    quantities.NUMBERS,
    names.HANJA,
    names.JAMO,
    _SIGNS,
    _MARKS,
)


def _fold(match: Match[str]) -> str:
    return fold(match[0], _AS_WRITTEN)
