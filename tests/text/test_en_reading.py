"""What English text becomes before it is cut: words and pause marks only, whatever was written."""

from __future__ import annotations

import json
import random
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

if not all(map(find_spec, ("pronouncing", "g2p_en", "wordsegment"))):
    pytest.skip('needs pip install "sovits-export[en]"', allow_module_level=True)

from sovits_runtime.text import phonemize
from sovits_runtime.text.en import KINDS
from sovits_runtime.text.en.modern import MODERN_WORDS
from sovits_runtime.text.en.oov import PHONES
from sovits_runtime.text.pipeline import TextFrontend
from sovits_runtime.text.spell_out import spell_out
from sovits_runtime.text.spelling import spell

MINUTES = 60.0
"""Processor time that a rule which looks back from every character would take, in seconds."""

TABLE = Path(__file__).parents[1] / "data" / "text" / "en_reading.jsonl"
ROWS = [json.loads(line) for line in TABLE.read_text("utf-8").splitlines()]
WORDS_AND_MARKS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ '.,!?-")
REPEATED = [
    "7", "1,", "1.", "$1", "a-", "1/", " ", "\n", "'", '"', "A", "aB", "A.", "(", "1:", "Mr. ", "a@", "a.", "/a", "#a",
    "V", "I ", "1 ", "5'", "%", "- ", ".", "!?", "<", "A&", "1h ", "p.", "=", "-", "+1 ", "1/2 ", "5 kg ", "www.", "é",
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['kind']} {row['text']}")
def test_written_text_becomes_words(row):
    assert spell_out(row["text"], "en").text == row["spelled"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['kind']} {row['text']}")
def test_words_stay_as_they_are(row):
    spelled = spell_out(row["text"], "en").text
    assert set(spelled) <= WORDS_AND_MARKS
    assert phonemize(spelled, "en").symbols == phonemize(row["text"], "en").symbols


@pytest.mark.parametrize(
    ("text", "language", "spelled"),
    [
        ("接口有USB、HDMI、DP。", "zh", "接口有U S B、H D M I、D P。"),
        ("打开Wi-Fi再试。", "zh", "打开wifi再试。"),
        ("他说NO。", "zh", "他说no。"),
        ("USB、HDMIに対応。", "ja", "U S B、H D M Iに対応。"),
        ("USB와 AI를 쓴다.", "ko", "U S B와 A I를 쓴다."),
        ("間公司嘅CFO唔喺度。", "yue", "間公司嘅C F O唔喺度。"),
    ],
)
def test_latin_words_in_other_languages(text, language, spelled):
    assert spell_out(text, language).text == spelled


@pytest.mark.parametrize(
    "text",
    [
        "Meet me at 10:30 a.m. in the lobby.",
        "The book by J. R. R. Hartley is long.",
        "Prices rose in the U.K. and the U.S. last year.",
        "Pack item no. 5 for the trip.",
        "Write to lena.hart@mailbox.org for now.",
    ],
)
def test_dotted_words_are_one_piece(text):
    assert len(list(TextFrontend().pieces(text, "en"))) == 1


def test_what_cannot_be_read_is_named():
    assert phonemize("I love pizza 🍕!", "en").notes == ("English: dropped 🍕",)
    assert phonemize("one 日 two", "en", symbols="v2").notes == ("English: dropped 日",)


def test_a_kind_can_be_left_out():
    assert spell("the U.S. is NOT it", KINDS, frozenset({"capitals"})).text == "the U S is N O T it"


def test_kinds_have_names_of_their_own():
    names = [kind.name for kind in KINDS]
    assert len(names) == len(set(names))


def test_modern_words_have_phones_that_exist():
    assert {phone for entry in MODERN_WORDS.values() for phone in entry.split()} <= set(PHONES)
    assert phonemize("gigahertz", "en").symbols[:2] == ("G", "IH1")
    assert phonemize("covid", "en", official=True).symbols != phonemize("covid", "en").symbols


@pytest.mark.parametrize("unit", REPEATED)
def test_time_grows_with_the_length(unit):
    """A rule that looks back from every character would take minutes here."""
    text = (unit * 10000)[:10000]
    start = time.process_time()
    spelled = spell(text, KINDS).text
    assert time.process_time() - start < MINUTES
    assert not any(char.isdigit() for char in spelled)


def test_random_signs_leave_no_digit():
    rng = random.Random(5)
    parts = [
        *"0123456789.,:;/-+$%'\"()&@#=<>° ABIVXabmkps",
        "a.m.",
        "St.",
        "km",
        "May ",
        "$5",
        "1st",
        "10:30",
        "½",
        "²",
        "٣",
    ]
    for _ in range(600):
        text = "".join(rng.choice(parts) for _ in range(rng.randrange(1, 30)))
        assert not any(char.isdigit() for char in spell(text, KINDS).text), text
