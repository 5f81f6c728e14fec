"""Korean front end: g2pk2's rules, then compatibility jamo with compound vowels split.

Source: GPT-SoVITS, text/korean.py, g2p.
"""

from __future__ import annotations

import re
from typing import Final

from sovits_runtime.errors import NothingToSay
from sovits_runtime.text.correction import dropped_note
from sovits_runtime.text.extras import import_extra, install_line
from sovits_runtime.text.ko.rules import has_tagger, pronounced
from sovits_runtime.text.ko.spelling import KINDS
from sovits_runtime.text.phones import Phones, phones_from_symbols
from sovits_runtime.text.spelling import spell
from sovits_runtime.text.symbols import SymbolVersion, symbol_index
from sovits_runtime.text.word_list import word_list

NO_TAGGER_NOTE: Final = (
    "Korean: mecab-ko or its dictionary is not installed, so verbs were not told from nouns and some consonants may "
    f"be wrong; {install_line('ko')}"
)
_LETTER_NAMES: Final = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        word_list(
            "에이 비 시 디 이 에프 지 에이치 아이 제이 케이 엘 엠"
            " 엔 오 피 큐 아르 에스 티 유 브이 더블유 엑스 와이 제트"
        ),
        strict=True,
    )
)
_LATIN: Final = re.compile("[A-Za-z]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MODERN_JAMO: Final = re.compile("[\u1100-\u1112\u1161-\u1175\u11a8-\u11c2]+")
_VOWEL_PARTS: Final = str.maketrans(
    {
        "ㅘ": "ㅗㅏ", "ㅙ": "ㅗㅐ", "ㅚ": "ㅗㅣ", "ㅝ": "ㅜㅓ", "ㅞ": "ㅜㅔ", "ㅟ": "ㅜㅣ", "ㅢ": "ㅡㅣ",
        "ㅑ": "ㅣㅏ", "ㅒ": "ㅣㅐ", "ㅕ": "ㅣㅓ", "ㅖ": "ㅣㅔ", "ㅛ": "ㅣㅗ", "ㅠ": "ㅣㅜ",
    }
)  # fmt: skip
_RIEUL_AFTER_OBJECT: Final = re.compile("([ㅇㄹ]ㅡㄹ )ㄹ")
_ENDS_OPEN: Final = re.compile(r"[\u3131-\u3163]$")
_MARKS: Final = {
    "：": ",", "；": ",", "，": ",", "、": ",", "·": ",",
    "。": ".", "\n": ".",
    "！": "!", "？": "?", " ": "空",
}  # fmt: skip
_PAUSE: Final = "停"
_UNREADABLE: Final = re.compile("[^A-Za-z0-9\uac00-\ud7a3\u3131-\u3163\u1100-\u11ff ,.!?…，、。！？'’-]")


def _jamo(text: str, *, closed: bool) -> str:
    """Letters of a text; `closed`: one that ends in a letter gets a full stop, as the original gives it."""
    jamo = import_extra("jamo", "ko")
    spelled = _LATIN.sub(lambda match: _LETTER_NAMES[match[0].lower()], text)
    conjoining = jamo.h2j(pronounced(_SURROGATE.sub("\ufffd", spelled)))
    letters = _MODERN_JAMO.sub(lambda match: jamo.j2hcj(match[0]), conjoining).translate(_VOWEL_PARTS)
    letters = _RIEUL_AFTER_OBJECT.sub(r"\1ㄴ", letters)
    return f"{letters}." if closed and _ENDS_OPEN.search(letters) else letters


def phonemize(text: str, *, symbols: SymbolVersion, official: bool, spelled: bool = False) -> Phones:
    """Jamo of Korean text as it is pronounced.

    Args:
        text: Plain text.
        symbols: Symbol table of the model.
        official: Read exactly as the original does.
        spelled: The text is in words and marks already; what else it holds is dropped with a note.

    Raises:
        TextError: Nothing to say, or a package of the `ko` extra is not installed.
    """
    notes = [] if has_tagger() else [NO_TAGGER_NOTE]
    if not official:
        text, dropped = _keep_readable(text if spelled else spell(text, KINDS).text)
        notes += dropped_note("Korean", dropped)
        if not any(char.isalnum() for char in text):
            raise NothingToSay(
                "nothing to say: the Korean text holds no character that can be read aloud; give words"
            )
    known = symbol_index("v2")
    phones = (_MARKS.get(char, char) for char in _jamo(text, closed=not spelled))
    return phones_from_symbols(
        [phone if phone in known else _PAUSE for phone in phones],
        text,
        language="ko",
        table=symbols,
        notes=notes,
    )


def _keep_readable(text: str) -> tuple[str, list[str]]:
    """The text without what cannot be read, and that."""
    dropped = _UNREADABLE.findall(text)
    kept = _UNREADABLE.sub(" ", text)
    return re.sub(" +", " ", re.sub(" +(?=[,.!?])", "", kept)).strip(), dropped
