"""Where Japanese text is read otherwise than by the original, unless `official=True`.

Each row is an example that the tests replay both ways: phones, without the pitch marks `[ ]`.
"""

from __future__ import annotations

from typing import Final

from sovits_runtime.text.correction import Correction

CORRECTIONS: Final[tuple[Correction, ...]] = (
    Correction(
        "compatibility-characters",
        "circled and other compatibility characters are not read",
        "①番と㈱です",
        "UNK b a N t o UNK d e s u",
        "i ch i b a N t o UNK k a b u sh i k i g a i sh a d e s u .",
    ),
    Correction(
        "compatibility-characters",
        "half-width voiced kana lose their voice",
        "ﾊﾞｽです",
        "h a UNK s u d e s u",
        "b a s u d e s u .",
    ),
    Correction(
        "compatibility-characters",
        "old forms of kanji silence the whole stretch",
        "髙橋さんにきいて",
        "s a N n i UNK k i i t e",
        "t a k a h a sh i s a N n i UNK k i i t e .",
    ),
    Correction(
        "compatibility-characters",
        "a tab becomes a phrase border",
        "タブ\tです",
        "t a b u UNK d e s u",
        "t a b u d e s u .",
    ),
    Correction(
        "ruby",
        "a reading beside its kanji is said after it",
        "小鳥遊《たかなし》さん",
        "t a k a n a sh i UNK t a k a UNK n a sh i UNK s a N",
        "t a k a n a sh i s a N .",
    ),
    Correction(
        "emoticons",
        "faces made of signs are read sign by sign",
        "うれしい(^_^)です",
        "u r e sh i i UNK UNK _ UNK UNK d e s u",
        "u r e sh i i d e s u .",
    ),
    Correction(
        "addresses",
        "the signs of addresses are not read",
        "詳しくは@bbcへ",
        "k u w a sh i k u w a UNK b i i b i i sh i i e",
        "k u w a sh i k u w a a cl t o B IY1 B IY1 S IY1 e .",
    ),
    Correction(
        "abbreviations",
        "abbreviations are spelled",
        "No.5とp.12です",
        "e n u UNK o o . g o t o UNK p i i . j u u UNK n i d e s u",
        "n a N b a a g o t o UNK j u u UNK n i p e e j i d e s u .",
    ),
    Correction(
        "roman-numerals",
        "Roman numerals are not read, or letter by letter",
        "第Ⅲ章とルイXIV世",
        "d a i UNK a k i r a t o UNK r u i e cl k u s u a i b u i y o",
        "d a i UNK s a N sh o o t o UNK r u i j u u UNK y o N s e e .",
    ),
    Correction(
        "iteration-marks",
        "marks of repetition are not read",
        "こゝろと〇〇さん",
        "k o k o r o t o UNK UNK s a N",
        "k o k o r o t o UNK m a r u m a r u s a N .",
    ),
    Correction(
        "phone-numbers",
        "phone numbers are read as thousands",
        "電話は03-1234-5678です",
        "d e N w a w a UNK z e r o s a N - s e N UNK n i hy a k u UNK s a N j u u UNK y o N - g o s e N "
        "UNK r o cl py a k u UNK n a n a j u u UNK h a ch i d e s u",
        "d e N w a w a UNK z e r o s a N , i ch i n i i s a N y o N , . g o o UNK r o k u UNK n a n a h "
        "a ch i d e s u .",
    ),
    Correction(
        "dates",
        "a date with slashes is read as bare numbers",
        "締切は2023/07/08です",
        "sh i m e k i r i w a UNK n i s e N UNK n i j u u UNK s a N UNK z e r o n a n a UNK z e r o h a ch i d e s u",
        "sh i m e k i r i w a UNK n i s e N UNK n i j u u UNK s a N n e N UNK sh i ch i g a ts u UNK y o "
        "o k a d e s u .",
    ),
    Correction(
        "dates",
        "a weekday in brackets is read as a noun",
        "5/3（土）に",
        "g o UNK s a N UNK ts u ch i UNK n i",
        "g o g a ts u UNK m i cl k a , d o y o o b i n i .",
    ),
    Correction(
        "times-of-day",
        "hours and minutes are read as bare numbers",
        "12:30に",
        "j u u UNK n i UNK s a N j u u n i",
        "j u u UNK n i j i UNK s a N j u cl p u N n i .",
    ),
    Correction(
        "scores",
        "a score is read as two numbers",
        "3:2で勝った",
        "s a N UNK n i d e UNK k a cl t a",
        "s a N UNK t a i n i d e UNK k a cl t a .",
    ),
    Correction(
        "comparisons",
        "a minus is a dash",
        "気温は-3度です",
        "k i o N w a - s a N d o d e s u",
        "k i o N w a UNK m a i n a s u UNK s a N d o d e s u .",
    ),
    Correction(
        "comparisons",
        "± and signs of comparison are not read",
        "誤差は±2で、5>3です",
        "g o s a w a UNK n i d e , g o UNK s a N d e s u",
        "g o s a w a UNK p u r a s u m a i n a s u n i d e , . g o d a i n a r i UNK s a N d e s u .",
    ),
    Correction(
        "fractions",
        "a fraction is read as two numbers",
        "3/4です",
        "s a N UNK y o N d e s u",
        "y o N b u N n o UNK s a N d e s u .",
    ),
    Correction(
        "money",
        "signs of currency are not read",
        "$50と￥300です",
        "UNK g o j u u t o UNK s a N by a k u d e s u",
        "g o j u u d o r u t o UNK s a N by a k u e N d e s u .",
    ),
    Correction(
        "money",
        "cents are read as a decimal",
        "$3.50です",
        "UNK s a N . g o j u u d e s u",
        "s a N d o r u UNK g o j u cl s e N t o d e s u .",
    ),
    Correction(
        "temperatures",
        "℃ is not read",
        "23℃です",
        "n i j u u UNK s a N UNK d e s u",
        "n i j u u UNK s a N d o d e s u .",
    ),
    Correction(
        "percent",
        "half-width % is not read",
        "10%です",
        "j u u UNK d e s u",
        "j u cl p a a s e N t o d e s u .",
    ),
    Correction(
        "units",
        "unit signs are not read, unit letters are spelled",
        "120㎡と5GBです",
        "hy a k u UNK n i j u u UNK t o g o j i i b i i d e s u",
        "hy a k u UNK n i j u cl h e e h o o m e e t o r u t o UNK g o g i g a b a i t o d e s u .",
    ),
    Correction(
        "identifiers",
        "the numbers of a place run together",
        "千代田区1-2-3です",
        "ch i y o d a k u UNK i ch i - n i - s a N d e s u",
        "ch i y o d a k u UNK i ch i n o UNK n i n o UNK s a N d e s u .",
    ),
    Correction(
        "ranges",
        "the wave of a range is not read",
        "10〜15人です",
        "j u u UNK j u u UNK g o n i N d e s u",
        "j u u k a r a UNK j u u UNK g o n i N d e s u .",
    ),
    Correction(
        "counters",
        "10分 is read as enough once it is in kanji, 0 as a digit",
        "0度で10分です",
        "z e r o d o d e UNK j u cl p u N d e s u",
        "r e e d o d e UNK j u cl p u N d e s u .",
    ),
    Correction(
        "arithmetic",
        "+ = × ÷ are not read",
        "3+5=8です",
        "s a N UNK g o UNK h a ch i d e s u",
        "s a N p u r a s u g o i k o o r u h a ch i d e s u .",
    ),
    Correction(
        "numbers",
        "the point of a decimal ends a sentence",
        "3.14です",
        "s a N . j u u UNK y o N d e s u",
        "s a N t e N UNK i ch i y o N d e s u .",
    ),
    Correction(
        "numbers",
        "the thousands comma parts the number",
        "2,980円です",
        "n i , ky u u hy a k u UNK h a ch i j u u e N d e s u",
        "n i s e N UNK ky u u hy a k u UNK h a ch i j u u e N d e s u .",
    ),
    Correction(
        "signs",
        "signs are not read",
        "犬&猫です",
        "i n u UNK n e k o d e s u",
        "i n u a N d o n e k o d e s u .",
    ),
    Correction(
        "marks",
        "a wave behind kana is a dash",
        "そうですね〜",
        "s o o d e s u n e UNK",
        "s o o d e s u n e e .",
    ),
    Correction(
        "",
        "a kanji without a reading silences its neighbours",
        "これは東龘京というものです",
        "k o r e w a UNK h i g a sh i _ t o UNK i u UNK m o n o d e s u",
        "k o r e w a UNK t o o ky o o t o UNK i u UNK m o n o d e s u .",
    ),
    Correction(
        "", "emoji become a phrase border", "楽しい😊ね", "t a n o sh i i UNK n e", "t a n o sh i i n e ."
    ),
)
