"""Korean spelling -> pronunciation with the rules of g2pk2, without importing the package itself.

`import g2pk2` imports nltk and tries to download CMUdict, for an English step that is never reached here because
Latin letters are spelled out beforehand. So its rule modules are loaded on their own, and its two tables are
compiled once: the package compiles hundreds of patterns anew at every call.

Source: g2pk2 (Apache-2.0), g2pk2.py, G2p.__call__.
"""

from __future__ import annotations

import builtins
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from sovits_runtime.text.extras import import_extra, once, package_file
from sovits_runtime.text.ko.tagger import Tagger, find_tagger
from sovits_runtime.text.word_list import word_list

_PACKAGE: Final = "g2pk2"
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


def _load_parts(folder: Path) -> Callable[[str], ModuleType]:
    """What loads the package's modules under names of ours: in `sys.modules` others would meet half a package."""
    parts: dict[str, ModuleType] = {}

    def load(name: str) -> ModuleType:
        if name not in parts:
            spec = spec_from_file_location(f"{__name__}.{_PACKAGE}_{name}", folder / f"{name}.py")
            if spec is None or spec.loader is None:
                raise ImportError(f"{folder / name}.py cannot be imported")
            part = parts[name] = module_from_spec(spec)
            vars(part)["__builtins__"] = {**vars(builtins), "__import__": import_from_part}
            spec.loader.exec_module(part)
        return parts[name]

    def import_from_part(name: str, *more: Any) -> ModuleType:
        package, _, part = name.partition(".")
        return load(part) if package == _PACKAGE else builtins.__import__(name, *more)

    return load


def _idioms(path: Path) -> tuple[tuple[re.Pattern[str], str], ...]:
    lines = (line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    pairs = (line.split("===") for line in lines if "===" in line)
    return tuple((re.compile(pattern), replacement) for pattern, replacement in pairs)


@once
def _rules() -> _Rules:
    jamo = import_extra("jamo", "ko")
    idioms = package_file(_PACKAGE, "idioms.txt", extra="ko")
    load = _load_parts(idioms.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in the package's strings
        utils, special, regular, numerals = map(load, ("utils", "special", "regular", "numerals"))
    return _Rules(
        idioms=_idioms(idioms),
        annotate=utils.annotate,
        numbers=numerals.convert_num,
        decompose=jamo.h2j,
        special=tuple(getattr(special, name) for name in _SPECIAL),
        table=tuple((re.compile(pattern), replacement) for pattern, replacement, _ in utils.parse_table()),
        links=tuple(getattr(regular, name) for name in _LINKS),
        compose=utils.compose,
    )


@once
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
