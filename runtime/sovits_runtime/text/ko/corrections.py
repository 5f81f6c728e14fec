"""Where Korean text is read otherwise than by the original, unless `official=True`.

Each row is an example that the tests replay both ways: phones.
"""

from __future__ import annotations

from typing import Final

from sovits_runtime.text.correction import Correction

CORRECTIONS: Final[tuple[Correction, ...]] = (
    Correction(
        "compatibility-characters",
        "full-width and circled digits are not read",
        "①번 １２원",
        "停 ㅂ ㅓ ㄴ 空 ㅅ ㅣ ㅂ ㅜ ㅓ ㄴ .",
        "ㅇ ㅣ ㄹ ㅂ ㅓ ㄴ 空 ㅅ ㅣ ㅂ ㅣ ㅇ ㅜ ㅓ ㄴ .",
    ),
    Correction(
        "compatibility-characters",
        "tabs and odd spaces become an unknown sign",
        "탭\t입니다",
        "ㅌ ㅐ ㅂ 停 ㅇ ㅣ ㅁ ㄴ ㅣ ㄷ ㅏ .",
        "ㅌ ㅐ ㅂ 空 ㅇ ㅣ ㅁ ㄴ ㅣ ㄷ ㅏ .",
    ),
    Correction(
        "emoticons",
        "faces made of signs are read sign by sign",
        "좋아요^^ 네",
        "ㅈ ㅗ ㅇ ㅏ ㅇ ㅣ ㅗ 停 停 空 ㄴ ㅔ .",
        "ㅈ ㅗ ㅇ ㅏ ㅇ ㅣ ㅗ 空 ㄴ ㅔ .",
    ),
    Correction(
        "addresses",
        "the signs of addresses are not read",
        "@bbc로 오세요",
        "停 ㅂ ㅣ ㅂ ㅣ ㅅ ㅣ ㄹ ㅗ 空 ㅇ ㅗ ㅅ ㅔ ㅇ ㅣ ㅗ .",
        "ㄱ ㅗ ㄹ ㅂ ㅐ ㅇ ㅇ ㅣ B IY1 B IY1 S IY1 ㄹ ㅗ 空 ㅇ ㅗ ㅅ ㅔ ㅇ ㅣ ㅗ .",
    ),
    Correction(
        "abbreviations",
        "abbreviations are spelled",
        "한국 vs 일본",
        "ㅎ ㅏ ㄴ ㄱ ㅜ ㄱ 空 ㅃ ㅡ ㅇ ㅣ ㅇ ㅔ ㅅ ㅡ 空 ㅇ ㅣ ㄹ ㅂ ㅗ ㄴ .",
        "ㅎ ㅏ ㄴ ㄱ ㅜ ㄱ 空 ㄸ ㅐ 空 ㅇ ㅣ ㄹ ㅂ ㅗ ㄴ .",
    ),
    Correction(
        "roman-numerals",
        "Roman numerals are not read, or letter by letter",
        "제Ⅲ장과 루이 XIV세",
        "ㅈ ㅔ 停 ㅈ ㅏ ㅇ ㄱ ㅗ ㅏ 空 ㄹ ㅜ ㅇ ㅣ 空 ㅇ ㅔ ㄱ ㅆ ㅡ ㅇ ㅏ ㅇ ㅣ ㅂ ㅡ ㅇ ㅣ ㅅ ㅔ .",
        "ㅈ ㅔ ㅅ ㅏ ㅁ ㅈ ㅏ ㅇ ㄱ ㅗ ㅏ 空 ㄹ ㅜ ㅇ ㅣ 空 ㅅ ㅣ ㅂ ㅆ ㅏ ㅅ ㅔ .",
    ),
    Correction(
        "phone-numbers",
        "the zero of a phone number is 영, its hyphens stay",
        "010-2345-6789로",
        "ㅇ ㅣ ㅓ ㅇ ㅇ ㅣ ㄹ ㅣ ㅓ ㅇ - ㅇ ㅣ ㅅ ㅏ ㅁ ㅅ ㅏ ㅇ ㅗ - ㅇ ㅣ ㅜ ㄱ ㅊ ㅣ ㄹ ㅍ ㅏ ㄹ ㄱ ㅜ ㄹ ㅗ .",
        ". ㄱ ㅗ ㅇ ㅇ ㅣ ㄹ ㄱ ㅗ ㅇ , 空 ㅇ ㅣ ㅅ ㅏ ㅁ ㅅ ㅏ ㅇ ㅗ , 空 ㅇ ㅣ ㅜ ㄱ ㅊ ㅣ ㄹ ㅍ ㅏ ㄹ ㄱ ㅜ ㄹ ㅗ .",
    ),
    Correction(
        "dates",
        "June and October keep a consonant that nobody says",
        "6월과 10월",
        "ㅇ ㅣ ㅜ ㄱ ㅜ ㅓ ㄹ ㄱ ㅗ ㅏ 空 ㅅ ㅣ ㅇ ㅜ ㅓ ㄹ .",
        "ㅇ ㅣ ㅜ ㅇ ㅜ ㅓ ㄹ ㄱ ㅗ ㅏ 空 ㅅ ㅣ ㅇ ㅜ ㅓ ㄹ .",
    ),
    Correction(
        "dates",
        "dates with hyphens keep their zeros",
        "2023-07-08입니다",
        "ㅇ ㅣ ㅇ ㅣ ㅓ ㅇ ㅇ ㅣ ㅅ ㅏ ㅁ - ㅇ ㅣ ㅓ ㅇ ㅊ ㅣ ㄹ - ㅇ ㅣ ㅓ ㅇ ㅍ ㅏ ㄹ ㅣ ㅁ ㄴ ㅣ ㄷ ㅏ .",
        "ㅇ ㅣ ㅊ ㅓ ㄴ ㅣ ㅅ ㅣ ㅂ ㅆ ㅏ ㅁ ㄴ ㅣ ㅓ ㄴ 空 ㅊ ㅣ ㄹ ㅜ ㅓ ㄹ 空 ㅍ ㅏ ㄹ ㅣ ㄹ ㅣ ㅁ ㄴ ㅣ ㄷ ㅏ .",
    ),
    Correction(
        "times-of-day",
        "hours and minutes are read as bare numbers",
        "12:30에",
        "ㅇ ㅣ ㄹ ㅣ 停 ㅅ ㅏ ㅁ ㅣ ㅓ ㅇ ㅇ ㅔ .",
        "ㅇ ㅣ ㅓ ㄹ ㄷ ㅜ ㅅ ㅣ 空 ㅅ ㅏ ㅁ ㅅ ㅣ ㅂ ㅃ ㅜ ㄴ ㅔ .",
    ),
    Correction(
        "scores",
        "a score is read as two numbers",
        "3:2로 이겼다",
        "ㅅ ㅏ ㅁ 停 ㅇ ㅣ ㄹ ㅗ 空 ㅇ ㅣ ㄱ ㅣ ㅓ ㄷ ㄸ ㅏ .",
        "ㅅ ㅏ ㅁ ㄷ ㅐ 空 ㅇ ㅣ ㄹ ㅗ 空 ㅇ ㅣ ㄱ ㅣ ㅓ ㄷ ㄸ ㅏ .",
    ),
    Correction(
        "comparisons",
        "a minus is a dash",
        "기온은 -15도",
        "ㄱ ㅣ ㅇ ㅗ ㄴ ㅡ ㄴ 空 - ㅅ ㅣ ㅂ ㅗ ㄷ ㅗ .",
        "ㄱ ㅣ ㅇ ㅗ ㄴ ㅡ ㄴ 空 ㅁ ㅏ ㅇ ㅣ ㄴ ㅓ ㅅ ㅡ 空 ㅅ ㅣ ㅂ ㅗ ㄷ ㅗ .",
    ),
    Correction(
        "comparisons",
        "± and signs of comparison are not read",
        "오차는 ±2이고 5>3이다",
        "ㅇ ㅗ ㅊ ㅏ ㄴ ㅡ ㄴ 空 停 ㅇ ㅣ ㅇ ㅣ ㄱ ㅗ 空 ㅇ ㅗ 停 ㅅ ㅏ ㅁ ㅣ ㄷ ㅏ .",
        "ㅇ ㅗ ㅊ ㅏ ㄴ ㅡ ㄴ 空 ㅍ ㅡ ㄹ ㄹ ㅓ ㅅ ㅡ ㅁ ㅏ ㅇ ㅣ ㄴ ㅓ ㅅ ㅡ 空 ㅇ ㅣ ㅇ ㅣ ㄱ ㅗ 空 ㅇ "
        "ㅗ ㄴ ㅡ ㄴ 空 ㅅ ㅏ ㅁ ㅂ ㅗ ㄷ ㅏ 空 ㅋ ㅡ ㅁ ㅣ ㄷ ㅏ .",
    ),
    Correction(
        "fractions",
        "a fraction is read as two numbers",
        "3/4을",
        "ㅅ ㅏ ㅁ 停 ㅅ ㅏ ㅇ ㅡ ㄹ .",
        "ㅅ ㅏ ㅂ ㅜ ㄴ ㅡ ㅣ 空 ㅅ ㅏ ㅁ ㅡ ㄹ .",
    ),
    Correction(
        "money",
        "signs of currency are not read",
        "$50와 ￥3000",
        "停 ㅇ ㅗ ㅇ ㅣ ㅓ ㅇ ㅇ ㅗ ㅏ 空 停 ㅅ ㅏ ㅁ ㅣ ㅓ ㅇ ㅇ ㅣ ㅓ ㅇ ㅇ ㅣ ㅓ ㅇ .",
        "ㅇ ㅗ ㅅ ㅣ ㅂ ㄸ ㅏ ㄹ ㄹ ㅓ ㅇ ㅗ ㅏ 空 ㅅ ㅏ ㅁ ㅊ ㅓ ㄴ ㅔ ㄴ .",
    ),
    Correction(
        "temperatures",
        "unit signs are not read",
        "낮 23℃",
        "ㄴ ㅏ ㄷ 空 ㅇ ㅣ ㅅ ㅏ ㅁ 停",
        "ㄴ ㅏ ㄷ 空 ㅇ ㅣ ㅅ ㅣ ㅂ ㅆ ㅏ ㅁ ㄷ ㅗ .",
    ),
    Correction(
        "percent",
        "percentage points are not read",
        "금리가 2.5%p 올랐다",
        "ㄱ ㅡ ㅁ ㄴ ㅣ ㄱ ㅏ 空 ㅇ ㅣ . ㅇ ㅗ ㅍ ㅓ ㅅ ㅔ ㄴ ㅌ ㅡ ㅍ ㅣ 空 ㅇ ㅗ ㄹ ㄹ ㅏ ㄷ ㄸ ㅏ .",
        "ㄱ ㅡ ㅁ ㄴ ㅣ ㄱ ㅏ 空 ㅇ ㅣ ㅉ ㅓ ㅁ ㅗ ㅍ ㅓ ㅅ ㅔ ㄴ ㅌ ㅡ ㅍ ㅗ ㅇ ㅣ ㄴ ㅌ ㅡ 空 ㅇ ㅗ ㄹ "
        "ㄹ ㅏ ㄷ ㄸ ㅏ .",
    ),
    Correction(
        "units",
        "units are spelled letter by letter",
        "키 175cm",
        "ㅋ ㅣ 空 ㅇ ㅣ ㄹ ㅊ ㅣ ㄹ ㅗ ㅅ ㅣ ㅇ ㅔ ㅁ .",
        "ㅋ ㅣ 空 ㅂ ㅐ ㄱ ㅊ ㅣ ㄹ ㅅ ㅣ ㅂ ㅗ ㅅ ㅔ ㄴ ㅌ ㅣ ㅁ ㅣ ㅌ ㅓ .",
    ),
    Correction(
        "identifiers",
        "the points of a version end sentences",
        "버전 1.2.3",
        "ㅂ ㅓ ㅈ ㅓ ㄴ 空 ㅇ ㅣ ㄹ . ㅇ ㅣ . ㅅ ㅏ ㅁ .",
        "ㅂ ㅓ ㅈ ㅓ ㄴ 空 ㅇ ㅣ ㄹ 空 ㅈ ㅓ ㅁ 空 ㅇ ㅣ 空 ㅈ ㅓ ㅁ 空 ㅅ ㅏ ㅁ .",
    ),
    Correction(
        "counters",
        "native numbers are not used before most counters",
        "커피 2잔과 3명",
        "ㅋ ㅓ ㅍ ㅣ 空 ㅇ ㅣ ㅈ ㅏ ㄴ ㄱ ㅗ ㅏ 空 ㅅ ㅏ ㅁ ㅁ ㅣ ㅓ ㅇ .",
        "ㅋ ㅓ ㅍ ㅣ 空 ㄷ ㅜ ㅈ ㅏ ㄴ ㄱ ㅗ ㅏ 空 ㅅ ㅔ ㅁ ㅣ ㅓ ㅇ .",
    ),
    Correction(
        "ranges",
        "the wave of a range is not read",
        "3~5일 걸린다",
        "ㅅ ㅏ ㅁ 停 ㅇ ㅗ ㅇ ㅣ ㄹ 空 ㄱ ㅓ ㄹ ㄹ ㅣ ㄴ ㄷ ㅏ .",
        "ㅅ ㅏ ㅁ ㅔ ㅅ ㅓ 空 ㅇ ㅗ ㅇ ㅣ ㄹ 空 ㄱ ㅓ ㄹ ㄹ ㅣ ㄴ ㄷ ㅏ .",
    ),
    Correction(
        "arithmetic",
        "+ = × ÷ are not read",
        "3+5=8이다",
        "ㅅ ㅏ ㅁ 停 ㅇ ㅗ 停 ㅍ ㅏ ㄹ ㅣ ㄷ ㅏ .",
        "ㅅ ㅏ ㅁ 空 ㄷ ㅓ ㅎ ㅏ ㄱ ㅣ 空 ㅇ ㅗ ㄴ ㅡ ㄴ 空 ㅍ ㅏ ㄹ ㅣ ㄷ ㅏ .",
    ),
    Correction(
        "numbers",
        "the point of a decimal ends a sentence",
        "3.14입니다",
        "ㅅ ㅏ ㅁ . ㅇ ㅣ ㄹ ㅅ ㅏ ㅇ ㅣ ㅁ ㄴ ㅣ ㄷ ㅏ .",
        "ㅅ ㅏ ㅁ ㅉ ㅓ ㅁ ㅣ ㄹ ㅅ ㅏ ㅇ ㅣ ㅁ ㄴ ㅣ ㄷ ㅏ .",
    ),
    Correction(
        "numbers",
        "numbers are read digit by digit",
        "비용은 1,500만 원과 2024",
        "ㅂ ㅣ ㅇ ㅣ ㅗ ㅇ ㅇ ㅡ ㄴ 空 ㅇ ㅣ ㄹ , ㅇ ㅗ ㅇ ㅣ ㅓ ㅇ ㅇ ㅣ ㅓ ㅇ ㅁ ㅏ ㄴ 空 ㅇ ㅜ ㅓ ㄴ "
        "ㄱ ㅗ ㅏ 空 ㅇ ㅣ ㅇ ㅣ ㅓ ㅇ ㅇ ㅣ ㅅ ㅏ .",
        "ㅂ ㅣ ㅇ ㅣ ㅗ ㅇ ㅇ ㅡ ㄴ 空 ㅊ ㅓ ㄴ ㅗ ㅂ ㅐ ㅇ ㅁ ㅏ ㄴ 空 ㅇ ㅜ ㅓ ㄴ ㄱ ㅗ ㅏ 空 ㅇ ㅣ ㅊ "
        "ㅓ ㄴ ㅣ ㅅ ㅣ ㅂ ㅆ ㅏ .",
    ),
    Correction(
        "hanja",
        "hanja are not read",
        "美 대통령",
        "停 空 ㄷ ㅐ ㅌ ㅗ ㅇ ㄴ ㅣ ㅓ ㅇ .",
        "ㅁ ㅣ 空 ㄷ ㅐ ㅌ ㅗ ㅇ ㄴ ㅣ ㅓ ㅇ .",
    ),
    Correction(
        "jamo",
        "jamo written alone are not read as they are said",
        "ㅋㅋ ㄱ자",
        "ㅋ ㅋ 空 ㄱ ㅈ ㅏ .",
        "ㅋ ㅡ ㅋ ㅡ 空 ㄱ ㅣ ㅇ ㅣ ㅓ ㄱ ㅉ ㅏ .",
    ),
    Correction(
        "signs",
        "signs are not read",
        "개 & 고양이",
        "ㄱ ㅐ 空 停 空 ㄱ ㅗ ㅇ ㅣ ㅏ ㅇ ㅇ ㅣ .",
        "ㄱ ㅐ 空 ㅇ ㅐ ㄴ ㄷ ㅡ 空 ㄱ ㅗ ㅇ ㅣ ㅏ ㅇ ㅇ ㅣ .",
    ),
    Correction(
        "marks",
        "colon, semicolon and dashes become an unknown sign",
        "인천: 도시",
        "ㅇ ㅣ ㄴ ㅊ ㅓ ㄴ 停 空 ㄷ ㅗ ㅅ ㅣ .",
        ". ㅇ ㅣ ㄴ ㅊ ㅓ ㄴ , 空 ㄷ ㅗ ㅅ ㅣ .",
    ),
    Correction(
        "",
        "emoji become an unknown sign",
        "즐거워요😊 또",
        "ㅈ ㅡ ㄹ ㄱ ㅓ ㅇ ㅜ ㅓ ㅇ ㅣ ㅗ 停 空 ㄸ ㅗ .",
        "ㅈ ㅡ ㄹ ㄱ ㅓ ㅇ ㅜ ㅓ ㅇ ㅣ ㅗ 空 ㄸ ㅗ .",
    ),
)
