from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

pytest.importorskip("pyopenjtalk")

from sovits_runtime.errors import TextError
from sovits_runtime.text import phonemize
from sovits_runtime.text.ja import openjtalk
from sovits_runtime.text.ja.corrections import CORRECTIONS

SAMPLES = Path(__file__).parents[1] / "data" / "text" / "ja.jsonl"
ROWS = [json.loads(line) for line in SAMPLES.read_text("utf-8").splitlines()]
needs_dictionary = pytest.mark.skipif(
    openjtalk.find_dictionary() is None, reason=f"the dictionary {openjtalk.DICTIONARY_NAME} is not installed"
)


@needs_dictionary
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['version']} {row['text'][:20]}")
def test_official_ids_and_normalised_text(row):
    phones = phonemize(row["text"], "ja", symbols=row["version"], official=True)
    assert phones.norm_text == row["norm_text"]
    assert phones.ids.tolist() == row["ids"]


@needs_dictionary
@pytest.mark.parametrize("row", CORRECTIONS, ids=lambda row: row.text)
def test_corrections_are_what_the_original_does_otherwise(row):
    phones = phonemize(row.text, "ja", official=True)
    assert (
        " ".join(symbol for symbol in phones.symbols if symbol not in "[]") == row.official != row.corrected
    )


@needs_dictionary
def test_dropped_characters_are_named():
    assert phonemize("楽しい😊한ね", "ja").notes == ("Japanese: dropped 😊 한",)


@needs_dictionary
@pytest.mark.parametrize("text", ["", "  ", "。。。", "😊"])
def test_nothing_to_say(text):
    with pytest.raises(TextError, match="nothing to say"):
        phonemize(text, "ja")


@needs_dictionary
def test_a_very_long_stretch_without_marks_does_not_overrun_open_jtalk():
    once = phonemize("東京特許許可局", "ja", official=True)
    many = phonemize("東京特許許可局" * 2000, "ja", official=True)
    assert len(many) > 1500 * len(once)


@needs_dictionary
def test_random_text_raises_only_our_errors():
    rng = random.Random(4)
    ranges = [(0x3040, 0x30FF), (0x4E00, 0x9FFF), (0x20, 0x7E), (0xFF00, 0xFFEF), (0, 0x10FFFF)]
    for index in range(500):
        text = "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.choice([1, 3, 10, 40])))
        try:
            phones = phonemize(text, "ja", official=index % 2 == 0)
        except TextError:
            continue
        assert 0 <= phones.ids.min() <= phones.ids.max() < 732


@pytest.fixture
def fresh_engine():
    openjtalk._engine.cache_clear()
    yield
    openjtalk._engine.cache_clear()


def test_a_missing_dictionary_is_named(monkeypatch, fresh_engine):
    monkeypatch.setattr(openjtalk, "find_dictionary", lambda: None)
    with pytest.raises(TextError, match="open-jtalk-mecab-naist-jdic"):
        phonemize("はい", "ja")


def test_the_variable_must_name_a_dictionary(monkeypatch, tmp_path):
    monkeypatch.setenv(openjtalk.DICTIONARY_VARIABLE, str(tmp_path))
    with pytest.raises(TextError, match=r"no sys\.dic"):
        openjtalk.find_dictionary()
    (tmp_path / "sys.dic").touch()
    assert openjtalk.find_dictionary() == tmp_path
