"""`sovits-export phones`."""

import json
from importlib.util import find_spec

import pytest


def test_text_needs_its_language(run):
    result = run("phones", "a")
    assert result.exit_code == 2, result.output
    assert "--lang" in result.output


@pytest.mark.skipif(
    not all(map(find_spec, ("pronouncing", "g2p_en", "wordsegment"))), reason="the extra en is not installed"
)
def test_it_shows_what_is_read(run):
    shown = run("phones", "--lang", "en", "It isn’t 15 😊.")
    assert shown.exit_code == 0, shown.output
    assert "isn't fifteen" in shown.output
    assert "note: English: dropped 😊" in shown.output
    assert "IH1 Z AH0 N T" in shown.output
    (piece,) = json.loads(run("phones", "--lang", "en", "It isn’t 15.", "--json", "--official").stdout)
    assert "isnt" in piece["stretches"][0]["norm_text"]
    assert len(piece["stretches"][0]["ids"]) == len(piece["phones"])
