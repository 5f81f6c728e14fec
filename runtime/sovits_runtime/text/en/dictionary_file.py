"""A large dictionary of pronunciations that is ready at once: its lines are sorted, a word is looked for when asked."""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path
from typing import Final

_LOWER: Final = bytes(range(256)).decode("latin-1").lower().encode("latin-1")
"""Byte of latin-1 -> the one of the small letter."""
_REMARK: Final = b"#"


class DictionaryFile:
    """Word -> phones, of a file that has one word a line: `READ  R EH1 D`. Each word stands there once.

    Args:
        path: Of the file, in latin-1, of lines in any order.
    """

    def __init__(self, path: Path) -> None:
        self._lines = sorted(path.read_bytes().translate(_LOWER).splitlines())

    def get(self, word: str) -> str | None:
        """Phones of a word, parted by spaces, without the remark behind them; None where there is no such word.

        Args:
            word: In small letters.
        """
        if not word or " " in word or word.startswith(";;;"):  # no word, or the file's own remarks
            return None
        try:
            start = word.encode("latin-1") + b" "
        except UnicodeEncodeError:
            return None
        place = bisect_left(self._lines, start)
        if place == len(self._lines) or not self._lines[place].startswith(start):
            return None
        phones = self._lines[place][len(start) :].split(_REMARK, 1)[0].strip()
        return phones.decode("ascii").upper()
