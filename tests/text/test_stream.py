"""Pieces that grow, and text that comes in parts."""

from __future__ import annotations

import threading
import time

import pytest

from sovits_runtime.errors import TextError
from sovits_runtime.text.parts import checked_text, parts_of
from sovits_runtime.text.stream import Part, grown_pieces, joined

STORY = (
    "你好，我是小明。今天天气很好！我们去公园玩吧？好的，没问题。第一次见面请多多关照，以后我们常联系吧，"
    "这是我的电话号码，欢迎随时给我打电话，如果没有人接，就请留言，我听到以后马上回电。再见。"
)
LONG_AGO = 60.0
"""Far longer than a test may take, in seconds."""


def pieces(text, language="zh", idle_s=0.05):
    def spelled(sentence):
        return Part(sentence.text.replace("Dr.", "Doctor"), language)

    for parts in grown_pieces(text, spelled, language, idle_s=idle_s):
        yield joined(parts)


def test_pieces_start_short_and_lose_nothing():
    made = list(pieces(STORY))
    assert "".join(made) == "。" + STORY  # a first clause that is too short gets a mark before it
    assert len(made[0]) <= 10
    assert max(map(len, made)) <= 120
    assert len(made) < 10


def test_text_is_read_lazily():
    taken = []

    def lines():
        for index in range(1000):
            taken.append(index)
            yield f"这是第{index}句话，它不长。"

    made = pieces(lines())
    assert next(made).startswith("这是第0句话")
    assert len(taken) < 5
    made.close()


def test_parts_that_end_inside_a_sentence_are_joined():
    parts = ["你好，我是", "小明。今", "天天气很好"]
    assert list(pieces(parts)) == list(pieces(iter(parts))) == ["。你好，我是小明。", "今天天气很好。"]


@pytest.mark.parametrize("text", ["", "\n\n", "……。。", "，" * 5000])
def test_marks_alone_are_nothing(text):
    assert list(pieces(text)) == []


def test_signs_that_are_left_out_are_named(caplog):
    text = "The quick brown fox jumps over the lazy dog."
    assert list(pieces(f"{text} 🎉", "en")) == [text]
    assert "🎉" in caplog.text
    caplog.clear()
    assert list(pieces("Hello there... !", "en"))
    assert caplog.text == ""


@pytest.mark.parametrize(
    "first",
    ["This is the first sentence. ", "This is the first sentence\n", "这是第一句话。\n", "This is it."],
)
def test_a_finished_sentence_does_not_wait_for_the_next_part(first):
    heard = threading.Event()

    def parts():
        yield first
        assert heard.wait(LONG_AGO)
        yield "And this is the second one."

    made = pieces(parts(), "en")
    assert next(made).startswith(first.strip()[:10])
    heard.set()
    assert next(made) == "And this is the second one."
    assert list(made) == []


def test_an_unfinished_sentence_waits():
    def parts():
        yield "She went to see Dr."
        time.sleep(0.3)
        yield " Smith in"
        time.sleep(0.3)
        yield " London. "

    assert list(pieces(parts(), "en")) == ["She went to see Doctor Smith in London."]


def test_a_very_short_sentence_joins_the_next_one_if_that_comes_at_once():
    assert next(pieces(iter(["Yes. ", "I am coming to the party tonight. "]), "en", LONG_AGO)).startswith(
        ".Yes. I am"
    )


def test_what_goes_wrong_in_the_source_is_raised():
    def parts():
        yield "This is the first sentence. "
        raise ValueError("broken source")

    made = pieces(parts(), "en")
    assert next(made)
    with pytest.raises(ValueError, match="broken source"):
        next(made)


def test_the_thread_that_reads_ends_with_its_source():
    before = threading.active_count()
    goes_on = threading.Event()

    def parts():
        yield "This is the first sentence. "
        goes_on.wait(LONG_AGO)
        yield "more"

    made = pieces(parts(), "en")
    next(made)
    made.close()
    goes_on.set()
    for _ in range(500):
        if threading.active_count() == before:
            break
        time.sleep(0.01)
    assert threading.active_count() == before


def test_a_text_that_is_there_needs_no_thread():
    before = threading.active_count()
    made = parts_of(["one", "two"])
    assert next(made) == "one"
    assert threading.active_count() == before
    assert list(made) == ["two"]


@pytest.mark.parametrize("text", [None, 5, 2.5, b"bytes", ["a", 1], {"a": 1}, True])
def test_what_is_no_text_is_refused_in_one_line(text):
    with pytest.raises(TextError, match=r"text: got \w+ .*, expected") as refused:
        list(checked_text(text))
    assert "\n" not in str(refused.value)
