"""What is written in Cantonese, and how it is said: one table of sentences a kind."""

from __future__ import annotations

import re
import time
from importlib.util import find_spec

import pytest

from sovits_runtime.text import phonemize
from sovits_runtime.text.spell_out import spell_out
from sovits_runtime.text.spelling import spell
from sovits_runtime.text.yue.spelling import KINDS

MINUTES = 60.0
"""Processor time that a rule which looks back from every character would take, in seconds."""

pytestmark = pytest.mark.skipif(
    find_spec("ToJyutping") is None or find_spec("zh_normalization") is None,
    reason='needs pip install "sovits-export[yue]"',
)

READINGS = {
    "floors": [
        ("3/F", "三樓"),
        ("G/F", "地下"),
        ("12/F", "十二樓"),
    ],
    "addresses": [
        ("@小明", "at 小明"),
    ],
    "roman-numerals": [
        ("第Ⅱ期。", "第二期。"),
    ],
    "dates": [
        ("2024年12月25日。", "二零二四年十二月二十五日。"),
        ("12/25係聖誕節。", "十二月二十五日係聖誕節。"),
        ("2003年出世。", "二零零三年出世。"),
        ("1997年7月1日。", "一九九七年七月一日。"),
        ("2023/24年度。", "二零二三到二四年度。"),
    ],
    "phone-numbers": [
        ("電話係2345-6789。", "電話係二三四五，六七八九。"),
        ("請打2888 1234。", "請打二八八八，一二三四。"),
        ("你打1823。", "你打一八二三。"),
        ("佢部電話係9123 4567。", "佢部電話係九一二三，四五六七。"),
        ("八達通號碼係12345678。", "八達通號碼係一二三四五六七八。"),
    ],
    "times-of-day": [
        ("我9:15返工。", "我九點十五分返工。"),
        ("下晝2:30開會。", "下晝兩點半開會。"),
        ("夜晚11:45收工。", "夜晚十一點四十五分收工。"),
        ("10:00-18:00營業。", "十點到十八點營業。"),
        ("我哋5:30放工。", "我哋五點半放工。"),
        ("凌晨1:00。", "凌晨一點。"),
    ],
    "scores": [
        ("比數係3:0。", "比數係三比零。"),
        ("港隊2-1贏咗。", "港隊二比一贏咗。"),
        ("佢贏咗3:1。", "佢贏咗三比一。"),
    ],
    "money": [
        ("我畀咗$50佢。", "我畀咗五十蚊佢。"),
        ("呢件衫賣$299.90。", "呢件衫賣二百九十九點九蚊。"),
        ("一共¥1,200。", "一共一千二百元。"),
        ("HK$500一晚。", "五百港元一晚。"),
        ("八達通增值$100。", "八達通增值一百蚊。"),
        ("$10/斤", "十蚊每斤"),
        ("張飛機票$3,480。", "張飛機票三千四百八十蚊。"),
        ("一共¥888。", "一共八百八十八元。"),
        ("£20同€30。", "二十英鎊同三十歐元。"),
        ("US$100等於HK$780。", "一百美元等於七百八十港元。"),
    ],
    "temperatures": [
        ("今日氣溫得12℃。", "今日氣溫得十二攝氏度。"),
        ("±5度", "正負五度"),
        ("今日係12月25號，氣溫10-15℃。", "今日係十二月二十五號，氣溫十到十五攝氏度。"),
        ("22°C", "二十二攝氏度"),
    ],
    "percent": [
        ("降價30%。", "降價百分之三十。"),
        ("跌咗-3.5%。", "跌咗負百分之三點五。"),
        ("5%-10%。", "百分之五到百分之十。"),
    ],
    "units": [
        ("身高175cm，體重60kg。", "身高一百七十五厘米，體重六十千克。"),
        ("血壓120/80。", "血壓一百二十，八十。"),
        ("車速80km/h。", "車速八十千米每小時。"),
        ("10kg米。", "十千克米。"),
        ("500ml水。", "五百毫升水。"),
        ("100m²", "一百平方米"),
        ("200㎡", "二百平方米"),
        ("佢跑10km。", "佢跑十千米。"),
        ("架車120km/h。", "架車一百二十千米每小時。"),
        ("一支2L嘅水。", "一支兩升嘅水。"),
    ],
    "identifiers": [
        ("搭101號巴士。", "搭一零一號巴士。"),
        ("搭N8X巴士。", "搭N八X巴士。"),
        ("Wi-Fi密碼係1234。", "Wi-Fi密碼係一二三四。"),
        ("去7-11買嘢。", "去seven eleven買嘢。"),
        ("A4紙。", "A四紙。"),
        ("B座3-1201室。", "B座三杠一二零一室。"),
    ],
    "arithmetic": [
        ("x²", "x的平方"),
        ("E=mc²", "E等於mc的平方"),
        ("2+3=5", "二加三等於五"),
        ("≥18歲", "大於等於十八歲"),
        ("<5歲", "小於五歲"),
    ],
    "ranges": [
        ("30-40人。", "三十到四十人。"),
        ("3-5日。", "三到五日。"),
        ("星期一-星期五。", "星期一到星期五。"),
    ],
    "minus-signs": [
        ("佢條數係-50蚊。", "佢條數係負五十蚊。"),
    ],
    "fractions": [
        ("凈返1/4。", "凈返四分之一。"),
        ("大約1/3。", "大約三分之一。"),
    ],
    "years": [
        ("90後。", "九零後。"),
        ("60年代。", "六十年代。"),
    ],
    "counters": [
        ("2個鐘頭。", "兩個鐘頭。"),
        ("2點鐘。", "兩點鐘。"),
        ("佢2歲。", "佢兩歲。"),
        ("85折。", "八五折。"),
        ("我有2隻貓同3隻狗。", "我有兩隻貓同三隻狗。"),
        ("2時30分。", "兩時三十分。"),
    ],
    "decimals": [
        ("1.5倍。", "一點五倍。"),
    ],
    "numbers": [
        ("佢等咗3個鐘。", "佢等咗三個鐘。"),
        ("3點半見。", "三點半見。"),
        ("佢住5樓A室。", "佢住五樓A室。"),
        ("我住12A。", "我住十二A。"),
        ("坐2號線。", "坐二號線。"),
        ("搭9M小巴。", "搭九M小巴。"),
        ("600呎單位。", "六百呎單位。"),
        ("1,000,000蚊。", "一百萬蚊。"),
        ("200萬。", "二百萬。"),
        ("第3次。", "第三次。"),
        ("第22屆。", "第二十二屆。"),
        ("22號。", "二十二號。"),
        ("4K電視。", "四K電視。"),
        ("8折。", "八折。"),
        ("3成。", "三成。"),
        ("50蚊3件。", "五十蚊三件。"),
        ("3成人。", "三成人。"),
        ("住喺3座12樓B室。", "住喺三座十二樓B室。"),
        ("廣東道100號。", "廣東道一百號。"),
        ("5折。", "五折。"),
        ("佢每日飲8杯水。", "佢每日飲八杯水。"),
        ("呢度有1,500個人。", "呢度有一千五百個人。"),
        ("下晝4點45分。", "下晝四點四十五分。"),
        ("排第2。", "排第二。"),
        ("2樓A舖。", "二樓A舖。"),
    ],
    "signs": [
        ("#話題#", "話題，"),
    ],
    "marks": [
        ("(註)", "註"),
        ("「你好」", "你好"),
        ("佢話：「唔好！」", "佢話：唔好！"),
        ("……", "…"),
    ],
}
# Written, and what sounds the same.
SOUNDS = [
    ("佢係香港人㗎。", "佢係香港人嫁。"),
    ("㩒呢個掣。", "撳呢個掣。"),
    ("我養咗一隻狗。", "我養咗一脊狗。"),
    ("我養咗一只狗。", "我養咗一脊狗。"),
    ("你嚇死我。", "你客死我。"),
    ("手錶唔見咗。", "手標唔見咗。"),
    ("手表唔見咗。", "手標唔見咗。"),
    ("我捨得送畀你。", "我寫得送畀你。"),
    ("放鬆啲。", "放嵩啲。"),
    ("放松啲。", "放嵩啲。"),
    ("𠮷野家", "吉野家"),
    ("佢瞓緊覺。", "佢瞓緊教。"),
    ("我瞓個覺先。", "我瞓個教先。"),
    ("佢瞓咗覺。", "佢瞓咗教。"),
    ("佢瞓咗一覺。", "佢瞓咗一教。"),
    ("我覺得瞓得好。", "我角得瞓得好。"),
    ("佢真係好叻㗎。", "佢真係好叻嫁。"),
    ("住6-2-803。", "住六杠二杠八零三。"),
]


@pytest.mark.parametrize("kind", READINGS)
def test_sentences_are_written_out_as_they_are_said(kind: str) -> None:
    wrong = []
    for text, expected in READINGS[kind]:
        # Latin words are the business of the English kinds.
        spelled = spell(text, KINDS) if re.search("[A-Za-z]", expected) else spell_out(text, "yue")
        if spelled.text.strip() != expected.strip():
            wrong.append((text, expected, spelled.text))
    assert wrong == []


@pytest.mark.parametrize(("text", "like"), SOUNDS)
def test_characters_are_read_as_they_were_written(text: str, like: str) -> None:
    assert phonemize(text, "yue").symbols == phonemize(like, "yue").symbols


def test_a_hundred_thousand_digits_are_written_out_at_once() -> None:
    start = time.process_time()
    assert set(spell("1" * 100_000, KINDS).text) == {"一"}
    assert time.process_time() - start < MINUTES


def test_nothing_is_said_in_words_of_mandarin() -> None:
    for rows in READINGS.values():
        for _, expected in rows:
            assert not set("两点万亿负号时钟幺") & set(expected), expected


def test_names_of_kinds_are_unique() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
