from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sovits_runtime.errors import TextError
from sovits_runtime.text import Phones, extras, phonemize
from sovits_runtime.text.correction import Correction
from sovits_runtime.text.symbols import SymbolVersion
from sovits_runtime.text.zh import package_data
from sovits_runtime.text.zh.corrections import CORRECTIONS
from sovits_runtime.text.zh.numbers import dictate_endless, read_cardinal, read_number

DATA = Path(__file__).parents[1] / "data" / "text"
needs_extra = pytest.mark.skipif(
    not all(map(find_spec, ("pypinyin", "jieba", "zh_normalization", "kokorog2p"))),
    reason='needs pip install "sovits-export[zh]"',
)


def rows(name: str) -> list[Any]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def spoken(text: str, *, official: bool = False, symbols: SymbolVersion = "v2") -> Phones:
    return phonemize(text, "zh", symbols=symbols, official=official)


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "零"),
        ("000", "零"),
        ("10", "十"),
        ("110", "一百一十"),
        ("1001", "一千零一"),
        ("10010", "一万零一十"),
        ("100100", "十万零一百"),
        ("123456789012", "一千二百三十四亿五千六百七十八万九千零一十二"),
    ],
)
def test_cardinals(digits: str, words: str) -> None:
    assert read_cardinal(digits) == words


def test_decimals_keep_one_trailing_zero() -> None:
    assert read_number("1.500") == "一点五零"
    assert read_number(".5") == "零点五"


def test_an_endless_number_is_dictated() -> None:
    assert dictate_endless("第" + "71" * 501 + "个") == "第" + "七幺" * 501 + "个"
    assert dictate_endless("7" * 1000) == "7" * 1000


@needs_extra
@pytest.mark.parametrize("row", rows("zh.jsonl"), ids=lambda row: f"{row['version']}-{row['text'][:8]!r}")
def test_sentences_equal_the_official_front_end(row: dict[str, Any]) -> None:
    if not row["ids"]:
        with pytest.raises(TextError, match="nothing to say"):
            spoken(row["text"], official=True)
        return
    phones = spoken(row["text"], official=True, symbols=row["version"])
    assert phones.norm_text == row["norm_text"]
    assert list(phones.symbols) == row["phones"]
    assert list(phones.word2ph or ()) == row["word2ph"]
    assert phones.ids.tolist() == row["ids"]


@needs_extra
def test_numbers_signs_and_syllables_equal_the_official_front_end() -> None:
    recorded = rows("zh_probes.jsonl")
    assert len(recorded) > 1000
    differing = []
    for text, norm_text, symbols in recorded:
        if not norm_text:
            with pytest.raises(TextError, match="nothing to say"):
                spoken(text, official=True)
            continue
        phones = spoken(text, official=True)
        if (phones.norm_text, " ".join(phones.symbols)) != (norm_text, symbols):
            differing.append((text, norm_text, phones.norm_text))
    assert differing == []


@needs_extra
@pytest.mark.parametrize("row", CORRECTIONS, ids=lambda row: row.text)
def test_corrections_are_on_by_default_and_off_when_official(row: Correction) -> None:
    assert spoken(f"好，{row.text}", official=True).norm_text.removeprefix("好,") == row.official.lstrip(",.")
    assert spoken(f"好，{row.text}").norm_text.removeprefix("好,") == row.corrected


@needs_extra
def test_pause_signs_stand_only_where_they_were_written() -> None:
    phones = spoken("好，等^走￥吧，是")
    assert phones.norm_text == "好,等,走,吧,是"
    assert [symbol for symbol in phones.symbols if symbol in {",", "SP2", "SP3"}] == [",", "SP3", "SP2", ","]


@needs_extra
def test_official_pause_sign_changes_every_comma() -> None:
    assert spoken("好，等￥走", official=True).symbols.count("SP2") == 2
    assert spoken("好，等^走", official=True).symbols.count("SP3") == 2


@needs_extra
def test_what_cannot_be_read_is_dropped_and_named() -> None:
    phones = spoken("好㗎ab噷（是）\x07😊")
    assert phones.norm_text == "好是"
    assert phones.notes == ("zh: dropped 㗎 a b 噷 U+0007 😊",)


@needs_extra
@pytest.mark.parametrize(
    ("text", "norm_text"),
    [
        ("看著我", "看着我"),
        ("著名的著作", "著名的著作"),
        ("乾杯", "干杯"),
        ("甚麼時候", "什么时候"),
        ("瞭解", "了解"),
        ("關於這件事", "关于这件事"),
        ("2隻貓", "两只猫"),
        ("2樓", "二楼"),
        ("排行榜", "排行榜"),
    ],
)
def test_traditional_characters_are_read_by_the_words_around(text: str, norm_text: str) -> None:
    assert spoken(text).norm_text == norm_text


@needs_extra
def test_variants_are_read_as_the_character_that_they_stand_for() -> None:
    assert spoken("𠮷野家").norm_text == "吉野家"
    assert spoken("𠮷野家", official=True).notes == ("zh: dropped 𠮷",)


@needs_extra
@pytest.mark.parametrize("text", ["", "   ", "\n", "😊", "abc", "\ud800", "噷"])
def test_nothing_to_say_is_an_error(text: str) -> None:
    with pytest.raises(TextError, match="nothing to say"):
        spoken(text)


@needs_extra
def test_long_text_and_long_digits_do_not_break() -> None:
    phones = spoken("好" * 3000 + "1" * 20000 + "个", official=True)
    assert phones.word2ph is not None
    assert sum(phones.word2ph) == len(phones.ids)


def test_missing_package_is_named_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    package_data.neutral_words.cache_clear()
    with pytest.raises(TextError, match=r"'kokorog2p'.*pip install \"sovits-export\[zh\]\""):
        package_data.neutral_words()


@needs_extra
@pytest.mark.parametrize(
    ("read", "count", "digest"),
    [
        (package_data.neutral_words, 420, "59e014c48897dcd6"),
        (package_data.stressed_words, 40, "a62f1913c683ce80"),
        (package_data.erhua_words, 8, "dddda10e812da747"),
        (package_data.plain_er_words, 44, "e127c0cb41781781"),
        (lambda: package_data.measure_word_pattern().split("|"), 222, "88bcb5260caf0c6c"),
        (
            lambda: (f"{old} {new}" for old, new in package_data.simplified_characters().items()),
            10703,
            "2c6efc8fc79f4b15",
        ),
    ],
    ids=["neutral", "stressed", "erhua", "plain er", "measure words", "simplified characters"],
)
def test_lists_are_those_the_figures_were_made_with(read: Any, count: int, digest: str) -> None:
    words = sorted(read())
    assert len(words) == count
    assert sha256(" ".join(words).encode()).hexdigest()[:16] == digest


@needs_extra
def test_conformance_tool_counts_and_fails_below_the_minimum(tmp_path: Path) -> None:
    first = next(row for row in rows("zh.jsonl") if row["ids"])
    wrong = {**first, "ids": [*first["ids"], 0]}
    apart = {**wrong, "note": "plain; latin: upstream user dictionary (not obtainable) may differ"}
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in (first, wrong, apart)), encoding="utf-8")
    tool = [sys.executable, str(DATA.parents[1] / "text_conformance.py"), str(file), "--lang", "zh"]
    result = subprocess.run(
        [*tool, "--min", "51"], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert "1 of     2" in result.stdout, result.stderr
    assert "official part missing" in result.stdout
    assert result.returncode == 1
    assert subprocess.run([*tool, "--min", "50"], capture_output=True, check=False).returncode == 0
