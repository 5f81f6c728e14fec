"""What the doctor says about data that text front ends use."""

import pytest

from sovits_runtime.doctor import text as doctor_text
from sovits_runtime.errors import TextError


@pytest.fixture
def findings(monkeypatch):
    monkeypatch.setattr(doctor_text, "find_spec", lambda name: object())

    def look(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return {finding.topic: finding for finding in doctor_text.text_data_findings()}

    return look


def test_a_variable_that_names_nothing_is_a_warning(findings, tmp_path):
    nowhere = str(tmp_path / "nowhere")
    found = findings(OPEN_JTALK_DICT_DIR=nowhere, SOVITS_G2PW_DIR=nowhere, SOVITS_LANGID_MODEL=nowhere)
    for topic in ("Japanese data", "Chinese data", "language detector"):
        assert found[topic].level == "warning"
        assert nowhere in found[topic].text


def test_what_is_missing_comes_with_the_place_to_put_it(findings, monkeypatch):
    from sovits_runtime.text.en import tagger
    from sovits_runtime.text.ja import openjtalk

    monkeypatch.delenv("SOVITS_G2PW_DIR", raising=False)
    monkeypatch.setattr(openjtalk, "find_dictionary", lambda: None)
    monkeypatch.setattr(tagger, "find_tagger_data", lambda: None)
    found = findings()
    assert {found[t].level for t in ("Japanese data", "English data", "Chinese data")} == {"info"}
    assert "OPEN_JTALK_DICT_DIR" in found["Japanese data"].remedy
    assert "nltk_data" in found["English data"].remedy
    assert "SOVITS_G2PW_DIR" in found["Chinese data"].remedy


def test_a_dictionary_that_is_there_is_named(findings, tmp_path):
    (tmp_path / "sys.dic").touch()
    found = findings(OPEN_JTALK_DICT_DIR=str(tmp_path))
    assert str(tmp_path) in found["Japanese data"].text


def test_languages_that_are_not_installed_are_left_out(monkeypatch):
    monkeypatch.setattr(doctor_text, "find_spec", lambda name: None)
    assert doctor_text.text_data_findings() == ()


def test_an_error_of_ours_becomes_a_finding():
    def look():
        raise TextError("no such folder")

    assert doctor_text._guarded("x", look).text == "no such folder"
