"""What names rather than counts, in Korean: addresses, telephone numbers, codes, Roman numerals, hanja, single jamo."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.ko.numbers import CALLED_DIGITS, digit_by_digit, number, sino
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list
from sovits_runtime.text.written import (
    ADDRESS,
    E_MAIL,
    ENGLISH_DIGITS,
    FILE_NAME,
    HANDLE,
    ROMAN_SIGN,
    AddressWords,
    ascii_digits,
    roman_value,
)

_ADDRESS_WORDS: Final = AddressWords(
    {
        ".": "닷", "@": "골뱅이", "/": "슬래시", "-": "하이픈", "_": "언더바", ":": "콜론", "?": "물음표",
        "&": "앤드", "=": "이콜",
        "#": "샵", "%": "퍼센트", "+": "플러스", "~": "물결",
    },
    CALLED_DIGITS,
)  # fmt: skip

_OF_ROMAN: Final = (
    r"세(?!대|트|계|상|기|포|균|대)|장(?!르|비|치)|부(?!분|품|터)|권|막|편|악장|기(?!본|관|계)|급|형|단계|절"
    r"|과(?!목)|조(?!합)|호(?!텔)"
)
_ROMAN_BY_WORD: Final = re.compile(
    rf"(?<![A-Za-z])(?P<ordinal>제\s?)?(?P<numeral>[IVXLC]{{2,12}}|[IVX](?=\s?(?:{_OF_ROMAN})))(?=\s?(?:{_OF_ROMAN}))"
)
_ROMAN_ORDINAL: Final = re.compile(r"(?P<ordinal>제\s?)(?P<numeral>[IVXLC]{1,12})(?![A-Za-z])")

_ROMAN_OF_TITLE: Final = re.compile(
    r"(?<=[가-힣])(?P<space>\s?)(?P<numeral>(?=[IVX]*[IV])[IVX]{2,7})(?![A-Za-z\d])"
)

_LINK: Final = r"(?:\s?[-–.]\s?|\s)"
_PHONE: Final = re.compile(
    rf"(?<![\d:.,/-])(?:\+\s?82{_LINK}?(?:\(0\))?\d{{1,2}}|\(?0\d{{1,2}}\)?){_LINK}?\d{{3,4}}{_LINK}\d{{4}}(?![\d-])"
    rf"|(?<![\d-])1[5-8]\d\d-\d{{4}}(?![\d-])|(?<![\d-])01[016789]\d{{7,8}}(?!\d)"
    rf"|(?<![\d.,-])\d{{3,4}}-\d{{4}}(?=[^\d년~-]|$)"
)
_CALLED: Final = re.compile(
    r"(?<![\d.,])1(?:1[0-9]|2[0-9]|3[0-9]|8[128])(?=\s?(?:에|로|번에|번으로)\s?(?:전화|신고|연락|문의|걸)"
    r"|\s?(?:구급|소방|신고|구조|상담|콜센터|안전신고|종합상황))"
)

_VERSION: Final = re.compile(r"(?<![\d.])\d+(?:\.\d+){2,}(?![\d.]*\d)")
_GROUPS: Final = re.compile(r"(?<![\d-])\d{2,}(?:-\d{2,}){2,}(?![\d-])")
_LOT: Final = re.compile(r"(?<![\d.-])(?P<lot>\d{1,4})-(?P<part>\d{1,4})(?=\s?(?:번지|호|번길))")
_SECRET: Final = re.compile(
    r"(?P<name>(?:비밀번호|비번|인증번호|계좌번호|카드번호|주문번호|송장번호|우편번호|학번|사번|군번"
    r"|일련번호|코드|암호|핀번호|식별번호)(?:는|은|가|이|:)?\s{0,2})(?P<digits>\d[\d-]{1,30}\d)(?![.,]\d"
    r"|원|개|명)"
)
_LATIN_THEN_DIGITS: Final = re.compile(
    r"(?<![A-Za-z\d])(?P<latin>[A-Za-z]{1,12})(?P<link>-?)(?P<digits>\d{1,8})(?:\.(?P<part>\d{1,3}))?(?![\d.]\d|\d)"
)
_DIGITS_THEN_LATIN: Final = re.compile(r"(?<![\d.,])(?P<digits>\d{1,4})(?P<link>-?)(?=[A-Za-z])")
_CORONA: Final = re.compile(r"(?<=코로나)(?P<link>[- ]?)19(?!\d)")

_HANJA_AFTER: Final = re.compile(r"(?<=[가-힣])\s?\((?:[\u4e00-\u9fff\uf900-\ufaff]{1,12})\)")
_HANJA: Final = dict(
    zip(
        "美中日北韓英獨佛露伊與野大前靑檢警男女新故對文反親非父母死生軍民黨銀社株無有高低人法國政市道外內東西南上下家者",
        "미중일북한영독불러이여야대전청검경남녀신고대문반친비부모사생군민당은사주무유고저인법국정시도외내동서남상하가자",
        strict=True,
    )
)
_LAUGHS: Final = {"ㅋ": "크", "ㅎ": "흐", "ㅠ": "흑", "ㅜ": "흑", "ㅍ": "프", "ㅡ": "음"}
_SHORT: Final = {
    "ㅇㅇ": "응응", "ㄴㄴ": "노노", "ㅇㅋ": "오케이", "ㄱㅅ": "감사", "ㅈㅅ": "죄송", "ㄱㄱ": "고고",
    "ㅊㅋ": "축하", "ㅂㅂ": "바이바이",
    "ㄷㄷ": "덜덜", "ㄹㅇ": "레알", "ㅇㅈ": "인정", "ㅎㅇ": "하이",
}  # fmt: skip
_JAMO_NAMES: Final = {
    **dict(
        zip(
            "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎㄲㄸㅃㅆㅉ",
            word_list(
                "기역 니은 디귿 리을 미음 비읍 시옷 이응 지읒 치읓 키읔 티읕 피읖 히읗 쌍기역 쌍디귿 "
                "쌍비읍 쌍시옷 쌍지읒"
            ),
            strict=True,
        )
    ),
    **dict(zip(map(chr, range(0x314F, 0x3164)), "아애야얘어에여예오와왜외요우워웨위유으의이", strict=True)),
}  # fmt: skip


def _roman(match: Match[str]) -> str:
    value, groups = roman_value(match["numeral"]), match.groupdict()
    before = (groups.get("ordinal") or "").strip() + (groups.get("space") or "")
    return match[0] if value is None else before + sino(str(value))


def _phone(match: Match[str]) -> str:
    groups = re.findall(r"\d+", match[0].replace("(0)", ""))
    if len(groups) == 1:
        digits = groups[0]
        groups = [digits[:3], digits[3:-4], digits[-4:]]
    plus = "플러스 " if match[0].startswith("+") else ""
    return plus + ", ".join(map(digit_by_digit, groups))


def _called(digits: str) -> str:
    return ", ".join(map(digit_by_digit, filter(None, digits.split("-"))))


def _mixed(match: Match[str]) -> str:
    digits, part = match["digits"], match["part"]
    if len(digits) == 1 and not part:
        return f"{match['latin']} {ENGLISH_DIGITS[ascii_digits(digits)]} "
    if part:
        return f"{match['latin']} {number(f'{digits}.{part}')}"
    return f"{match['latin']} {sino(digits) if len(digits) <= 2 else digit_by_digit(digits)}"


def _before_latin(match: Match[str]) -> str:
    digits = match["digits"]
    return f"{ENGLISH_DIGITS[ascii_digits(digits)] if len(digits) == 1 else sino(digits)} "


def _laugh(match: Match[str]) -> str:
    return _LAUGHS[match[0][0]] * min(len(match[0]), 3)


ADDRESSES: Final = Kind(
    "addresses",
    "addresses, e-mail, file names and handles: the signs get names, short parts are spelled",
    _ADDRESS_WORDS.rules(E_MAIL, ADDRESS, FILE_NAME, HANDLE),
)
ROMAN_NUMERALS: Final = Kind(
    "roman-numerals",
    "제Ⅲ장 is 제삼장, 루이 XIV세 루이 십사세",
    (
        (re.compile(f"(?P<numeral>{ROMAN_SIGN}+)"), _roman),
        (_ROMAN_BY_WORD, _roman),
        (_ROMAN_OF_TITLE, _roman),
        (_ROMAN_ORDINAL, _roman),
    ),
)
PHONE_NUMBERS: Final = Kind(
    "phone-numbers",
    "digit by digit, 0 as 공, a pause between groups",
    ((_PHONE, _phone), (_CALLED, lambda match: digit_by_digit(match[0]))),
)
IDENTIFIERS: Final = Kind(
    "identifiers",
    "versions by their points, codes digit by digit, MP3 as M P three",
    (
        (_CORONA, "일구"),
        (re.compile(r"(?<![A-Za-z])(?P<name>COVID)-19(?!\d)", re.IGNORECASE), r"\g<name> nineteen "),
        (_SECRET, lambda match: match["name"] + _called(match["digits"])),
        (_VERSION, lambda match: " 점 ".join(map(sino, match[0].split(".")))),
        (_GROUPS, lambda match: _called(match[0])),
        (_LOT, lambda match: f"{sino(match['lot'])} 다시 {sino(match['part'])}"),
        (_LATIN_THEN_DIGITS, _mixed),
        (_DIGITS_THEN_LATIN, _before_latin),
    ),
)
HANJA: Final = Kind(
    "hanja",
    "hanja in brackets behind its reading is dropped, hanja of headlines is read",
    (
        (_HANJA_AFTER, ""),
        (re.compile(f"[{''.join(_HANJA)}]"), lambda match: _HANJA[match[0]]),
    ),
)
JAMO: Final = Kind(
    "jamo",
    "laughter and letters written alone: ㅋㅋ is 크크, ㄱ 기역",
    (
        (re.compile(f"(?<![ㄱ-ㅎ])(?:{'|'.join(_SHORT)})(?![ㄱ-ㅎ])"), lambda match: _SHORT[match[0]]),
        (re.compile("ㅋ+|ㅎ+|ㅠ{2,}|ㅜ{2,}|ㅍ{2,}|ㅡ{2,}"), _laugh),
        (re.compile(f"[{''.join(_JAMO_NAMES)}]"), lambda match: _JAMO_NAMES[match[0]]),
    ),
)
