"""Japanese front end: Open JTalk on the stretches between marks.

Source: GPT-SoVITS, text/japanese.py, text_normalize and g2p.
"""

from __future__ import annotations

import re
from typing import Final

from sovits_runtime.errors import NothingToSay
from sovits_runtime.text.correction import dropped_note
from sovits_runtime.text.ja.openjtalk import (
    OTHER_READING_NOTE,
    phones_with_pitch,
    read_aloud,
    reads_otherwise,
)
from sovits_runtime.text.ja.spelling import KINDS
from sovits_runtime.text.phones import Phones, phones_from_symbols
from sovits_runtime.text.spelling import spell
from sovits_runtime.text.symbols import SymbolVersion

_REPEATED_MARKS: Final = re.compile(r"([!?….,\-])[!?….,\-]+")
# Letters, any digit, 々, kana, the ideographs of the first Unicode block, full-width letters and half-width kana.
_READABLE: Final = r"A-Za-z\d々\u3040-\u30ff\u4e00-\u9fffＡ-Ｚａ-ｚｦ-ﾝ"
_OFFICIAL_PIECE: Final = re.compile(rf"[{_READABLE}]+|.", re.DOTALL)
_PIECE: Final = re.compile(rf"[{_READABLE}〇]+|.", re.DOTALL)
_IS_READABLE: Final = re.compile(rf"[{_READABLE}〇]")
_UNREADABLE: Final = re.compile(rf"[^{_READABLE}〇、。！？!?,.… '-]")
_MARKS: Final = {
    "：": ",", "；": ",", "，": ",", "、": ",", "·": ",",
    "。": ".", "\n": ".",
    "！": "!", "？": "?",
}  # fmt: skip


def phonemize(text: str, *, symbols: SymbolVersion, official: bool, spelled: bool = False) -> Phones:
    """Phones of Japanese text with pitch marks.

    Args:
        text: Plain text.
        symbols: Symbol table of the model.
        official: Read exactly as the original does.
        spelled: The text is in words and marks already; what else it holds is dropped with a note.

    Raises:
        TextError: Nothing to say, pyopenjtalk is not installed, or no dictionary was found.
    """
    notes: list[str] = []
    if official:
        norm_text = _REPEATED_MARKS.sub(r"\1", text)
        phones = _official_phones(norm_text)
    else:
        phones, norm_text, dropped = _phones(text if spelled else spell(text, KINDS).text)
        notes += dropped_note("Japanese", dropped)
    if not official and not any(phone[0].isalpha() for phone in phones):
        raise NothingToSay(
            "nothing to say: the Japanese text holds no character that can be read aloud; give words"
        )
    if reads_otherwise():
        notes.append(OTHER_READING_NOTE)
    return phones_from_symbols(phones, norm_text, language="ja", table=symbols, notes=notes)


def _official_phones(text: str) -> list[str]:
    phones: list[str] = []
    for piece in _OFFICIAL_PIECE.findall(text.replace("％", "パーセント").lower()):
        if piece != "〇" and _IS_READABLE.match(piece):
            phones += phones_with_pitch(piece)
        elif piece != " ":
            phones.append(_MARKS.get(piece, piece))
    return phones


def _phones(text: str) -> tuple[list[str], str, list[str]]:
    """Phones of words and marks, the text that they stand for, and what could not be read."""
    dropped = _UNREADABLE.findall(text)
    text = re.sub(" {2,}", " ", _UNREADABLE.sub(" ", text)).strip()
    phones: list[str] = []
    read: list[str] = []
    for piece in _PIECE.findall(_REPEATED_MARKS.sub(r"\1", text)):
        if not _IS_READABLE.match(piece):
            phones += [] if piece == " " else [_MARKS.get(piece, piece)]
            read.append(piece)
            continue
        piece_phones, readable, unread = read_aloud(piece)
        phones += piece_phones
        read.append(readable)
        dropped += unread
    return phones, "".join(read), dropped
