"""Mandarin: normaliser, words and tones, phones.

Polyphones are read by a G2PW model where the user has one, else by pypinyin's phrases, word by word.
"""

from __future__ import annotations

from sovits_runtime.text.phones import Phones, phones_from_symbols
from sovits_runtime.text.spelling import spell
from sovits_runtime.text.symbols import SymbolVersion
from sovits_runtime.text.zh.cleaning import CleanText, clean_officially, clean_spelled
from sovits_runtime.text.zh.g2p import phones_from_norm_text
from sovits_runtime.text.zh.g2pw import PolyphoneReader, polyphone_reader
from sovits_runtime.text.zh.spelling import KINDS
from sovits_runtime.text.zh.syllables import is_readable


def phonemize(
    text: str,
    *,
    symbols: SymbolVersion = "v2",
    official: bool = False,
    spelled: bool = False,
    polyphones: PolyphoneReader | None = None,
) -> Phones:
    """Phones of Mandarin text, simplified or traditional. Latin letters are dropped: they are another language.

    Args:
        text: Plain text.
        symbols: Symbol table of the model; v1 models read a final 儿 in its own tone.
        official: Without the corrections that `corrections.CORRECTIONS` lists.
        spelled: The text is in words and pause marks already; False writes out numbers, signs and the like first.
        polyphones: A G2PW model; None takes that of `SOVITS_G2PW_DIR`, if set. v1 models were trained without.

    Raises:
        TextError: Nothing to say, or a package of the zh extra is not installed.
    """
    if official:
        clean = clean_officially(text, is_readable)
    else:
        clean = clean_spelled(text if spelled else spell(text, KINDS).text, is_readable)
    reader = None if symbols == "v1" else polyphones or polyphone_reader()
    phones, word2ph = phones_from_norm_text(
        clean.norm_text, erhua=symbols != "v1", polyphones=reader, by_context=not official
    )
    return phones_from_symbols(
        _with_pauses(phones, word2ph, clean),
        clean.norm_text,
        language="zh",
        table=symbols,
        word2ph=word2ph,
        notes=clean.notes + (reader.notes if reader else ()),
    )


def _with_pauses(phones: list[str], word2ph: list[int], clean: CleanText) -> list[str]:
    position = 0
    for index, count in enumerate(word2ph):
        if index in clean.pauses:
            phones[position] = clean.pauses[index]
        position += count
    return phones


__all__ = ["KINDS", "phonemize"]
