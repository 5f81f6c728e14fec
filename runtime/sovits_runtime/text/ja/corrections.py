"""Where Japanese text is read otherwise than by the original, unless `official=True`.

Each row is an example that the tests replay both ways: phones, without the pitch marks `[ ]`.
"""

from __future__ import annotations

from typing import Final

from sovits_runtime.text.correction import Correction

CORRECTIONS: Final[tuple[Correction, ...]] = (
    Correction(
        "the point of a decimal ends a sentence",
        "3.14です",
        "s a N . j u u UNK y o N d e s u",
        "s a N t e N UNK i ch i y o N d e s u",
    ),
    Correction(
        "the thousands comma parts the number",
        "2,980円",
        "n i , ky u u hy a k u UNK h a ch i j u u e N",
        "n i s e N UNK ky u u hy a k u UNK h a ch i j u u e N",
    ),
    Correction(
        "hours and minutes are read as bare numbers",
        "12:30に",
        "j u u UNK n i UNK s a N j u u n i",
        "j u u UNK n i j i UNK s a N j u cl p u N n i",
    ),
    Correction(
        "a date with slashes is read as bare numbers",
        "2023/07/08に",
        "n i s e N UNK n i j u u UNK s a N UNK z e r o n a n a UNK z e r o h a ch i n i",
        "n i s e N UNK n i j u u UNK s a N n e N UNK sh i ch i g a ts u UNK y o o k a n i",
    ),
    Correction(
        "a fraction is read as two numbers",
        "3/4です",
        "s a N UNK y o N d e s u",
        "y o N p u N n o UNK s a N d e s u",
    ),
    Correction(
        "phone numbers are read as thousands",
        "03-1234-5678",
        "z e r o s a N - s e N UNK n i hy a k u UNK s a N j u u UNK y o N"
        " - g o s e N UNK r o cl py a k u UNK n a n a j u u UNK h a ch i",
        "z e r o s a N , i ch i n i i s a N y o N , g o o UNK r o k u UNK n a n a h a ch i",
    ),
    Correction("half-width % is not read", "10%です", "j u u UNK d e s u", "j u cl p a a s e N t o d e s u"),
    Correction(
        "signs of currency are not read",
        "$50と￥300",
        "UNK g o j u u t o UNK s a N by a k u",
        "g o j u u d o r u t o UNK s a N by a k u e N",
    ),
    Correction(
        "a minus is a dash",
        "-15度と気温は-3度",
        "- j u u UNK g o d o t o UNK k i o N w a - s a N d o",
        "m a i n a s u j u u UNK g o d o t o UNK k i o N w a UNK m a i n a s u UNK s a N d o",
    ),
    Correction(
        "unit signs are not read, unit letters are spelled",
        "120㎡と5GB",
        "hy a k u UNK n i j u u UNK t o g o j i i b i i",
        "hy a k u UNK n i j u cl h e e h o o m e e t o r u t o UNK g o g i g a b a i t o",
    ),
    Correction(
        "℃ is not read", "23℃です", "n i j u u UNK s a N UNK d e s u", "n i j u u UNK s a N d o d e s u"
    ),
    Correction(
        "+ = × ÷ are not read",
        "3+5=8",
        "s a N UNK g o UNK h a ch i",
        "s a N p u r a s u g o i k o o r u h a ch i",
    ),
    Correction(
        "circled and other compatibility characters are not read",
        "①番と㈱",
        "UNK b a N t o UNK",
        "i ch i b a N t o UNK k a b u UNK",
    ),
    Correction("half-width voiced kana lose their voice", "ﾊﾞｽです", "h a UNK s u d e s u", "b a s u d e s u"),
    Correction("variant ideographs silence the whole stretch", "髙橋さん", "s a N", "t a k a h a sh i s a N"),
    Correction("emoji become a phrase border", "楽しい😊ね", "t a n o sh i i UNK n e", "t a n o sh i i n e"),
    Correction(
        "a tab becomes a phrase border, a line break two stops",
        "タブ\tです\r\nはい",
        "t a b u UNK d e s u UNK . h a i",
        "t a b u d e s u . h a i",
    ),
)
