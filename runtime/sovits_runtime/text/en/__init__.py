"""English front end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sovits_runtime.errors import NothingToSay
from sovits_runtime.text.correction import dropped_note
from sovits_runtime.text.en.g2p import phones_of
from sovits_runtime.text.en.normalize import normalize
from sovits_runtime.text.phones import Phones, phones_from_symbols
from sovits_runtime.text.spelling import spell
from sovits_runtime.text.symbols import SymbolVersion

if TYPE_CHECKING:
    from sovits_runtime.text.en.spelling import KINDS

_SHORTEST: Final = 4
_LETTER: Final = re.compile("[A-Za-z]")
_MARKS: Final = re.compile(r"([.,?!])[.,?!]+")
_DROPPED: Final = re.compile(r"[^ A-Za-z'.,?!\-]")
_CJK_MARKS: Final = str.maketrans("，、；：。！？", ",,,,.!?")


def phonemize(text: str, *, symbols: SymbolVersion, official: bool, spelled: bool = False) -> Phones:
    """ARPAbet phones of English text.

    Args:
        text: Plain text.
        symbols: Symbol table of the model.
        official: Read exactly as the original does.
        spelled: The text is in words and pause marks already.

    Raises:
        TextError: Nothing to say, or a package of the `en` extra is not installed.
    """
    notes: list[str] = []
    words = text if spelled or official else _spelled(text)
    norm_text = normalize(words) if official else _readable(words, notes)
    if not official and _LETTER.search(norm_text) is None:
        raise NothingToSay(
            "nothing to say: the English text holds no letter or number that can be read aloud; give words"
        )
    phones = phones_of(norm_text, notes, modern=not official)
    if len(phones) < _SHORTEST:
        phones = [",", *phones]
    return phones_from_symbols(phones, norm_text, language="en", table=symbols, notes=notes)


def __getattr__(name: str) -> Any:
    """`KINDS`, made when first asked for: whoever reads another language mostly needs none of its patterns."""
    if name != "KINDS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sovits_runtime.text.en.spelling import KINDS

    return KINDS


def _spelled(text: str) -> str:
    from sovits_runtime.text.en.spelling import KINDS

    return spell(text, KINDS).text


def _readable(text: str, notes: list[str]) -> str:
    """Letters and marks of a text in words; what is dropped is named."""
    text = text.translate(_CJK_MARKS)
    notes += dropped_note("English", _DROPPED.findall(text))
    kept = re.sub(r"\s+", " ", _DROPPED.sub(" ", text))
    return _MARKS.sub(r"\1", re.sub(r" (?=[,.?!])", "", kept)).strip()


__all__ = ["KINDS", "phonemize"]
