"""Where Chinese text is read otherwise than by the original, unless `official=True`.

Each row is an example that the tests replay both ways (`norm_text`). Cantonese shares the normaliser, so they hold
there too; what is its own stands in `yue.CORRECTIONS`.
"""

from __future__ import annotations

from typing import Final

from sovits_runtime.text.correction import Correction

CORRECTIONS: Final[tuple[Correction, ...]] = (
    Correction("numbers of three or more digits are dictated, not counted", "他有100", "他有幺零零", "他有一百"),
    Correction("seven or eight digits are a phone number even before a measure word",
               "1234567人", "幺二三四五六七人", "一百二十三万四千五百六十七人"),
    Correction("the thousands comma ends a clause", "1,234个", "一,二百三十四个", "一千二百三十四个"),
    Correction("a range is read as a subtraction", "3-5天", "三减五天", "三到五天"),
    Correction("the end of a range of temperatures is read as negative", "5-10℃", "五零下十度", "五到十度"),
    Correction("the dashes – — and ～ of a range are lost", "3—5天", "三十五天", "三到五天"),
    Correction("a range of years is a subtraction", "2019-2021年", "二零幺九减二零二一年", "二零一九到二零二一年"),
    Correction("the hyphen of a phone number is a minus",
               "010-62345678", "零幺零减六二三四五六七八", "零幺零,六二三四五六七八"),
    Correction("digits parted by spaces run together", "3 5 8", "三五八", "三,五,八"),
    Correction("the minus takes the whole part and leaves the decimals", "-3.5", "负三零点五", "负三点五"),
    Correction("one ￥ turns every comma into a long pause, and the currency is not read",
               "￥299，打折", ",二九九,打折", "二百九十九元,打折"),
    Correction("$ ends the sentence", "$50", ".五十", "五十美元"),
    Correction("unit letters are replaced inside any Latin text", "email", "米", ""),
    Correction("mm is read as m twice", "5mm", "五米米", "五毫米"),
    Correction("units after a slash are lost", "80km/h", "八十千米每", "八十千米每小时"),
    Correction("compatibility signs are dropped", "20㎡", "二十", "二十平方米"),
    Correction("full-width signs are dropped", "50％", "五十", "百分之五十"),
    Correction("vulgar fractions are dropped", "½杯", "杯", "二分之一杯"),
    Correction("〇 is dropped", "二〇二四年", "二二四年", "二零二四年"),
    Correction("the second time of a range takes its 半 from the first",
               "8:30-9:15", "八点半至九点半", "八点半至九点十五分"),
    Correction("24:00 is cut in two", "24:00", "二四点", "二十四点"),
    Correction("the colon of a score is dropped", "3:2", "三二", "三比二"),
    Correction("dates with single digits are subtractions or fractions",
               "2024-1-2", "二零二四减一减二", "二零二四年一月二日"),
    Correction("a span of ten or more years is read like a calendar year", "工作12年", "工作一二年", "工作十二年"),
    Correction("version parts are read digit by digit", "10.15.7", "一零点一五点七", "十点十五点七"),
    Correction("second and February are 两", "第2名，2月2日", "第两名,两月两日", "第二名,二月二日"),
    Correction("common counts are not 两", "2次，2000米", "二次,二千米", "两次,两千米"),
    Correction("a hyphen between words is a minus", "北京-上海", "北京减上海", "北京,上海"),
    Correction("a slash between words is 每", "和/或", "和每或", "和,或"),
    Correction("a lone equals sign is 等", "甲=乙", "甲等乙", "甲等于乙"),
    Correction("an open number's plus is an addition", "100+", "幺零零加", "一百多"),
    Correction("words on two lines run together", "好\n的", "好的", "好,的"),
)  # fmt: skip
