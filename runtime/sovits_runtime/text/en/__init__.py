"""English front end."""

from __future__ import annotations

import re
from typing import Final

from sovits_runtime.errors import NothingToSay
from sovits_runtime.text.correction import dropped_note
from sovits_runtime.text.en.g2p import phones_of
from sovits_runtime.text.en.normalize import normalize
from sovits_runtime.text.en.repair import repair
from sovits_runtime.text.phones import Phones, phones_from_symbols
from sovits_runtime.text.symbols import SymbolVersion

_SHORTEST: Final = 4
_LETTER: Final = re.compile("[A-Za-z]")


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
    if not official:
        text, dropped = repair(text)
        notes += dropped_note("English", dropped)
    norm_text = normalize(text, official=official)
    if not official and _LETTER.search(norm_text) is None:
        raise NothingToSay(
            "nothing to say: the English text holds no letter or number that can be read aloud; give words"
        )
    phones = phones_of(norm_text, notes)
    if len(phones) < _SHORTEST:
        phones = [",", *phones]
    return phones_from_symbols(phones, norm_text, language="en", table=symbols, notes=notes)
