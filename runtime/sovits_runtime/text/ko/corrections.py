"""Where Korean text is read otherwise than by the original, unless `official=True`.

Each row is an example that the tests replay both ways: phones.
"""

from __future__ import annotations

from typing import Final

from sovits_runtime.text.correction import Correction

CORRECTIONS: Final[tuple[Correction, ...]] = (
    Correction(
        "the point of a decimal ends a sentence",
        "3.14입니다",
        "ㅅ ㅏ ㅁ . ㅇ ㅣ ㄹ ㅅ ㅏ ㅇ ㅣ ㅁ ㄴ ㅣ ㄷ ㅏ .",
        "ㅅ ㅏ ㅁ ㅉ ㅓ ㅁ ㅣ ㄹ ㅅ ㅏ ㅇ ㅣ ㅁ ㄴ ㅣ ㄷ ㅏ .",
    ),
    Correction(
        "hours and minutes are read as bare numbers",
        "12:30에",
        "ㅇ ㅣ ㄹ ㅣ 停 ㅅ ㅏ ㅁ ㅣ ㅓ ㅇ ㅇ ㅔ .",
        "ㅇ ㅣ ㅓ ㄹ ㄷ ㅜ ㅅ ㅣ 空 ㅅ ㅏ ㅁ ㅅ ㅣ ㅂ ㅃ ㅜ ㄴ ㅔ .",
    ),
    Correction(
        "a fraction is read as two numbers",
        "3/4을",
        "ㅅ ㅏ ㅁ 停 ㅅ ㅏ ㅇ ㅡ ㄹ .",
        "ㅅ ㅏ ㅂ ㅜ ㄴ ㅡ ㅣ 空 ㅅ ㅏ ㅁ ㅡ ㄹ .",
    ),
    Correction(
        "units are spelled letter by letter",
        "키 175cm",
        "ㅋ ㅣ 空 ㅇ ㅣ ㄹ ㅊ ㅣ ㄹ ㅗ ㅅ ㅣ ㅇ ㅔ ㅁ .",
        "ㅋ ㅣ 空 ㅂ ㅐ ㄱ ㅊ ㅣ ㄹ ㅅ ㅣ ㅂ ㅗ ㅅ ㅔ ㄴ ㅌ ㅣ ㅁ ㅣ ㅌ ㅓ .",
    ),
    Correction("unit signs are not read", "23℃", "ㅇ ㅣ ㅅ ㅏ ㅁ 停", "ㅇ ㅣ ㅅ ㅣ ㅂ ㅆ ㅏ ㅁ ㄷ ㅗ ."),
    Correction(
        "signs of currency are not read",
        "$50와 ￥3000",
        "停 ㅇ ㅗ ㅇ ㅣ ㅓ ㅇ ㅇ ㅗ ㅏ 空 停 ㅅ ㅏ ㅁ ㅣ ㅓ ㅇ ㅇ ㅣ ㅓ ㅇ ㅇ ㅣ ㅓ ㅇ .",
        "ㅇ ㅗ ㅅ ㅣ ㅂ ㄸ ㅏ ㄹ ㄹ ㅓ ㅇ ㅗ ㅏ 空 ㅅ ㅏ ㅁ ㅊ ㅓ ㄴ ㅔ ㄴ .",
    ),
    Correction(
        "a minus is a dash",
        "기온은 -15도",
        "ㄱ ㅣ ㅇ ㅗ ㄴ ㅡ ㄴ 空 - ㅅ ㅣ ㅂ ㅗ ㄷ ㅗ .",
        "ㄱ ㅣ ㅇ ㅗ ㄴ ㅡ ㄴ 空 ㅁ ㅏ ㅇ ㅣ ㄴ ㅓ ㅅ ㅡ 空 ㅅ ㅣ ㅂ ㅗ ㄷ ㅗ .",
    ),
    Correction(
        "+ = × ÷ are not read",
        "3+5=8",
        "ㅅ ㅏ ㅁ 停 ㅇ ㅗ 停 ㅍ ㅏ ㄹ .",
        "ㅅ ㅏ ㅁ ㄷ ㅓ ㅎ ㅏ ㄱ ㅣ 空 ㅇ ㅗ ㄴ ㅡ ㄴ 空 ㅍ ㅏ ㄹ .",
    ),
    Correction(
        "full-width letters and digits are not read",
        "ＡＢ１２",
        "停 停 停 停",
        "ㅇ ㅔ ㅇ ㅣ ㅂ ㅣ ㅇ ㅣ ㄹ ㅣ .",
    ),
    Correction("circled digits are not read", "①번", "停 ㅂ ㅓ ㄴ .", "ㅎ ㅏ ㄴ ㅂ ㅓ ㄴ ."),
    Correction(
        "colon, semicolon and dashes become an unknown sign",
        "인천: 도시",
        "ㅇ ㅣ ㄴ ㅊ ㅓ ㄴ 停 空 ㄷ ㅗ ㅅ ㅣ .",
        "ㅇ ㅣ ㄴ ㅊ ㅓ ㄴ , 空 ㄷ ㅗ ㅅ ㅣ .",
    ),
    Correction(
        "tabs and odd spaces become an unknown sign",
        "탭\t입니다",
        "ㅌ ㅐ ㅂ 停 ㅇ ㅣ ㅁ ㄴ ㅣ ㄷ ㅏ .",
        "ㅌ ㅐ ㅂ 空 ㅇ ㅣ ㅁ ㄴ ㅣ ㄷ ㅏ .",
    ),
    Correction(
        "emoji become an unknown sign",
        "즐거워요😊 또",
        "ㅈ ㅡ ㄹ ㄱ ㅓ ㅇ ㅜ ㅓ ㅇ ㅣ ㅗ 停 空 ㄸ ㅗ .",
        "ㅈ ㅡ ㄹ ㄱ ㅓ ㅇ ㅜ ㅓ ㅇ ㅣ ㅗ 空 ㄸ ㅗ .",
    ),
    Correction(
        "dates with hyphens keep their zeros",
        "2023-07-08입니다",
        "ㅇ ㅣ ㅇ ㅣ ㅓ ㅇ ㅇ ㅣ ㅅ ㅏ ㅁ - ㅇ ㅣ ㅓ ㅇ ㅊ ㅣ ㄹ - ㅇ ㅣ ㅓ ㅇ ㅍ ㅏ ㄹ ㅣ ㅁ ㄴ ㅣ ㄷ ㅏ .",
        "ㅇ ㅣ ㅊ ㅓ ㄴ ㅣ ㅅ ㅣ ㅂ ㅆ ㅏ ㅁ ㄴ ㅣ ㅓ ㄴ 空 ㅊ ㅣ ㄹ ㅜ ㅓ ㄹ 空 ㅍ ㅏ ㄹ ㅣ ㄹ ㅣ ㅁ ㄴ ㅣ ㄷ ㅏ .",
    ),
)
