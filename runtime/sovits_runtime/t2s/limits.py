"""Options are numbers within limits; what is not is refused by name before anything runs."""

from __future__ import annotations

import math
from numbers import Integral, Real

from sovits_runtime.errors import ShapeError, shown

LARGEST_COUNT = 2**31 - 1
"""Of counts that have no limit of their own; graphs and kernels take larger ones, users do not mean them."""


def check_count(name: str, value: object, low: int, *, high: int = LARGEST_COUNT, hint: str = "") -> None:
    """Refuses what is no whole number from `low` to `high`.

    Args:
        name: Of the option.
        value: What was given.
        low: The least that makes sense.
        high: The most.
        hint: What the message adds.

    Raises:
        ShapeError: Names the option, what it got and what it takes.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (whole and low <= int(value) <= high):  # type: ignore[call-overload]
        raise ShapeError(f"{name}: got {shown(value)}, expected a whole number of {low} to {high}{hint}")


def check_number(name: str, value: object, low: float, *, high: float, above: bool = False) -> None:
    """Refuses what is no number from `low` to `high`, NaN and infinity included; arguments as in `check_count`.

    Args:
        above: Whether `low` itself is refused.

    Raises:
        ShapeError: As `check_count`.
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    number = _float(value) if real else math.nan
    if not ((low < number if above else low <= number) and number <= high):
        least = f"above {low:g} and up to {high:g}" if above else f"of {low:g} to {high:g}"
        raise ShapeError(f"{name}: got {shown(value)}, expected a number {least}")


def _float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (OverflowError, ValueError):
        return math.inf
