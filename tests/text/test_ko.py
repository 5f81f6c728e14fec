from __future__ import annotations

import json
import random
import subprocess
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("jamo")
pytest.importorskip("g2pk2")

from sovits_runtime.errors import TextError
from sovits_runtime.text import extras, ko, phonemize
from sovits_runtime.text.ko import rules, tagger
from sovits_runtime.text.ko.corrections import CORRECTIONS

if tagger.find_tagger() is None:
    pytest.skip('needs pip install "sovits-export[ko]"', allow_module_level=True)

SAMPLES = Path(__file__).parents[1] / "data" / "text" / "ko.jsonl"
ROWS = [json.loads(line) for line in SAMPLES.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["text"][:20])
def test_official_ids_and_normalised_text(row):
    phones = phonemize(row["text"], "ko", official=True)
    assert phones.norm_text == row["norm_text"]
    assert phones.ids.tolist() == row["ids"]


@pytest.mark.parametrize("row", CORRECTIONS, ids=lambda row: row.text)
def test_corrections_are_what_the_original_does_otherwise(row):
    assert " ".join(phonemize(row.text, "ko", official=True).symbols) == row.official != row.corrected


def test_dropped_characters_are_named():
    assert phonemize("안녕😊 漢", "ko").notes == ("Korean: dropped 😊 漢",)


@pytest.mark.parametrize("text", ["", "   ", "...", "😊"])
def test_nothing_to_say(text):
    with pytest.raises(TextError, match="nothing to say"):
        phonemize(text, "ko")


def test_v1_models_do_not_speak_korean():
    with pytest.raises(TextError, match="v1"):
        phonemize("안녕", "ko", symbols="v1")


def test_without_the_tagger_a_note_says_so(monkeypatch):
    monkeypatch.setattr(rules, "_tagger", lambda: None)
    phones = phonemize("국물", "ko")
    assert phones.notes == (ko.NO_TAGGER_NOTE,)
    assert "".join(phones.symbols) == "ㄱㅜㅇㅁㅜㄹ."


TAGGERS = {"mecab": tagger.python_mecab_ko, "mecab_ko": tagger.MecabKo}


@pytest.mark.parametrize("package", TAGGERS)
def test_either_package_tags_alike(package):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    tags = TAGGERS[package](tagger.find_dictionary()).pos
    assert tags("국물을 먹는다. 먹을 것이 3개") == [
        ("국물", "NNG"), ("을", "JKO"), ("먹", "VV"), ("는다", "EF"), (".", "SF"),
        ("먹", "VV"), ("을", "ETM"), ("것", "NNB"), ("이", "JKS"), ("3", "SN"), ("개", "NNBC"),
    ]  # fmt: skip
    assert tags("") == tags("  ") == []
    lines = [f"{row['text']} {tags(row['text'])}" for row in ROWS]
    assert sha256("\n".join(lines).encode()).hexdigest()[:16] == "70e6a5d75b302259"


def test_a_tagger_is_needed_and_its_dictionary(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert tagger.find_tagger() is None


def test_g2pk2_itself_and_nltk_are_never_imported():
    code = (
        "import sys; from sovits_runtime.text import phonemize; phonemize('국물', 'ko');"
        "assert not {'nltk', 'g2pk2'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("official", [True, False])
def test_random_text_raises_only_our_errors(official):
    rng = random.Random(4)
    ranges = [(0xAC00, 0xD7A3), (0x1100, 0x11FF), (0x3130, 0x318F), (0x20, 0x7E), (0, 0xFFFF), (0, 0x10FFFF)]
    for _ in range(300):
        text = "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.choice([1, 3, 10, 40])))
        try:
            phones = phonemize(text, "ko", official=official)
        except TextError:
            continue
        assert 0 <= phones.ids.min() <= phones.ids.max() < 732
