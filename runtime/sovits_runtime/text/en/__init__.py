"""English front end."""

from __future__ import annotations

from sovits_runtime.text.en.g2p import phones_of
from sovits_runtime.text.en.normalize import normalize
from sovits_runtime.text.phones import Phones, phones_from_symbols
from sovits_runtime.text.symbols import SymbolVersion

_SHORTEST = 4


def phonemize(text: str, *, symbols: SymbolVersion, official: bool) -> Phones:
    """ARPAbet phones of English text.

    Args:
        text: Plain text.
        symbols: Symbol table of the model.
        official: Read exactly as the original does.

    Raises:
        TextError: Nothing to say, or a package of the `en` extra is not installed.
    """
    notes: list[str] = []
    norm_text = normalize(text)
    phones = phones_of(norm_text, notes)
    if len(phones) < _SHORTEST:
        phones = [",", *phones]
    return phones_from_symbols(phones, norm_text, language="en", table=symbols, notes=notes)
