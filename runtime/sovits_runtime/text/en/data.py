"""Where the user's own English word lists and nltk's data lie."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sovits_runtime.errors import TextError
from sovits_runtime.machine.data_folder import fetched_text

DICTIONARY_VARIABLE: Final = "SOVITS_ENGLISH_DICT"
NLTK_VARIABLE: Final = "NLTK_DATA"


def user_dictionaries() -> list[Path]:
    """Files named by `SOVITS_ENGLISH_DICT` (parted as `PATH` is), in order.

    Raises:
        TextError: A named file does not exist.
    """
    paths = [Path(name) for name in os.environ.get(DICTIONARY_VARIABLE, "").split(os.pathsep) if name]
    for path in paths:
        if not path.is_file():
            raise TextError(
                f"{DICTIONARY_VARIABLE} names {str(path)!r}, which is no file: "
                "give files of lines such as READ  R EH1 D, or unset it"
            )
    return paths


def nltk_folders() -> Iterator[Path]:
    """Folders in which nltk keeps its data: those of `NLTK_DATA` first, then the fetched one and the usual ones."""
    yield from (Path(name) for name in os.environ.get(NLTK_VARIABLE, "").split(os.pathsep) if name)
    yield fetched_text("nltk_data")
    yield Path.home() / "nltk_data"
    for base in (sys.prefix, f"{sys.prefix}/share", f"{sys.prefix}/lib"):
        yield Path(base) / "nltk_data"
    for base in ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib"):
        yield Path(base) / "nltk_data"
