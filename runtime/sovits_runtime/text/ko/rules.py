"""Korean spelling -> pronunciation with the rules of g2pk2, without importing the package itself.

`import g2pk2` imports nltk and tries to download CMUdict, for an English step that is never reached here because
Latin letters are spelled out beforehand. So its rule modules are loaded on their own, and its two tables are
compiled once: the package compiles hundreds of patterns anew at every call.

Source: g2pk2 (Apache-2.0), g2pk2.py, G2p.__call__.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Final

from sovits_runtime.text.extras import import_extra, package_file
from sovits_runtime.text.ko.tagger import Tagger, find_tagger
from sovits_runtime.text.word_list import word_list

_PACKAGE: Final = "g2pk2"
_IMPORT_LOCK: Final = Lock()
_SPECIAL: Final = word_list(
    "jyeo ye consonant_ui josa_ui vowel_ui jamo rieulgiyeok rieulbieub verb_nieun balb palatalize modifying_rieul"
)
_LINKS: Final = ("link1", "link2", "link3", "link4")
_TAG: Final = re.compile("/[PJEB]")
_Rewrite = Callable[[str], str]


@dataclass(frozen=True)
class _Rules:
    idioms: tuple[tuple[re.Pattern[str], str], ...]
    annotate: Callable[[str, Tagger], str]
    numbers: _Rewrite
    decompose: _Rewrite
    special: tuple[_Rewrite, ...]
    table: tuple[tuple[re.Pattern[str], str], ...]
    links: tuple[_Rewrite, ...]
    compose: _Rewrite


def _import_parts(folder: Path) -> dict[str, ModuleType]:
    """Import rule modules as parts of an empty stand-in for the package, then take the stand-in away."""
    with _IMPORT_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = {name for name in sys.modules if name.split(".")[0] == _PACKAGE}
        if _PACKAGE not in before:
            stand_in = ModuleType(_PACKAGE)
            stand_in.__path__ = [str(folder)]
            sys.modules[_PACKAGE] = stand_in
        try:
            names = ("utils", "special", "regular", "numerals")
            return {name: import_module(f"{_PACKAGE}.{name}") for name in names}
        finally:
            if _PACKAGE not in before:
                for name in [name for name in sys.modules if name.split(".")[0] == _PACKAGE]:
                    del sys.modules[name]


def _idioms(path: Path) -> tuple[tuple[re.Pattern[str], str], ...]:
    lines = (line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    pairs = (line.split("===") for line in lines if "===" in line)
    return tuple((re.compile(pattern), replacement) for pattern, replacement in pairs)


@lru_cache(maxsize=1)
def _rules() -> _Rules:
    jamo = import_extra("jamo", "ko")
    idioms = package_file(_PACKAGE, "idioms.txt", extra="ko")
    parts = _import_parts(idioms.parent)
    utils = parts["utils"]
    return _Rules(
        idioms=_idioms(idioms),
        annotate=utils.annotate,
        numbers=parts["numerals"].convert_num,
        decompose=jamo.h2j,
        special=tuple(getattr(parts["special"], name) for name in _SPECIAL),
        table=tuple((re.compile(pattern), replacement) for pattern, replacement, _ in utils.parse_table()),
        links=tuple(getattr(parts["regular"], name) for name in _LINKS),
        compose=utils.compose,
    )


@lru_cache(maxsize=1)
def _tagger() -> Tagger | None:
    return find_tagger()


def has_tagger() -> bool:
    """Whether a tagger is installed, which tells verbs from nouns."""
    return _tagger() is not None


def pronounced(text: str) -> str:
    """Syllables as they are spoken, for example 국물 as 궁물; numbers written out.

    Args:
        text: Korean text without Latin letters.

    Raises:
        TextError: A package of the `ko` extra is not installed.
    """
    rules = _rules()
    for pattern, replacement in rules.idioms:
        text = pattern.sub(replacement, text)
    tagger = _tagger()
    if tagger is not None:
        text = rules.annotate(text, tagger)
    letters = rules.decompose(rules.numbers(text))
    for rewrite in rules.special:
        letters = rewrite(letters)
    letters = _TAG.sub("", letters)
    for pattern, replacement in rules.table:
        letters = pattern.sub(replacement, letters)
    for rewrite in rules.links:
        letters = rewrite(letters)
    return rules.compose(letters)
