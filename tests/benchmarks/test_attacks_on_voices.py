"""The attacks on a voice and on its ears, in small; `benchmarks/attacks` has them in large."""

import os
import sys
from pathlib import Path

import pytest

ATTACKS = Path(__file__).parents[2] / "benchmarks" / "attacks"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(ATTACKS))


@pytest.fixture(scope="module")
def subject(tiny_bundle):
    sys.path.insert(0, str(ATTACKS))
    try:
        from hammer_requests import Subject

        from sovits_runtime.bundle import Bundle

        yield Subject.of(Bundle.open(tiny_bundle), 2)
    finally:
        sys.path.remove(str(ATTACKS))


def test_requests_at_once_sound_as_they_do_alone(subject):
    from hammer_requests import attack_requests

    result = attack_requests(subject, workers=6, requests=18)
    assert result["passed"], result
    assert len(result["requests"]) == 4, "not every kind of request was made"


def test_voices_that_are_closed_at_work_end_all_requests(subject):
    from hammer_requests import CLOSING_THREADS, attack_closes

    result = attack_closes(subject, closes=3)
    assert result["passed"], result
    assert result["ends"]["refused"] == 3 * CLOSING_THREADS
    assert result["longest_close_s"] < 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forks_amid_speech_speak_too(subject):
    from hammer_requests import attack_forks

    assert attack_forks(subject, forks=2) == {"forks": 2, "exit_codes": {0: 2}, "passed": True}


def test_hostile_audio_is_read_or_refused(capfd):
    from hostile_audio import MAKERS, attack

    result = attack(150, seed=2)
    assert result["passed"], result
    assert {end.partition(":")[0] for end in result["ends"]} >= set(MAKERS) - {"long"}
    assert "Traceback" not in capfd.readouterr().err
