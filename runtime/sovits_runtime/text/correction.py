"""A row in the languages' tables of deliberate differences from the original."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from sovits_runtime.text import LANGUAGE_MODULES

_MOST_NAMED: Final = 20


@dataclass(frozen=True)
class Correction:
    """One plain misreading and what is read instead, unless `official=True`.

    Attributes:
        kind: Name of the `Kind` of spelling that does it; empty where the sounds of words differ, not the words.
        reason: What the original does wrong.
        text: An example, which the tests replay both ways.
        official: How the original reads it: `norm_text`, or phones where the text is not what differs.
        corrected: How it is read here.
    """

    kind: str
    reason: str
    text: str
    official: str
    corrected: str


def corrections_of(language: str) -> tuple[Correction, ...]:
    """The table of a language.

    Args:
        language: `"zh"`, `"en"`, `"ja"`, `"ko"` or `"yue"`.
    """
    rows: tuple[Correction, ...] = import_module(f"{LANGUAGE_MODULES[language]}.corrections").CORRECTIONS
    return rows


def dropped_note(language: str, dropped: Iterable[str]) -> list[str]:
    """A note that names dropped characters, or none.

    Args:
        language: Name of the language, for the note.
        dropped: Characters; white space is not worth a note.
    """
    named = [char for char in dict.fromkeys(dropped) if not char.isspace()]
    if not named:
        return []
    shown = " ".join(char if char.isprintable() else f"U+{ord(char):04X}" for char in named[:_MOST_NAMED])
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return [f"{language}: dropped {shown}{more}"]
