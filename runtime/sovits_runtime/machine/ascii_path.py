"""A path for libraries in C: on Windows many of them open names in the code page of the language alone."""

from __future__ import annotations

import sys
from pathlib import Path


def ascii_path(path: Path) -> str:
    """Returns a name of a path that every C library opens.

    Args:
        path: Something that exists.

    Returns:
        On Windows, where the path has other letters, its short name in ASCII if it has one; else the path as it is.
    """
    text = str(path)
    if sys.platform == "win32" and not text.isascii():
        from sovits_runtime.machine.windows import short_name

        short = short_name(text)
        return short if short.isascii() else text
    return text
