from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sovits_runtime.errors import TextError
from sovits_runtime.text import phonemize
from sovits_runtime.text.correction import Correction
from sovits_runtime.text.yue.corrections import CORRECTIONS

DATA = Path(__file__).parents[1] / "data" / "text"
pytestmark = pytest.mark.skipif(
    find_spec("ToJyutping") is None or find_spec("zh_normalization") is None,
    reason='needs pip install "sovits-export[yue]"',
)


def rows(name: str) -> list[Any]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("row", rows("yue.jsonl"), ids=lambda row: repr(row["text"][:8]))
def test_sentences_equal_the_official_front_end(row: dict[str, Any]) -> None:
    if not row["ids"]:
        with pytest.raises(TextError, match="nothing to say"):
            phonemize(row["text"], "yue", official=True)
        return
    phones = phonemize(row["text"], "yue", official=True)
    assert phones.norm_text == row["norm_text"]
    assert list(phones.symbols) == row["phones"]
    assert list(phones.word2ph or ()) == row["word2ph"]
    assert phones.ids.tolist() == row["ids"]


def test_signs_and_syllables_equal_the_official_front_end() -> None:
    recorded = rows("yue_probes.jsonl")
    assert len(recorded) > 1800
    differing = []
    for text, norm_text, symbols in recorded:
        if not norm_text:
            with pytest.raises(TextError, match="nothing to say"):
                phonemize(text, "yue", official=True)
            continue
        phones = phonemize(text, "yue", official=True)
        if (phones.norm_text, " ".join(phones.symbols)) != (norm_text, symbols):
            differing.append((text, norm_text, phones.norm_text, phones.symbols))
    assert differing == []


@pytest.mark.parametrize("row", CORRECTIONS, ids=lambda row: row.text)
def test_corrections_are_on_by_default_and_off_when_official(row: Correction) -> None:
    assert " ".join(phonemize(row.text, "yue", official=True).symbols) == row.official
    assert " ".join(phonemize(row.text, "yue").symbols) == row.corrected


def test_number_corrections_hold_in_cantonese_too() -> None:
    assert phonemize("我有100蚊", "yue").norm_text == "我有一百蚊"


def test_no_syllable_is_unknown_by_default() -> None:
    unknown = []
    for text, norm_text, _ in rows("yue_probes.jsonl"):
        if norm_text.isalpha() and "UNK" in phonemize(norm_text, "yue").symbols:
            unknown.append(text)
    assert unknown == []


def test_what_cannot_be_read_is_dropped_and_named() -> None:
    phones = phonemize("係𠀀ok。", "yue")
    assert phones.norm_text == "係."
    assert phones.notes == ("yue: dropped o k 𠀀",)


@pytest.mark.parametrize("text", ["", "😊", "abc", "𠀀"])
def test_nothing_to_say_is_an_error(text: str) -> None:
    with pytest.raises(TextError, match="nothing to say"):
        phonemize(text, "yue")
