"""The result of a text front end: phones, their ids, and how they line up with the characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import NothingToSay, TextError
from sovits_runtime.text.symbols import UNKNOWN, SymbolVersion, symbol_ids, symbol_index


@dataclass(frozen=True)
class Phones:
    """Phones of one text in one language.

    Attributes:
        symbols: Phone symbols; one the model's table lacks stands as `UNK`.
        ids: Shape `(len(symbols),)`, int64: row numbers of the model's embedding.
        word2ph: Phones per character of `norm_text` (Chinese and Cantonese), else None. Its sum is
            `len(symbols)`.
        norm_text: The text that was pronounced, numbers and signs written out.
        language: `"zh"`, `"en"`, `"ja"`, `"ko"` or `"yue"`.
        notes: What was dropped or done differently, for the user to read.
    """

    symbols: tuple[str, ...]
    ids: NDArray[np.int64]
    word2ph: tuple[int, ...] | None
    norm_text: str
    language: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.symbols)


def phones_from_symbols(
    symbols: Sequence[str],
    norm_text: str,
    *,
    language: str,
    table: SymbolVersion,
    word2ph: Sequence[int] | None = None,
    notes: Sequence[str] = (),
) -> Phones:
    """Look up ids, put `UNK` where the table lacks a symbol, and check the alignment.

    Args:
        symbols: Phones as the language's rules give them.
        norm_text: The text they stand for.
        language: Language code.
        table: Symbol table of the model.
        word2ph: Phones per character of `norm_text`, when the language has them.
        notes: Remarks for the user.

    Raises:
        TextError: No phones at all, or `word2ph` does not fit the phones and the text.
    """
    if not symbols:
        raise NothingToSay(
            f"nothing to say: the {language} text holds no character that can be read aloud; give words"
        )
    if word2ph is not None and (sum(word2ph) != len(symbols) or len(word2ph) != len(norm_text)):
        raise TextError(
            f"word2ph covers {len(word2ph)} characters and {sum(word2ph)} phones, expected {len(norm_text)} "
            f"characters and {len(symbols)} phones: please report this {language} text: {norm_text!r}"
        )
    index = symbol_index(table)
    known = tuple(symbol if symbol in index else UNKNOWN for symbol in symbols)
    return Phones(
        symbols=known,
        ids=symbol_ids(known, table),
        word2ph=None if word2ph is None else tuple(word2ph),
        norm_text=norm_text,
        language=language,
        notes=tuple(notes),
    )
