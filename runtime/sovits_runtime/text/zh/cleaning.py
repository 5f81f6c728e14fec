"""Raw text -> the characters that are pronounced, with what was dropped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from sovits_runtime.text.correction import dropped_note
from sovits_runtime.text.zh import official_rules
from sovits_runtime.text.zh.kinds.scripts import simplified
from sovits_runtime.text.zh.normalize import HALF_WIDTH, normalize_text

# Pauses that a writer asks for, and the symbols they become.
PAUSE_SIGNS: Final = {"￥": "SP2", "^": "SP3"}
_STAND_INS: Final = str.maketrans(dict(zip(PAUSE_SIGNS, "\ue000\ue001", strict=True)))
_PAUSES: Final = dict(zip("\ue000\ue001", PAUSE_SIGNS.values(), strict=True))
_SIGNS: Final = "".join(_PAUSES)
_SPOKEN_FORMS: Final = str.maketrans({"嗯": "恩", "呣": "母"})
_MARKS: Final = {**dict.fromkeys("：；，·、/", ","), "。": ".", "！": "!", "？": "?", "\n": "."}
_OFFICIAL_MARKS: Final = str.maketrans({**_MARKS, "$": ".", **dict.fromkeys("~～", "…"), "—": "-"})
_SPELLED_MARKS: Final = str.maketrans(
    {**_MARKS, **dict.fromkeys(":;|", ","), "~": "…", "～": "…", "—": ",", "–": ","}
)
_OFFICIAL: Final = re.compile(rf"[\u4e00-\u9fa5!?…,.{_SIGNS}-]")
_KEPT: Final = re.compile(rf"[\u3400-\u9fff\U00020000-\U000323af!?…,.{_SIGNS}-]")
_MARK_RUN: Final = re.compile(rf"([!?…,.{_SIGNS}-])[!?…,.{_SIGNS}-]+")


@dataclass(frozen=True)
class CleanText:
    """Text to pronounce.

    Attributes:
        norm_text: Chinese characters and marks.
        pauses: Position in `norm_text` -> pause symbol that stands there in place of the mark's own.
        notes: What was dropped.
    """

    norm_text: str
    pauses: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()


def clean_officially(text: str, is_readable: Callable[[str], bool]) -> CleanText:
    """Normalise raw Mandarin text as the original does.

    Args:
        text: Raw text.
        is_readable: Whether a kept character has a pronunciation.

    Raises:
        TextError: zh-normalization is not installed.
    """
    spoken = text
    for sign in _SIGNS:
        spoken = spoken.replace(sign, "")
    for sign in PAUSE_SIGNS:
        if sign in spoken:
            spoken = spoken.replace(sign, ",")
            break
    marked = normalize_text(spoken, official_rules.read_numbers).translate(_SPOKEN_FORMS)
    norm_text, dropped = _kept(marked.replace("...", "…").translate(_OFFICIAL_MARKS), _OFFICIAL, is_readable)
    return CleanText(
        norm_text, MappingProxyType(_official_pauses(text, norm_text)), drop_notes("zh", dropped)
    )


def clean_spelled(text: str, is_readable: Callable[[str], bool]) -> CleanText:
    """Keep what is pronounced of a text in words and pause marks.

    Args:
        text: Characters, simplified or traditional, and marks.
        is_readable: Whether a kept character has a pronunciation.

    Raises:
        TextError: zh-normalization is not installed.
    """
    for sign in _SIGNS:
        text = text.replace(sign, "")
    plain = text.strip().translate(_STAND_INS).translate(HALF_WIDTH)
    marked = simplified(plain).translate(_SPOKEN_FORMS).replace("...", "…").translate(_SPELLED_MARKS)
    collapsed, dropped = _kept(marked, _KEPT, is_readable)
    pauses = {index: _PAUSES[char] for index, char in enumerate(collapsed) if char in _PAUSES}
    norm_text = "".join("," if char in _PAUSES else char for char in collapsed)
    return CleanText(norm_text, MappingProxyType(pauses), drop_notes("zh", dropped))


def _kept(marked: str, kept: re.Pattern[str], is_readable: Callable[[str], bool]) -> tuple[str, list[str]]:
    """Characters to pronounce, with one mark of each run, and what was dropped."""
    good, dropped = keep_readable(marked, kept, lambda char: char in _SIGNS or is_readable(char))
    return _MARK_RUN.sub(r"\1", good), dropped


def _official_pauses(text: str, norm_text: str) -> dict[int, str]:
    """One ￥ or ^ makes every comma a long pause. Source: GPT-SoVITS, text/cleaner.py, clean_special."""
    symbol = next((pause for sign, pause in PAUSE_SIGNS.items() if sign in text), None)
    return {index: symbol for index, char in enumerate(norm_text) if char == ","} if symbol else {}


def keep_readable(
    text: str, kept: re.Pattern[str], is_readable: Callable[[str], bool]
) -> tuple[str, list[str]]:
    """Characters that a pattern keeps and that can be read, and the rest in order."""
    good: list[str] = []
    dropped: list[str] = []
    for char in text:
        (good if kept.match(char) and is_readable(char) else dropped).append(char)
    return "".join(good), dropped


def drop_notes(language: str, dropped: Iterable[str]) -> tuple[str, ...]:
    """A note that names the dropped characters, quotation marks and brackets apart."""
    return tuple(
        dropped_note(language, (char for char in dropped if unicodedata.category(char)[0] not in "PZ"))
    )
