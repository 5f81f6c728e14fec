from __future__ import annotations

import json
from pathlib import Path

import pytest

from sovits_runtime.errors import TextError
from sovits_runtime.text.split import (
    collapse_marks,
    cut,
    merge_short,
    official_pieces,
    split_at_marks,
    split_big_text,
    with_start_mark,
)
from sovits_runtime.text.stream import stream_pieces

SAMPLES = Path(__file__).parents[1] / "data" / "text" / "segments.jsonl"
ROWS = [json.loads(line) for line in SAMPLES.read_text("utf-8").splitlines()]
STORY = (
    "你好，我是小明。今天天气很好！我们去公园玩吧？好的，没问题。第一次见面请多多关照，以后我们常联系吧，"
    "这是我的电话号码，欢迎随时给我打电话，如果没有人接，就请留言，我听到以后马上回电。再见。"
)


def _rows(kind):
    rows = [row for row in ROWS if row["kind"] == kind]
    assert rows
    return [pytest.param(row, id=f"{row.get('method', kind)} {row['text'][:16]!r}") for row in rows]


@pytest.mark.parametrize("row", _rows("cut"))
def test_cut(row):
    assert cut(row["text"], row["method"]) == row["out"]


@pytest.mark.parametrize("row", _rows("split_punct"))
def test_split_at_marks(row):
    assert split_at_marks(row["text"]) == row["out"]


@pytest.mark.parametrize("row", _rows("preprocess_split"))
def test_official_pieces(row):
    text = collapse_marks(row["text"])
    if row["out"] is None:
        with pytest.raises(TextError, match="nothing to say"):
            official_pieces(text, row["lang"], row["method"])
    else:
        assert official_pieces(text, row["lang"], row["method"]) == row["out"]


def test_unknown_method():
    with pytest.raises(TextError, match="cut9"):
        cut("你好", "cut9")


def test_eight_clauses_are_one_group_nine_are_two():
    assert cut("一。" * 8, "cut1") == "一。" * 8
    assert cut("一。" * 9, "cut1") == "一。" * 4 + "\n" + "一。" * 5


def test_split_big_text_packs_clauses_and_keeps_long_ones():
    assert split_big_text("一二，三四，五六。", 6) == ["一二，三四，", "五六。"]
    assert split_big_text("一二三四五六七八", 6) == ["", "一二三四五六七八"]


def test_merge_short():
    assert merge_short(["一", "二三四五", "六七八九十", "末"]) == ["一二三四五", "六七八九十末"]
    assert merge_short(["一"]) == ["一"]


def test_start_mark():
    assert with_start_mark("好，走吧。", "zh") == "。好，走吧。"
    assert with_start_mark("Hi, you.", "en") == ".Hi, you."
    assert with_start_mark("今天天气", "zh") == "今天天气"
    assert with_start_mark("，好", "zh") == "，好"


def test_stream_starts_short_and_loses_nothing():
    pieces = list(stream_pieces(STORY, "zh"))
    assert "".join(pieces) == STORY
    assert len(pieces[0]) <= 10
    assert max(map(len, pieces)) <= 120
    assert len(pieces) < len(split_at_marks(STORY))


def test_stream_reads_its_input_lazily():
    taken = []

    def lines():
        for index in range(1000):
            taken.append(index)
            yield f"这是第{index}句话，它不长。"

    pieces = stream_pieces(lines(), "zh")
    first = next(pieces)
    assert first.startswith("这是第0句话")
    assert len(taken) < 5


def test_stream_joins_chunks_that_end_inside_a_sentence():
    assert list(stream_pieces(iter(["你好，我是", "小明。今", "天天气很好"]), "zh")) == [
        "你好，我是小明。",
        "今天天气很好。",
    ]


def test_stream_does_not_cut_numbers_or_after_quotes():
    pieces = list(stream_pieces("Pi is about 3.14, and 1,000 is more. He asked: “why?” Nobody knew.", "en"))
    assert "".join(pieces).replace(" ", "") == "Piisabout3.14,and1,000ismore.Heasked:“why?”Nobodyknew."
    assert all("3.14" in piece or "3." not in piece for piece in pieces)


@pytest.mark.parametrize("text", ["一二三四五六七八" * 500, "word " * 2000, "x" * 3000, "1." * 2000])
def test_stream_cuts_text_without_marks(text):
    pieces = list(stream_pieces(text, "en"))
    assert max(map(len, pieces)) < 400
    assert sum(map(len, pieces)) >= len(text.replace(" ", ""))


@pytest.mark.parametrize("text", ["", "\n\n", "……。。", "，" * 5000])
def test_stream_of_marks_is_empty(text):
    assert list(stream_pieces(text, "zh")) == []


def test_stream_says_which_signs_it_leaves_out(caplog):
    text = "The quick brown fox jumps over the lazy dog."
    assert list(stream_pieces(f"{text} 🎉", "en")) == [text]
    assert "🎉" in caplog.text
    caplog.clear()
    assert list(stream_pieces("Hello there... !", "en"))
    assert caplog.text == ""
