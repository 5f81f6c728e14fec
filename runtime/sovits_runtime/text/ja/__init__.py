"""Japanese front end: Open JTalk on the stretches between marks.

Source: GPT-SoVITS, text/japanese.py, text_normalize and g2p.
"""

from __future__ import annotations

import re
from typing import Final

from sovits_runtime.errors import NothingToSay
from sovits_runtime.text.correction import dropped_note
from sovits_runtime.text.ja.openjtalk import OTHER_READING_NOTE, phones_with_pitch, reads_otherwise
from sovits_runtime.text.ja.repair import repair
from sovits_runtime.text.phones import Phones, phones_from_symbols
from sovits_runtime.text.symbols import SymbolVersion

_REPEATED_MARKS: Final = re.compile(r"([!?….,\-])[!?….,\-]+")
# Letters, any digit, 々, kana, the ideographs of the first Unicode block, full-width letters and half-width kana.
_READABLE: Final = r"A-Za-z\d々\u3040-\u30ff\u4e00-\u9fffＡ-Ｚａ-ｚｦ-ﾝ"
_PIECE: Final = re.compile(rf"[{_READABLE}]+|.", re.DOTALL)
_IS_READABLE: Final = re.compile(rf"[{_READABLE}]")
_MARKS: Final = {
    "：": ",", "；": ",", "，": ",", "、": ",", "·": ",",
    "。": ".", "\n": ".",
    "！": "!", "？": "?",
}  # fmt: skip


def phonemize(text: str, *, symbols: SymbolVersion, official: bool) -> Phones:
    """Phones of Japanese text with pitch marks.

    Args:
        text: Plain text.
        symbols: Symbol table of the model.
        official: Read exactly as the original does.

    Raises:
        TextError: Nothing to say, pyopenjtalk is not installed, or no dictionary was found.
    """
    notes: list[str] = []
    if not official:
        text, dropped = repair(text)
        notes += dropped_note("Japanese", dropped)
    norm_text = _REPEATED_MARKS.sub(r"\1", text)
    phones: list[str] = []
    for piece in _PIECE.findall(norm_text.replace("％", "パーセント").lower()):
        if _IS_READABLE.match(piece):
            phones += phones_with_pitch(piece)
        elif piece != " ":
            phones.append(_MARKS.get(piece, piece))
    if not official and not any(phone[0].isalpha() for phone in phones):
        raise NothingToSay(
            "nothing to say: the Japanese text holds no character that can be read aloud; give words"
        )
    if reads_otherwise():
        notes.append(OTHER_READING_NOTE)
    return phones_from_symbols(phones, norm_text, language="ja", table=symbols, notes=notes)
