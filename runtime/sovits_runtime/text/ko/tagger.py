"""What tells Korean verbs from nouns: mecab-ko, with the dictionary of python-mecab-ko-dic.

Two packages bring the engine: python-mecab-ko, up to Python 3.12, and mecab-ko. With the same dictionary they answer
alike. Each requires a dictionary package of its own whose module is called `mecab_ko_dic`, and the one installed later
hides the other, so the dictionary is found as a folder.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from sovits_runtime.machine.ascii_path import ascii_path
from sovits_runtime.text.extras import find_package_file


class Tagger(Protocol):
    """What g2pk2 asks for parts of speech."""

    def pos(self, sentence: str) -> list[tuple[str, str]]:
        """Morphemes of a sentence with their tags."""


class MecabKo:
    """The package mecab-ko, asked as python-mecab-ko is.

    Args:
        dictionary: Folder of `sys.dic` and `dicrc`.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """

    def __init__(self, dictionary: Path) -> None:
        # The package's own wrapper opens whichever dictionary hides the other.
        self._engine: Any = import_module("mecab_ko._MeCab")
        folder = ascii_path(dictionary)
        options = ("", "--rcfile", str(Path(folder) / "dicrc"), "--dicdir", folder)
        self._tagger = self._engine.Tagger([option.encode() for option in options])

    def pos(self, sentence: str) -> list[tuple[str, str]]:
        """Morphemes of a sentence with their tags."""
        lattice = self._engine.Lattice()
        lattice.add_request_type(self._engine.MECAB_ALLOCATE_SENTENCE)
        lattice.set_sentence(sentence)
        if not self._tagger.parse(lattice):
            raise RuntimeError(lattice.what())
        morphemes, node = [], lattice.bos_node().next
        while node.next:
            morphemes.append((node.surface, node.feature.split(",")[0]))
            node = node.next
        return morphemes


def python_mecab_ko(dictionary: Path) -> Tagger:
    """The package python-mecab-ko.

    Args:
        dictionary: Folder of `sys.dic` and `dicrc`.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    return cast(Tagger, import_module("mecab").MeCab(Path(ascii_path(dictionary))))


def find_dictionary() -> Path | None:
    """Folder of python-mecab-ko-dic's dictionary, or None."""
    path = find_package_file("mecab_ko_dic", "dictionary", "sys.dic")
    return path.parent if path else None


def find_tagger() -> Tagger | None:
    """The tagger that is installed, or None."""
    dictionary = find_dictionary()
    if dictionary is None:
        return None
    for open_tagger in (python_mecab_ko, MecabKo):
        with suppress(ModuleNotFoundError):
            return open_tagger(dictionary)
    return None
