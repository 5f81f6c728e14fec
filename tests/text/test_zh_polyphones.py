"""Characters with several readings, read by the words around them."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from sovits_runtime.text import phonemize

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("pypinyin", "jieba", "zh_normalization", "kokorog2p"))),
    reason='needs pip install "sovits-export[zh]"',
)

# A sentence, and the same with homophones that have one reading only.
HOMOPHONES = [
    ("这条路很长。", "这条路很常。"),
    ("这块布长三米。", "这块布常三米。"),
    ("他长得很高。", "他掌得很高。"),
    ("我去还书。", "我去环书。"),
    ("他还没来。", "他孩没来。"),
    ("先把钱还给他。", "先把钱环给他。"),
    ("他慢慢地走。", "他慢慢的走。"),
    ("那只狗在叫。", "那之狗在叫。"),
    ("我给你倒杯水。", "我给你到杯水。"),
    ("明天你有空吗？", "明天你有控吗？"),
    ("他教我游泳。", "他交我游泳。"),
    ("院子里种了树。", "院子里众了树。"),
    ("放三天假。", "放三天架。"),
    ("炸鸡很香。", "闸鸡很香。"),
    ("帮我盛碗汤。", "帮我成碗汤。"),
    ("他姓曾。", "他姓增。"),
    ("这次再重做一遍。", "这次再虫做一遍。"),
    ("写两行字。", "写两航字。"),
    ("第二行写错了。", "第二航写错了。"),
    ("我们站成两行。", "我们站成两航。"),
    ("他姓单。", "他姓善。"),
    ("我姓任，不姓查。", "我姓人，不姓扎。"),
    ("任老师来了。", "人老师来了。"),
    ("一幢大厦", "一撞大厦"),
    ("那幢楼很高。", "那撞楼很高。"),
    ("头发长长了一寸。", "头发掌常了一寸。"),
]
AS_BEFORE = [
    "今天假装没看见。",
    "他得到了奖励。",
    "觉得很好。",
    "这只是开始。",
    "那只能这样。",
    "有空间。",
    "重要的事。",
    "体重很重。",
    "还有人吗？",
    "计划破产。",
    "他们一行人走了。",
    "老百姓过年。",
    "老百姓乐开了花。",
    "主任老师来了。",
    "妈妈看看书。",
    "小宝宝等等我。",
    "高高兴兴的弟弟妹妹。",
    "我们研究研究。",
]


@pytest.mark.parametrize(("text", "like"), HOMOPHONES)
def test_a_reading_is_chosen_by_the_words_around(text: str, like: str) -> None:
    assert phonemize(text, "zh").symbols == phonemize(like, "zh").symbols


@pytest.mark.parametrize(
    ("text", "finals"),
    [
        ("上海海关", "ang4 ai3 ai3 uan1"),
        ("中国国家队", "ong1 uo2 uo2 ia1 ui4"),
        ("美国国会", "ei3 uo2 uo2 ui4"),
        ("北京京剧团", "ei3 ing1 ing1 v4 uan2"),
        ("银行行长", "in2 ang2 ang2 ang3"),
        ("研究院院士", "En2 iu1 van4 van4 ir4"),
        ("市长长得高", "ir4 ang3 ang3 e5 ao1"),
        ("妈妈看看", "a1 a5 an4 an5"),
        ("他姓那", "a1 ing4 a1"),
    ],
)
def test_a_character_loses_its_tone_by_doubling_inside_a_word_only(text: str, finals: str) -> None:
    assert " ".join(phonemize(text, "zh").symbols[1::2]) == finals


def test_the_original_lets_it_lose_its_tone_between_words_too() -> None:
    assert "ai5" in phonemize("上海海关", "zh", official=True).symbols


@pytest.mark.parametrize("text", AS_BEFORE)
def test_other_words_keep_their_reading(text: str) -> None:
    assert phonemize(text, "zh").symbols == phonemize(text, "zh", official=True).symbols


@pytest.mark.parametrize(
    ("text", "syllable"), [("他的目的很明确。", "i4"), ("土地很肥沃。", "i4"), ("他获得冠军。", "e2")]
)
def test_a_certain_tone_is_not_weakened(text: str, syllable: str) -> None:
    assert syllable in phonemize(text, "zh").symbols
    assert phonemize(text, "zh").symbols != phonemize(text, "zh", official=True).symbols
