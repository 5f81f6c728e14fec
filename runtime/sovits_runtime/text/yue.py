"""Cantonese: the Mandarin normaliser, ToJyutping's readings, two symbols a syllable.

Text is simplified before it is read, as it was when the models were trained.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from sovits_runtime.text.correction import Correction
from sovits_runtime.text.extras import import_extra
from sovits_runtime.text.phones import Phones, phones_from_symbols
from sovits_runtime.text.symbols import MARKS, SymbolVersion, symbol_index
from sovits_runtime.text.zh import corrected_rules, official_rules
from sovits_runtime.text.zh.cleaning import drop_notes, keep_readable
from sovits_runtime.text.zh.normalize import normalize_text
from sovits_runtime.text.zh.preparation import prepare_text

_MARKS: Final = str.maketrans(
    {
        **dict.fromkeys("：；，·、", ","),
        **dict.fromkeys("。$\n", "."),
        **dict.fromkeys("—~～", "-"),
        "！": "!",
        "？": "?",
    }
)
_KEPT: Final = re.compile("[\u4e00-\u9fa5!?…,.-]")
CORRECTIONS: Final[tuple[Correction, ...]] = (
    Correction(
        "卅 and 卌 have two syllables and become one unknown symbol", "卅", "Ys UNK", "Ys Yaa1 Yaa Ya6"
    ),
    Correction("rare syllables without a consonant become unknown symbols", "盎", "UNK Yg3", "Yo Yong3"),
)
# The first of these that a syllable starts with is its initial; a syllable without a consonant is split all the same.
_INITIALS: Final = (
    *(
        "aa",
        "ai",
        "au",
        "ap",
        "at",
        "ak",
        "a",
        "p",
        "b",
        "e",
        "t",
        "d",
        "kw",
        "k",
        "gw",
        "g",
        "f",
        "h",
        "l",
        "m",
    ),
    *("ng", "n", "s", "y", "w", "c", "z", "j", "ong", "on", "ou", "oi", "ok", "o", "uk", "ung"),
)


def phonemize(text: str, *, symbols: SymbolVersion = "v2", official: bool = False) -> Phones:
    """Phones of Cantonese text. Latin letters are dropped: they are another language.

    Args:
        text: Plain text, traditional or simplified.
        symbols: Symbol table of the model; only v2 has Cantonese.
        official: Without the corrections that `CORRECTIONS` and `zh.corrections.CORRECTIONS` list.

    Raises:
        TextError: Nothing to say, or a package of the yue extra is not installed.
    """
    library = import_extra("ToJyutping", "yue")
    if official:
        spoken = normalize_text(text, official_rules.read_numbers)
    else:
        spoken = normalize_text(prepare_text(text), corrected_rules.read_numbers)
    kept, dropped = keep_readable(spoken.replace("...", "…").translate(_MARKS), _KEPT, lambda _: True)
    phones: list[str] = []
    word2ph: list[int] = []
    readable = ""
    for char, reading in library.get_jyutping_list(kept):
        if char not in MARKS and not reading:
            dropped.append(char)
            continue
        spelled = (char,) if char in MARKS else _spell(reading, official)
        readable += char
        phones.extend(spelled)
        word2ph.append(len(spelled))
    notes = drop_notes("yue", dropped)
    return phones_from_symbols(phones, readable, language="yue", table=symbols, word2ph=word2ph, notes=notes)


def _spell(reading: str, official: bool) -> tuple[str, ...]:
    """Symbols of one character, which may have two syllables (卅); the original makes one unknown symbol of those."""
    syllables = [reading] if official else reading.split()
    return tuple(symbol for syllable in syllables for symbol in _split_syllable(syllable, official))


@lru_cache(maxsize=4096)
def _split_syllable(syllable: str, official: bool) -> tuple[str, str]:
    """Initial and toned final. Source: GPT-SoVITS, text/cantonese.py, jyuping_to_initials_finals_tones."""
    letters, tone = syllable[:-1], syllable[-1]
    initial = next((each for each in _INITIALS if letters.startswith(each)), "")
    rest = letters[len(initial) :] or initial[-1:]
    pair = f"Y{initial}", f"Y{rest}{tone}"
    if official or all(symbol in symbol_index("v2") for symbol in pair):
        return pair
    # The models have no symbol for that split: name the vowel (w for u), then the whole final.
    vowel = re.match("aa|[aeo]", letters)
    return f"Y{vowel[0] if vowel else 'w'}", f"Y{letters}{tone}"
