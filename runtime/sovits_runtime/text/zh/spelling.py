"""What is written otherwise than it is said in Mandarin, kind by kind, in the order in which it is written out."""

from __future__ import annotations

from typing import Final

from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.zh.kinds.addresses import ADDRESSES
from sovits_runtime.text.zh.kinds.arithmetic import ARITHMETIC, FRACTIONS, MINUS
from sovits_runtime.text.zh.kinds.characters import COMPATIBILITY, ROMAN_NUMERALS
from sovits_runtime.text.zh.kinds.clock import DURATIONS, SCORES, TIMES_OF_DAY
from sovits_runtime.text.zh.kinds.counters import (
    BIG_NUMBERS,
    COUNTERS,
    DECIMALS,
    LIST_NUMBERS,
    NUMBERS,
    RANGES,
)
from sovits_runtime.text.zh.kinds.dates import DATES, YEARS
from sovits_runtime.text.zh.kinds.identifiers import IDENTIFIERS, LONG_DIGITS
from sovits_runtime.text.zh.kinds.money import MONEY
from sovits_runtime.text.zh.kinds.phones import PHONE_NUMBERS
from sovits_runtime.text.zh.kinds.scripts import TRADITIONAL
from sovits_runtime.text.zh.kinds.signs import MARKS, SIGNS
from sovits_runtime.text.zh.kinds.units import PERCENT, TEMPERATURES, UNITS

KINDS: Final[tuple[Kind, ...]] = (
    LONG_DIGITS,
    COMPATIBILITY,
    TRADITIONAL,
    ADDRESSES,
    ROMAN_NUMERALS,
    LIST_NUMBERS,
    DATES,
    PHONE_NUMBERS,
    DURATIONS,
    TIMES_OF_DAY,
    SCORES,
    MONEY,
    TEMPERATURES,
    PERCENT,
    UNITS,
    IDENTIFIERS,
    ARITHMETIC,
    RANGES,
    MINUS,
    FRACTIONS,
    YEARS,
    BIG_NUMBERS,
    COUNTERS,
    DECIMALS,
    NUMBERS,
    SIGNS,
    MARKS,
)
