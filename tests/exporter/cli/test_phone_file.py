"""Phones from the command line and from JSON files."""

import json

import pytest

from sovits_exporter.cli.phone_file import one_phone_sentence, phone_sentences
from sovits_runtime.errors import TextError


def test_symbols_are_separated_by_spaces():
    assert phone_sentences("HH  AY1 .") == [["HH", "AY1", "."]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"phones": ["HH", "AY1"]}, [["HH", "AY1"]]),
        ({"sentences": [["HH"], ["AY1"]]}, [["HH"], ["AY1"]]),
        (["HH", "AY1"], [["HH", "AY1"]]),
    ],
)
def test_a_file_holds_one_sentence_or_several(tmp_path, content, expected):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert phone_sentences(str(path)) == expected


@pytest.mark.parametrize(
    "content",
    [
        '{"phones": []}',
        '{"sentences": []}',
        '{"sentences": 3}',
        '{"sentences": null}',
        '{"phones": [1]}',
        "{}",
        "3",
        "{",
        '[["HH"], ["AY1"]]',
        "[" * 100_000,
        "9" * 5000,
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TextError, match=r"a\.json: (expected|not JSON)"):
        phone_sentences(str(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TextError, match=r"no\.json: not JSON of phones \(No such file"):
        phone_sentences(str(tmp_path / "no.json"))


def test_several_sentences_are_refused_where_one_makes_sense(two_sentences):
    assert one_phone_sentence("HH AY1", "a transcript") == ["HH", "AY1"]
    with pytest.raises(TextError, match=r"two\.json: got 2 phone sentences, expected one for a transcript"):
        one_phone_sentence(str(two_sentences), "a transcript")


def test_two_answers_in_one_file_are_refused_rather_than_one_dropped(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"phones": ["HH"], "sentences": [["AY1"]]}', encoding="utf-8")
    with pytest.raises(TextError, match='got both "phones" and "sentences"'):
        phone_sentences(str(path))
