"""Readings of the user: words for words, and phones for words."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from sovits_runtime.errors import TextError
from sovits_runtime.text.pipeline import TextFrontend
from sovits_runtime.text.user_lexicon import Entry, Lexicon

FILE = """# names
en: Nguyen = win
en: gif = jiff
en: Siobhan = /SH IH0 V AO1 N/
*: GSV = G S V model

zh: 单田芳 = /sh an4 t ian2 f ang1/
"""


@pytest.fixture
def lexicon(tmp_path):
    (tmp_path / "words.txt").write_text(FILE, "utf-8")
    return Lexicon.load(tmp_path / "words.txt")


def test_a_file_is_read(lexicon):
    assert lexicon.entries[0] == Entry("en", "Nguyen", words="win")
    assert lexicon.entries[2] == Entry("en", "Siobhan", phones=("SH", "IH0", "V", "AO1", "N"))
    assert len(lexicon.entries) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mr Nguyen came.", "Mr win came."),
        ("A GIF, a gif, gifts.", "A jiff, a jiff, gifts."),
        ("nguyen stays", "nguyen stays"),
        ("GSV speaks", "G S V model speaks"),
    ],
)
def test_words_take_the_place_of_words(lexicon, text, words):
    assert lexicon.apply(text, "en").text == words


@pytest.mark.skipif(find_spec("pronouncing") is None, reason='needs pip install "sovits-export[en]"')
def test_phones_of_a_name_are_spoken_as_given(lexicon):
    (piece,) = TextFrontend(lexicon=lexicon).pieces("Please ask Siobhan, not Nguyen.", "en")
    plain = TextFrontend().read("Please ask Siobhan, not win.", "en").symbols
    phones = " ".join(piece.symbols)
    assert "SH IH0 V AO1 N , N AA1 T W IH1 N ." in phones
    assert phones != " ".join(plain)
    assert [change.kind for change in piece.changes] == ["lexicon", "lexicon"]
    (alone,) = TextFrontend(lexicon=lexicon).pieces("Siobhan!", "en")
    assert [symbol for symbol in alone.symbols if symbol.isalnum()] == ["SH", "IH0", "V", "AO1", "N"]


@pytest.mark.skipif(find_spec("pypinyin") is None, reason='needs pip install "sovits-export[zh]"')
def test_phones_inside_chinese_leave_the_rest_as_it_is(lexicon):
    (piece,) = TextFrontend(lexicon=lexicon).pieces("我爱听单田芳说书。", "zh")
    assert "sh an4 t ian2 f ang1 sh uo1 sh u1 ." in " ".join(piece.symbols)
    assert piece.bert_features(None, None).shape == (len(piece.ids), 1024)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Nguyen = win", "line 1: got 'Nguyen = win', expected 'en: word"),
        ("xx: a = b", "got 'xx: a = b'"),
        ("en: a =", "got 'en: a ='"),
    ],
)
def test_lines_that_are_no_entries_are_named(tmp_path, line, problem):
    (tmp_path / "words.txt").write_text(line, "utf-8")
    with pytest.raises(TextError, match=problem):
        Lexicon.load(tmp_path / "words.txt")


def test_phones_that_the_voice_lacks_are_named():
    lexicon = Lexicon((Entry("en", "a", phones=("QQ1",)),))
    with pytest.raises(TextError, match=r"'a' has the phone 'QQ1', which v2 voices do not have"):
        TextFrontend(lexicon=lexicon)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TextError, match="cannot be read as a lexicon"):
        Lexicon.load(tmp_path / "none.txt")
