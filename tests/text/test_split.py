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

SAMPLES = Path(__file__).parents[1] / "data" / "text" / "segments.jsonl"
ROWS = [json.loads(line) for line in SAMPLES.read_text("utf-8").splitlines()]


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
