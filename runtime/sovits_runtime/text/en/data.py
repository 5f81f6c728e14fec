"""Where the English word lists and weights lie: data files of installed packages, read without importing them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sovits_runtime.errors import TextError

DICTIONARY_VARIABLE: Final = "SOVITS_ENGLISH_DICT"
NLTK_VARIABLE: Final = "NLTK_DATA"


def find_package_file(package: str, *parts: str) -> Path | None:
    """A data file of an installed package, or None.

    Args:
        package: Import name; the package is not imported.
        *parts: Path inside the package.
    """
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, *parts)
        if path.is_file():
            return path
    return None


def package_file(package: str, *parts: str) -> Path:
    """A data file of an installed package.

    Args:
        package: Import name; the package is not imported.
        *parts: Path inside the package.

    Raises:
        TextError: The package, or the file in it, is not there.
    """
    path = find_package_file(package, *parts)
    if path is None:
        raise TextError(
            f"English needs {'/'.join(parts)} of the Python package {package!r}, which is not installed: "
            f'pip install "sovits-export[en]"'
        )
    return path


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
    """Folders in which nltk keeps its data: those of `NLTK_DATA` first, then the usual ones."""
    yield from (Path(name) for name in os.environ.get(NLTK_VARIABLE, "").split(os.pathsep) if name)
    yield Path.home() / "nltk_data"
    for base in (sys.prefix, f"{sys.prefix}/share", f"{sys.prefix}/lib"):
        yield Path(base) / "nltk_data"
    for base in ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib"):
        yield Path(base) / "nltk_data"
