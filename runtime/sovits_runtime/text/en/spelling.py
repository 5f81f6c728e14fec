"""The kinds of rewriting of English, in the order in which they apply."""

from __future__ import annotations

from typing import Final

from sovits_runtime.text.en import (
    abbreviations,
    addresses,
    arithmetic,
    codes,
    counts,
    dates,
    fold,
    fractions,
    marks,
    money,
    ranges,
    roman,
    times,
    units,
    words,
)
from sovits_runtime.text.spelling import Kind

KINDS: Final[tuple[Kind, ...]] = (
    *fold.KINDS,
    *addresses.KINDS,
    arithmetic.LIST_NUMBERS,
    times.TIMES_OF_DAY,
    *abbreviations.KINDS,
    *roman.KINDS,
    *dates.KINDS,
    *codes.KINDS,
    arithmetic.ARITHMETIC,
    *money.KINDS,
    ranges.RANGES,
    times.DURATIONS,
    *units.KINDS,
    fractions.FRACTIONS,
    fractions.ORDINALS,
    arithmetic.POWERS,
    counts.YEARS,
    counts.BIG_NUMBERS,
    counts.NUMBERS,
    *words.KINDS,
    *marks.KINDS,
)
