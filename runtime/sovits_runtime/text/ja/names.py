"""What names rather than counts, in Japanese: addresses, telephone numbers, codes, Roman numerals."""

from __future__ import annotations

import re
from re import Match
from typing import Final

from sovits_runtime.text.ja.numbers import DASH, KANA_DIGITS, called, kanji, number
from sovits_runtime.text.spelling import Kind
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
        ".": "ドット", "@": "アット", "/": "スラッシュ", "-": "ハイフン", "_": "アンダーバー", ":": "コロン",
        "?": "クエスチョン", "&": "アンド",
        "=": "イコール", "#": "シャープ", "%": "パーセント", "+": "プラス", "~": "チルダ",
    },
    KANA_DIGITS,
)  # fmt: skip

_OF_ROMAN: Final = (
    r"世(?!代|界|紀|間|話|帯|論)|章|部(?!分|屋|品|長|下|員|活|門|隊)|巻|期(?!待|間|限)|編|級|型|類|相|節|項"
    r"|幕|楽章|度(?!々)|種|段階|層|系|群|形|号(?!室)|回(?!転|路|答|復)"
)
_ROMAN_BY_WORD: Final = re.compile(
    rf"(?<![A-Za-z])(?P<numeral>[IVXLC]{{2,12}}|[IVX](?=\s?(?:世(?!代|界)|章|部(?!分|屋|品)|巻|期|編|幕"
    rf"|楽章|型糖|度(?:の?熱|房室))))(?=\s?(?:{_OF_ROMAN}))"
)
_ROMAN_ORDINAL: Final = re.compile(r"(?<=第)\s?(?P<numeral>[IVXLC]{1,12})(?![A-Za-z])")

_ROMAN_OF_TITLE: Final = re.compile(
    r"(?<=[\u30a1-\u30fa\u30fc\u4e00-\u9fff])\s?(?P<numeral>(?=[IVX]*[IV])[IVX]{2,7})(?![A-Za-z\d])"
)

_LINK: Final = rf"(?:\s?(?:{DASH}|ー|―)\s?|[)）(（]|\s)"
_PHONE: Final = re.compile(
    rf"(?<![\d:：.,/-])(?:\+\s?81{_LINK}?(?:\(0\))?\d{{1,4}}|[(（]?0\d{{1,4}}){_LINK}\d{{1,4}}{_LINK}\d{{3,4}}(?![\d-])"
    rf"|(?<![\d.,-])0[5789]0\d{{8}}(?!\d)|(?<![\d.,-])0120\d{{6}}(?!\d)|(?<![\d.,-])0\d{{9}}(?!\d)"
    r"|(?<=電話)(?:番号)?は?\d{3,4}-\d{4}(?![\d-])"
)
_POSTAL: Final = re.compile(
    rf"(?P<lead>〒\s?|(?<=郵便番号)(?:は|：|:)?\s?)(?P<first>\d{{3}}){DASH}?(?P<second>\d{{4}})(?!\d)"
)
_CALLED: Final = re.compile(
    r"(?<![\d.,])1(?:0[4]|1[0-9]|7[17]|8[89])(?=\s?(?:に(?:電話|通報|かけ|連絡|ダイヤル)|へ(?:通報|電話)|通報))"
)

_VERSION: Final = re.compile(r"(?<![\d.])\d+(?:\.\d+){2,}(?![\d.]*\d)")
_GROUPS: Final = re.compile(rf"(?<![\d-])\d{{2,}}(?:{DASH}\d{{2,}}){{2,}}(?![\d-])")
_PLACE: Final = re.compile(
    r"(?P<before>[区市町村郡丁目条通台谷丘原田番地園山島崎塚浜津橋里字宮沢寺岡野川本池井森]"
    rf"|(?<=[東西南北])[\u4e00-\u9fff]|[ぁ-んァ-ヶ](?=\d+{DASH}\d+{DASH}\d))"
    rf"\s?(?P<numbers>\d{{1,4}}(?:{DASH}\d{{1,4}}){{1,3}})(?![\d-]|[人個本枚名回台歳円分時日年月週点位度%])"
)
_PLACE_OF_THREE: Final = re.compile(
    rf"(?<![\d.-])(?P<before>)(?P<numbers>\d{{1,3}}(?:{DASH}\d{{1,4}}){{2,3}})(?![\d-])"
)
_SECRET: Final = re.compile(
    r"(?P<name>(?:暗証番号|パスワード|認証コード|確認コード|口座番号|カード番号|注文番号|会員番号"
    r"|学籍番号|社員番号|受付番号|追跡番号|伝票番号|コード|シリアル番号|製造番号|部屋番号)(?:は|が|："
    r"|:)?\s?)(?P<digits>\d[\d-]{1,30}\d)(?![.,]\d|円|個)"
)
_PAPER: Final = re.compile(r"(?<![A-Za-z\d])(?P<latin>[AB])(?P<digits>10|\d)(?![A-Za-z\d.])")
_ROOMS: Final = re.compile(r"(?<![\d.,A-Za-z])(?P<digits>\d)(?=S?(?:LDK|DK|K)(?![A-Za-z]))")
_LATIN_THEN_DIGITS: Final = re.compile(
    r"(?<![A-Za-z\d])(?P<latin>[A-Za-z]{1,12})(?P<link>-?)(?P<digits>\d{1,8})(?:\.(?P<part>\d{1,3}))?(?![\d.]\d|\d)"
)
_ENGLISH_BEFORE: Final = re.compile(r"(?<![\d.,])(?P<digits>\d)-?(?=[DGP](?![A-Za-z]))")
_DIGITS_THEN_LATIN: Final = re.compile(r"(?<![\d.,])(?P<digits>\d{1,4})-?(?=[A-Za-z])")


def _roman(match: Match[str]) -> str:
    value = roman_value(match["numeral"])
    return match[0] if value is None else kanji(str(value))


def _phone(match: Match[str]) -> str:
    before, number_ = re.match(r"(番号)?は?", match[0]), match[0]
    lead = before[0] if before else ""
    groups = re.findall(r"\d+", number_.replace("(0)", ""))
    if len(groups) == 1:
        digits = groups[0]
        groups = (
            [digits[:4], digits[4:7], digits[7:]]
            if digits.startswith("0120")
            else [digits[:-8], digits[-8:-4], digits[-4:]]
        )
    plus = "プラス" if number_.startswith("+") else ""
    return lead + plus + "、".join(map(called, groups))


def _postal(match: Match[str]) -> str:
    lead = "郵便番号、" if "〒" in match["lead"] else match["lead"]
    return f"{lead}{called(match['first'])}の{called(match['second'])}、"


def _place(match: Match[str]) -> str:
    numbers = "の".join(map(kanji, re.split(DASH, match["numbers"])))
    return match["before"] + re.sub("^四の五(?=の)", "ヨンの五", numbers)  # 四の五の alone is an idiom


def _mixed(match: Match[str]) -> str:
    latin, digits, part = match["latin"], match["digits"], match["part"]
    if part:
        return f"{latin} {number(f'{digits}.{part}')}"
    if len(digits) == 1:
        return f"{latin} {ENGLISH_DIGITS[ascii_digits(digits)]} "
    return f"{latin} {kanji(digits) if len(digits) == 2 else called(digits)}"


ADDRESSES: Final = Kind(
    "addresses",
    "addresses, e-mail, file names and handles: the signs get names, short parts are spelled",
    _ADDRESS_WORDS.rules(E_MAIL, ADDRESS, FILE_NAME, HANDLE),
)
ROMAN_NUMERALS: Final = Kind(
    "roman-numerals",
    "第Ⅲ章 is 第三章, ルイXIV世 ルイ十四世",
    (
        (re.compile(f"(?P<numeral>{ROMAN_SIGN}+)"), _roman),
        (_ROMAN_BY_WORD, _roman),
        (_ROMAN_OF_TITLE, _roman),
        (_ROMAN_ORDINAL, _roman),
    ),
)
PHONE_NUMBERS: Final = Kind(
    "phone-numbers",
    "digit by digit, a pause between groups; 〒 is 郵便番号",
    (
        (_POSTAL, _postal),
        (_PHONE, _phone),
        (_CALLED, lambda match: called(match[0])),
    ),
)  # fmt: skip
IDENTIFIERS: Final = Kind(
    "identifiers",
    "1-2-3 of a place is 一の二の三, codes digit by digit, MP3 as M P three",
    (
        (_SECRET, lambda match: match["name"] + "、".join(map(called, match["digits"].split("-")))),
        (_VERSION, lambda match: "点".join(map(kanji, match[0].split(".")))),
        (_GROUPS, lambda match: "、".join(map(called, re.split(DASH, match[0])))),
        (_PLACE, _place),
        (_PLACE_OF_THREE, _place),
        (
            _PAPER,
            lambda match: (
                f"{match['latin']} {called(match['digits']) if len(match['digits']) == 1 else '十'}"
            ),
        ),
        (_ROOMS, lambda match: f"{kanji(match['digits'])} "),
        (re.compile(r"(?<![A-Za-z])(?P<name>COVID)-19(?!\d)", re.IGNORECASE), r"\g<name> nineteen "),
        (_LATIN_THEN_DIGITS, _mixed),
        (_ENGLISH_BEFORE, lambda match: f"{ENGLISH_DIGITS[ascii_digits(match['digits'])]} "),
        (_DIGITS_THEN_LATIN, lambda match: f"{kanji(match['digits'])} "),
        (re.compile("(?<=[A-Za-z])型"), "がた"),  # beside a letter it would be read as a word of its own
    ),
)
