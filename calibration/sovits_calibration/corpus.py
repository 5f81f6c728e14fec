"""What a voice says while its ranges are measured: a few sentences in five languages, phones precomputed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

from sovits_runtime.text.symbols import SymbolVersion, symbol_table


@dataclass(frozen=True)
class CorpusSentence:
    """One sentence.

    Attributes:
        language: zh, en, ja, yue or ko.
        text: As written.
        phones: Phone symbols.
        norm_text: Chinese only: what BERT reads.
        word2ph: Chinese only: phones of each character of `norm_text`.
    """

    language: str
    text: str
    phones: tuple[str, ...]
    norm_text: str = ""
    word2ph: tuple[int, ...] = ()


def corpus(symbols: SymbolVersion) -> list[CorpusSentence]:
    """The sentences that a symbol table can write."""
    rows = json.loads((files("sovits_calibration") / "corpus.json").read_text(encoding="utf-8"))
    sentences = [
        CorpusSentence(
            r["language"],
            r["text"],
            tuple(r["phones"].split()),
            r.get("norm_text", ""),
            tuple(r.get("word2ph", ())),
        )
        for r in rows
    ]
    known = set(symbol_table(symbols))
    return [s for s in sentences if known.issuperset(s.phones)]
