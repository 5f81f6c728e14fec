"""Raw text -> Chinese characters and six marks.

Source: GPT-SoVITS, text/zh_normalization and the text_normalize of text/chinese.py, chinese2.py, cantonese.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from sovits_runtime.text.zh.numbers import dictate_endless
from sovits_runtime.text.zh.package_data import simplified_characters
from sovits_runtime.text.zh.rules import CHARACTER_NAMES, has_numbers

_BRACKETS: Final = re.compile(r"[—《》【】<>{}()（）#&@“”^_|\\]")
_CLAUSE_END: Final = re.compile(r"([：、，；。？！,;?!]’?)|\n+")
HALF_WIDTH: Final = {
    **{ord(full): ord(full) - 0xFEE0 for full in map(chr, (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B)))},
    **{full: full - 0xFEE0 for full in range(0xFF41, 0xFF5B)},
    0x3000: 0x20,
}
_LEFTOVER: Final = str.maketrans(
    {"/": "每", "+": "加", "-": "减", "×": "乘", "÷": "除", "=": "等", **CHARACTER_NAMES}
)


def clauses(text: str) -> Iterator[str]:
    """Clauses as the number rules see them: no ASCII space, no bracket, one line each."""
    text = _BRACKETS.sub("", text.replace(" ", ""))
    broken = _CLAUSE_END.sub(lambda match: (match[1] or "") + "\n", text)
    return (clause.strip() for clause in re.split(r"\n+", broken.strip()))


def normalize_text(text: str, read_numbers: Callable[[str], str]) -> str:
    """Chinese with numbers, signs and names written out; marks are still as the writer set them.

    Args:
        text: Raw text.
        read_numbers: Writes out the numbers of one clause.

    Raises:
        TextError: zh-normalization is not installed.
    """
    return "".join(_normalize_clause(clause, read_numbers) for clause in clauses(text))


def _normalize_clause(clause: str, read_numbers: Callable[[str], str]) -> str:
    simplified = clause.translate(simplified_characters()).translate(HALF_WIDTH)
    if has_numbers(simplified):
        simplified = read_numbers(dictate_endless(simplified))
    return _BRACKETS.sub("", simplified.translate(_LEFTOVER))
