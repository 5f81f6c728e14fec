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
]


@pytest.mark.parametrize(("text", "like"), HOMOPHONES)
def test_a_reading_is_chosen_by_the_words_around(text: str, like: str) -> None:
    assert phonemize(text, "zh").symbols == phonemize(like, "zh").symbols


@pytest.mark.parametrize("text", AS_BEFORE)
def test_other_words_keep_their_reading(text: str) -> None:
    assert phonemize(text, "zh").symbols == phonemize(text, "zh", official=True).symbols


@pytest.mark.parametrize(
    ("text", "syllable"), [("他的目的很明确。", "i4"), ("土地很肥沃。", "i4"), ("他获得冠军。", "e2")]
)
def test_a_certain_tone_is_not_weakened(text: str, syllable: str) -> None:
    assert syllable in phonemize(text, "zh").symbols
    assert phonemize(text, "zh").symbols != phonemize(text, "zh", official=True).symbols
