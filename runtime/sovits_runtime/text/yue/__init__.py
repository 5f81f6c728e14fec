"""Cantonese: the Mandarin kinds of spelling in Cantonese words, ToJyutping's readings, two symbols a syllable."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from sovits_runtime.text.extras import import_extra
from sovits_runtime.text.phones import Phones, phones_from_symbols
from sovits_runtime.text.spelling import spell
from sovits_runtime.text.symbols import MARKS, SymbolVersion, symbol_index
from sovits_runtime.text.yue.spelling import KINDS
from sovits_runtime.text.zh import official_rules
from sovits_runtime.text.zh.cleaning import drop_notes, keep_readable
from sovits_runtime.text.zh.normalize import HALF_WIDTH, normalize_text

_MARKS: Final = {**dict.fromkeys("：；，·、", ","), "。": ".", "\n": ".", "！": "!", "？": "?"}
_OFFICIAL_MARKS: Final = str.maketrans({**_MARKS, "$": ".", **dict.fromkeys("—~～", "-")})
_SPELLED_MARKS: Final = str.maketrans(
    {**_MARKS, **dict.fromkeys(":;/|￥^—–", ","), **dict.fromkeys("~～", "…")}
)
_OFFICIAL: Final = re.compile("[\u4e00-\u9fa5!?…,.-]")
_KEPT: Final = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af!?…,.-]")
_MARK_RUN: Final = re.compile("([!?…,.-])[!?…,.-]+")
# Places where the library reads a character otherwise than people do, and the readings of what stands there.
_READINGS: Final = (
    (
        re.compile(
            "(?<=[瞓訓])(?:[緊咗個過过完返晒落得唔到多]{1,3}|[咗過]?[一幾兩半]?[個場陣次]?好?)[覺觉](?!得|意|醒)"
        ),
        {"覺": "gaau3", "觉": "gaau3"},
    ),
    (re.compile("叻(?=[㗎嘅架])|(?<=叻)㗎"), {"叻": "lek1", "㗎": "gaa3"}),
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


def phonemize(
    text: str, *, symbols: SymbolVersion = "v2", official: bool = False, spelled: bool = False
) -> Phones:
    """Phones of Cantonese text. Latin letters are dropped: they are another language.

    Characters are read as they were written. The original simplifies them first, and so takes 隻 for 只.

    Args:
        text: Plain text, traditional or simplified.
        symbols: Symbol table of the model; only v2 has Cantonese.
        official: Without the corrections that `corrections.CORRECTIONS` lists.
        spelled: The text is in words and pause marks already; False writes out numbers, signs and the like first.

    Raises:
        TextError: Nothing to say, or a package of the yue extra is not installed.
    """
    library = import_extra("ToJyutping", "yue")
    if official:
        spoken = (
            normalize_text(text, official_rules.read_numbers).replace("...", "…").translate(_OFFICIAL_MARKS)
        )
        kept, dropped = keep_readable(spoken, _OFFICIAL, lambda _: True)
    else:
        spoken = text if spelled else spell(text, KINDS).text
        marked = spoken.strip().translate(HALF_WIDTH).replace("...", "…").translate(_SPELLED_MARKS)
        kept, dropped = keep_readable(marked, _KEPT, lambda _: True)
        kept = _MARK_RUN.sub(r"\1", kept)
    phones: list[str] = []
    word2ph: list[int] = []
    readable = ""
    certain = {} if official else _certain_readings(kept)
    for index, (char, found) in enumerate(library.get_jyutping_list(kept)):
        reading = certain.get(index, found)
        if char not in MARKS and not reading:
            dropped.append(char)
            continue
        symbols_of = (char,) if char in MARKS else _spell(reading, official)
        readable += char
        phones.extend(symbols_of)
        word2ph.append(len(symbols_of))
    notes = drop_notes("yue", dropped)
    return phones_from_symbols(phones, readable, language="yue", table=symbols, word2ph=word2ph, notes=notes)


def _certain_readings(text: str) -> dict[int, str]:
    """Position -> reading of the characters that `_READINGS` knows."""
    return {
        index: readings[text[index]]
        for pattern, readings in _READINGS
        for match in pattern.finditer(text)
        for index in range(match.start(), match.end())
        if text[index] in readings
    }


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


__all__ = ["KINDS", "phonemize"]
