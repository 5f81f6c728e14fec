"""Sentence times: exact sums, JSON, and subtitles that a player reads."""

import pytest

from sovits_runtime.errors import ShapeError
from sovits_server.words import Timeline


def spoken():
    line = Timeline(32000)
    line.add("Good\n  morning.", 48000, silence=9600)
    line.pause(16000)
    line.add("", 3200)
    line.add("a --> b", 32000 * 3600)
    return line


def test_times_follow_the_samples():
    first, _, last = spoken().sentences
    assert (first.start_s, first.end_s) == (0.0, 1.2)
    assert (last.start_s, last.end_s) == (2.1, 3602.1)


def test_json_has_milliseconds():
    assert spoken().to_json() == {
        "duration": 3602.1,
        "sentences": [
            {"index": 0, "text": "Good morning.", "start": 0.0, "end": 1.2},
            {"index": 1, "text": "", "start": 2.0, "end": 2.1},
            {"index": 2, "text": "a --> b", "start": 2.1, "end": 3602.1},
        ],
    }


def test_subtitles():
    assert spoken().to_srt() == (
        "1\n00:00:00,000 --> 00:00:01,200\nGood morning.\n\n2\n00:00:02,100 --> 01:00:02,100\na → b\n"
    )
    assert Timeline(24000).to_srt() == ""


def test_a_day_of_speech_does_not_drift():
    line = Timeline(24000)
    for _ in range(100_000):
        line.add("x", 20737)
    assert line.duration_s == 100_000 * 20737 / 24000


@pytest.mark.parametrize("wrong", [lambda: Timeline(0), lambda: Timeline(8000).pause(-1)])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ShapeError):
        wrong()
    with pytest.raises(ShapeError):
        Timeline(8000).add("x", 5, silence=6)
