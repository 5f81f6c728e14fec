from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from recorded_detector import RecordedDetector

from sovits_runtime.errors import BundleError, NothingToSay, TextError
from sovits_runtime.text import pipeline
from sovits_runtime.text.bert_tokens import BERT_WIDTH, BertTokenizer, char_features, phone_features
from sovits_runtime.text.phones import phones_from_symbols
from sovits_runtime.text.pipeline import TextFrontend
from sovits_runtime.text.segment import Segment

DATA = Path(__file__).parents[1] / "data" / "text"
ROWS = [
    row
    for row in map(json.loads, (DATA / "segments.jsonl").read_text("utf-8").splitlines())
    if row["kind"] == "phones"
]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"今天好,.!?…-0"]


def _read(row):
    detector = RecordedDetector(dict(row.get("detector_answers") or []))
    try:
        return TextFrontend(official=True, method="cut0", detector=detector).read(row["text"], row["mode"])
    except TextError as error:
        if "not installed" in str(error) or "was not found" in str(error):
            pytest.skip(str(error))
        raise


def _positions(tokens):
    """Stands in for BERT: every feature of a character is its place, from 1."""
    count = tokens.shape[1] - 2
    return np.repeat(np.arange(1, count + 1, dtype=np.float32)[:, None], BERT_WIDTH, axis=1)


@pytest.fixture
def tokenizer(tmp_path):
    pytest.importorskip("tokenizers")
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY), "utf-8")
    return BertTokenizer(tmp_path)


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row['mode']} {row['text'][:16]!r}") for row in ROWS])
def test_recorded_pieces(row, tokenizer):
    if row["ids"] is None:
        with pytest.raises(TextError, match=r"nothing to say|not installed"):
            _read(row)
        return
    piece = _read(row)
    assert [[segment.language, segment.text] for segment in piece.segments] == row["segments"]
    assert piece.norm_text == row["norm_text"]
    assert piece.ids.tolist() == row["ids"]
    features = piece.bert_features(tokenizer, _positions)
    assert features.dtype == np.float32
    assert features[:, 0].tolist() == row["bert_char"]
    assert np.array_equal(features[:, 0], features[:, -1])


@pytest.fixture
def fake_languages(monkeypatch):
    """A front end that reads every ideograph as two phones and every letter as one, and needs no package."""

    def read(text, language, *, symbols="v2", official=False, spelled=False):
        kept = [char for char in text if char.isalnum() or char == "."]
        if not kept:
            raise NothingToSay("nothing to say: test")
        if language == "zh":
            names = [name for char in kept for name in (("b", "a1") if char.isalnum() else (".",))]
            return phones_from_symbols(
                names,
                "".join(kept),
                language="zh",
                table=symbols,
                word2ph=[2 if c.isalnum() else 1 for c in kept],
            )
        return phones_from_symbols(["AA1"] * len(kept), "".join(kept), language=language, table=symbols)

    monkeypatch.setattr(pipeline, "phonemize", read)


def test_pieces_are_made_when_asked_for(fake_languages):
    taken = []

    def lines():
        for index in range(100):
            taken.append(index)
            yield "一二三四五六七八九十，一二三四五。"

    pieces = TextFrontend().pieces(lines(), "all_zh")
    assert next(pieces).norm_text == "一二三四五六七八九十"
    assert len(taken) < 4
    assert sum(1 for _ in pieces) > 10


def test_short_pieces_get_a_full_stop_once(fake_languages):
    piece = TextFrontend().read("一", "all_zh")
    assert piece.text == "一"
    assert piece.segments == (Segment("zh", ".一"),)
    assert piece.norm_text == ".一"
    assert TextFrontend().read("一二三", "all_zh").norm_text == "一二三"


def test_silent_stretches_are_left_out_and_silent_text_is_an_error(fake_languages):
    assert TextFrontend().read("一二三😊", "all_zh").norm_text == "一二三"
    with pytest.raises(TextError, match="nothing to say"):
        list(TextFrontend().pieces("😊。！", "all_zh"))
    with pytest.raises(TextError, match="nothing to say"):
        list(TextFrontend().pieces("", "all_zh"))


def test_transcript_gets_an_end_mark_and_is_not_cut(fake_languages):
    text = "一二三四五六七八九十，" * 20
    assert TextFrontend().transcript(text + "好", "all_zh").text == text + "好。"
    assert TextFrontend().transcript("hello", "en").text == "hello."
    with pytest.raises(TextError, match="transcript is empty"):
        TextFrontend().transcript(" \n", "zh")


def test_unknown_method():
    with pytest.raises(TextError, match="cut7"):
        TextFrontend(method="cut7")


def test_features_without_bert_are_zeros(fake_languages):
    piece = TextFrontend().read("一二三", "all_zh")
    assert piece.bert_features(None, None).shape == (6, BERT_WIDTH)
    assert not piece.bert_features(None, None).any()


def test_tokens_are_one_a_character(tokenizer):
    assert tokenizer.encode("今天好.").tolist() == [[2, 4, 5, 6, 8, 3]]
    assert tokenizer.encode("今罕00").tolist() == [[2, 4, 1, 13, 13, 3]]


def test_long_text_is_encoded_in_stretches(tokenizer):
    lengths = []

    def encode(tokens):
        lengths.append(tokens.shape[1])
        return _positions(tokens)

    features = char_features("今" * 1100, tokenizer, encode=encode)
    assert lengths == [512, 512, 82]
    assert features[:, 0].tolist() == [*range(1, 511), *range(1, 511), *range(1, 81)]


def test_a_graph_that_gives_the_wrong_number_of_rows_is_named(tokenizer):
    phones = phones_from_symbols(["b", "a1"], "今", language="zh", table="v2", word2ph=[2])
    with pytest.raises(TextError, match="3 rows for 1 characters"):
        phone_features(phones, tokenizer, encode=lambda tokens: np.zeros((3, BERT_WIDTH), np.float32))


def test_missing_and_foreign_vocabularies_are_named(tmp_path):
    with pytest.raises(BundleError, match="no BERT tokenizer"):
        BertTokenizer(tmp_path)
    pytest.importorskip("tokenizers")
    (tmp_path / "vocab.txt").write_text("a\nb\n", "utf-8")
    with pytest.raises(BundleError, match=r"\[UNK\]|cannot be read"):
        BertTokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{", "utf-8")
    with pytest.raises(BundleError, match="cannot be read"):
        BertTokenizer(tmp_path)
