"""Raw text -> the characters that are pronounced, with what was dropped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from sovits_runtime.text.correction import dropped_note
from sovits_runtime.text.zh import corrected_rules, official_rules
from sovits_runtime.text.zh.normalize import normalize_text
from sovits_runtime.text.zh.preparation import PAUSE_SIGNS, prepare_text

_SPOKEN_FORMS: Final = str.maketrans({"嗯": "恩", "呣": "母"})
_MARKS: Final = str.maketrans(
    {
        **dict.fromkeys("：；，·、/", ","),
        **dict.fromkeys("。$\n", "."),
        **dict.fromkeys("~～", "…"),
        "！": "!",
        "？": "?",
        "—": "-",
    }
)
_SIGNS: Final = "".join(PAUSE_SIGNS)
_KEPT: Final = re.compile(rf"[\u4e00-\u9fa5!?…,.{_SIGNS}-]")
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


def clean_text(text: str, *, official: bool, is_readable: Callable[[str], bool]) -> CleanText:
    """Normalise Mandarin text.

    Args:
        text: Raw text.
        official: Without the corrections that `corrections.CORRECTIONS` lists.
        is_readable: Whether a kept character has a pronunciation.

    Raises:
        TextError: zh-normalization is not installed.
    """
    spoken = _spoken_official(text) if official else _spoken_corrected(text)
    marked = spoken.translate(_SPOKEN_FORMS).replace("...", "…").translate(_MARKS)
    kept, dropped = keep_readable(marked, _KEPT, lambda char: char in _SIGNS or is_readable(char))
    collapsed = _MARK_RUN.sub(r"\1", kept)
    norm_text = "".join("," if char in PAUSE_SIGNS else char for char in collapsed)
    if official:
        pauses = _official_pauses(text, norm_text)
    else:
        pauses = {index: PAUSE_SIGNS[char] for index, char in enumerate(collapsed) if char in PAUSE_SIGNS}
    return CleanText(norm_text, MappingProxyType(pauses), drop_notes("zh", dropped))


def _spoken_official(text: str) -> str:
    for sign in PAUSE_SIGNS:
        text = text.replace(sign, "")
    for sign in ("￥", "^"):
        if sign in text:
            text = text.replace(sign, ",")
            break
    return normalize_text(text, official_rules.read_numbers)


def _official_pauses(text: str, norm_text: str) -> dict[int, str]:
    """One ￥ or ^ makes every comma a long pause. Source: GPT-SoVITS, text/cleaner.py, clean_special."""
    symbol = "SP2" if "￥" in text else "SP3" if "^" in text else None
    return {index: symbol for index, char in enumerate(norm_text) if char == ","} if symbol else {}


def _spoken_corrected(text: str) -> str:
    return normalize_text(prepare_text(text), corrected_rules.read_numbers)


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
