"""Text front ends: text in one language -> phones of a GPT-SoVITS symbol table.

A language module is imported when it is first asked for, so an application installs the extras of its own
languages only.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sovits_runtime.errors import TextError
from sovits_runtime.text.phones import Phones
from sovits_runtime.text.symbols import SymbolVersion

if TYPE_CHECKING:
    from sovits_runtime.text.zh.g2pw import PolyphoneReader

LANGUAGE_MODULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "zh": "sovits_runtime.text.zh",
        "en": "sovits_runtime.text.en",
        "ja": "sovits_runtime.text.ja",
        "ko": "sovits_runtime.text.ko",
        "yue": "sovits_runtime.text.yue",
    }
)
V1_LANGUAGES: Final = ("zh", "en", "ja")


def phonemize(
    text: str,
    language: str,
    *,
    symbols: SymbolVersion = "v2",
    official: bool = False,
    spelled: bool = False,
    polyphones: PolyphoneReader | None = None,
) -> Phones:
    """Phones of a text that is in one language.

    Args:
        text: Plain text. Characters that cannot be read are dropped and named in `notes`.
        language: `"zh"`, `"en"`, `"ja"`, `"ko"` or `"yue"`; v1 models know the first three.
        symbols: Symbol table of the model, also the rule set that belongs to it.
        official: Read exactly as the original front end does, its plain misreadings included.
        spelled: The text is in words and pause marks already; False writes out numbers, signs and the like first.
        polyphones: Reads Mandarin polyphones; None: a G2PW folder that `SOVITS_G2PW_DIR` names, else pypinyin.

    Raises:
        TextError: Unknown language, nothing to say, or the language's extra is not installed.
    """
    languages = V1_LANGUAGES if symbols == "v1" else tuple(LANGUAGE_MODULES)
    if language not in languages:
        raise TextError(
            f"language {language!r} is not one that {symbols} models speak: use {', '.join(languages)}"
        )
    module = import_module(LANGUAGE_MODULES[language])
    more = {} if polyphones is None or language != "zh" else {"polyphones": polyphones}
    phones: Phones = module.phonemize(text, symbols=symbols, official=official, spelled=spelled, **more)
    return phones


__all__ = ["LANGUAGE_MODULES", "Phones", "SymbolVersion", "phonemize"]
