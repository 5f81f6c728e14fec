from __future__ import annotations

import hashlib

import numpy as np
import pytest

from sovits_runtime.errors import TextError
from sovits_runtime.text import phonemize
from sovits_runtime.text.phones import phones_from_symbols
from sovits_runtime.text.symbols import SymbolVersion, symbol_ids, symbol_table


def _digest(version: SymbolVersion) -> str:
    return hashlib.sha256("\n".join(symbol_table(version)).encode()).hexdigest()


def test_tables_equal_the_official_ones() -> None:
    assert len(symbol_table("v1")) == 322
    assert len(symbol_table("v2")) == 732
    assert _digest("v1") == "f7c3b280b9cc519b0829a6f182fcdd208643a07f1e20c1ab2bf4fc9e8e9a7ca6"
    assert _digest("v2") == "0771f6cd6f6201e8c2b0de921dc69cc04caf3f346c599d4a41413967d5674da7"


def test_v2_keeps_the_ids_of_v1() -> None:
    assert symbol_table("v2")[:322] == symbol_table("v1")


def test_unknown_symbols_become_unk() -> None:
    assert symbol_ids(["!", "#", "_", "…", "Yyut6"], "v2").tolist() == [0, 86, 95, 321, 730]
    assert symbol_ids(["[", "空", "Yaa1"], "v1").tolist() == [86, 86, 86]
    assert symbol_ids([], "v2").dtype == np.int64


def test_unknown_table_is_refused() -> None:
    with pytest.raises(TextError, match="v9"):
        symbol_table("v9")  # type: ignore[arg-type]


def test_phones_hold_unk_for_what_the_table_lacks() -> None:
    phones = phones_from_symbols(["k", "#", "a"], "か", language="ja", table="v2")
    assert phones.symbols == ("k", "UNK", "a")
    assert phones.ids.tolist() == symbol_ids(["k", "UNK", "a"], "v2").tolist()


def test_no_phones_is_an_error() -> None:
    with pytest.raises(TextError, match="nothing to say"):
        phones_from_symbols([], "", language="ja", table="v2")


def test_alignment_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(TextError, match="word2ph"):
        phones_from_symbols(["n", "i3"], "你", language="zh", table="v2", word2ph=[1])


@pytest.mark.parametrize(("language", "symbols"), [("fr", "v2"), ("yue", "v1"), ("ko", "v1")])
def test_language_the_model_lacks_is_refused(language: str, symbols: SymbolVersion) -> None:
    with pytest.raises(TextError, match=language):
        phonemize("text", language, symbols=symbols)
