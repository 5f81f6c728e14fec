"""The two symbol tables of GPT-SoVITS: what a phone id means.

Both are built by rule. v1 is the set of all its symbols sorted by code point; v2 keeps those 322 ids and
appends the Japanese pitch marks, the Korean jamo and the Cantonese parts. Every model version but v1 uses v2.

Source: GPT-SoVITS, text/symbols.py and text/symbols2.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import product
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import TextError
from sovits_runtime.text.word_list import word_list

SymbolVersion = Literal["v1", "v2"]

UNKNOWN: Final = "UNK"
PAD: Final = "_"
MARKS: Final = ("!", "?", "…", ",", ".", "-")


ZH_INITIALS: Final = word_list("b p m f d t n l g k h j q x zh ch sh r z c s y w AA EE OO")
ZH_FINALS: Final = word_list(
    "a ai an ang ao e ei en eng er i i0 ia ian iang iao ie in ing iong ir iu"
    " o ong ou u ua uai uan uang ui un uo v van ve vn E En"
)
_ARPABET_VOWELS: Final = word_list("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW")
_ARPABET_CONSONANTS: Final = word_list("B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH")
_ARPABET_UNSTRESSED: Final = ("ER", "IH")
_JA_VOWELS: Final = tuple("aiueoIU")
_JA_CONSONANTS: Final = word_list(
    "N b by ch cl d dy f g gy h hy j k ky m my n ny p py r ry s sh t ts v w y z"
)
_KO_JAMO: Final = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎㅏㅐㅓㅔㅗㅜㅡㅣ"
_KO_PAUSES: Final = ("停", "空")
YUE_INITIALS: Final = word_list("a aa ai ak au b c d e f g gw h j k kw l m n ng o oi ok on ou p s t uk w z")
YUE_FINALS: Final = word_list(
    "a aa aai aak aam aan aang aap aat aau ai ak am an ang ap at au e ei ek eng eoi eon eot g"
    " i ik im in ing ip it iu k m n o oe oek oeng oi ok on ong ot ou p t"
    " u ui uk un ung ut yu yun yut"
)


def _toned(finals: Sequence[str], tones: str) -> list[str]:
    return [final + tone for final, tone in product(finals, tones)]


def _table_v1() -> list[str]:
    groups: tuple[Iterable[str], ...] = (
        (PAD, UNKNOWN, "SP", "SP2", "SP3"),
        MARKS,
        ZH_INITIALS,
        _toned(ZH_FINALS, "12345"),
        _toned(_ARPABET_VOWELS, "012"),
        _ARPABET_CONSONANTS,
        _ARPABET_UNSTRESSED,
        _JA_VOWELS,
        _JA_CONSONANTS,
    )
    return sorted({symbol for group in groups for symbol in group})


def _table_v2() -> list[str]:
    cantonese = {"Y" + symbol for symbol in (*YUE_INITIALS, *_toned(YUE_FINALS, "123456"))}
    return [*_table_v1(), "[", "]", *sorted((*_KO_JAMO, *_KO_PAUSES)), *sorted(cantonese)]


_TABLES: Mapping[str, Callable[[], list[str]]] = {"v1": _table_v1, "v2": _table_v2}


@lru_cache(maxsize=2)
def symbol_table(version: SymbolVersion) -> tuple[str, ...]:
    """Symbols in id order.

    Args:
        version: `"v1"` (322 symbols) or `"v2"` (732, for every model version but v1).

    Raises:
        TextError: No such table.
    """
    if version not in _TABLES:
        raise TextError(
            f'symbol table {version!r} does not exist: ask for "v1" or "v2" (all models but v1 use v2)'
        )
    return tuple(_TABLES[version]())


@lru_cache(maxsize=2)
def symbol_index(version: SymbolVersion) -> Mapping[str, int]:
    """Map from symbol to id.

    Raises:
        TextError: No such table.
    """
    return MappingProxyType({symbol: index for index, symbol in enumerate(symbol_table(version))})


def symbol_ids(symbols: Iterable[str], version: SymbolVersion) -> NDArray[np.int64]:
    """Ids of symbols; one that the table lacks gets the id of `UNK`.

    Args:
        symbols: Phones of any language, without word marks.
        version: Which table the model was trained with.

    Returns:
        Shape `(len(symbols),)`, int64.

    Raises:
        TextError: No such table.
    """
    index = symbol_index(version)
    unknown = index[UNKNOWN]
    return np.fromiter((index.get(symbol, unknown) for symbol in symbols), dtype=np.int64)
