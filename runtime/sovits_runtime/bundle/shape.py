"""Shapes of JSON: what a file has to hold, written down once and compared before anything of it is used.

A shape is a function that takes a value and where it stands, and raises a ValueError that says what was expected.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

Shape = Callable[[Any, str], None]

_LONGEST = 60


def anything(value: Any, at: str) -> None:
    """Whatever it is."""


def text(value: Any, at: str) -> None:
    """Text."""
    _require(isinstance(value, str), value, at, "text")


def switch(value: Any, at: str) -> None:
    """True or false."""
    _require(isinstance(value, bool), value, at, "true or false")


def number(value: Any, at: str) -> None:
    """A number; infinite ones count."""
    _require(isinstance(value, int | float) and not isinstance(value, bool), value, at, "a number")


def whole(most: int, *, least: int = 0) -> Shape:
    """A whole number within limits."""

    def check(value: Any, at: str) -> None:
        inside = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        _require(inside, value, at, f"a whole number from {least} to {most}")

    return check


def one_of(values: Collection[str]) -> Shape:
    """One of some texts."""

    def check(value: Any, at: str) -> None:
        _require(isinstance(value, str) and value in values, value, at, f"one of {', '.join(values)}")

    return check


def that(test: Callable[[str], bool], name: str) -> Shape:
    """Text that passes a test; `name` says which, for the message."""

    def check(value: Any, at: str) -> None:
        _require(isinstance(value, str) and test(value), value, at, name)

    return check


def nullable(shape: Shape) -> Shape:
    """Null, or of a shape."""

    def check(value: Any, at: str) -> None:
        if value is not None:
            shape(value, at)

    return check


def either(first: Shape, second: Shape) -> Shape:
    """Of the first shape, or else of the second."""

    def check(value: Any, at: str) -> None:
        try:
            first(value, at)
        except ValueError:
            second(value, at)

    return check


def rows(shape: Shape) -> Shape:
    """A list of any length."""

    def check(value: Any, at: str) -> None:
        _require(isinstance(value, list), value, at, "a list")
        for i, part in enumerate(value):
            shape(part, f"{at}.{i}")

    return check


def row(*shapes: Shape) -> Shape:
    """A list with an entry for each shape."""

    def check(value: Any, at: str) -> None:
        _require(isinstance(value, list) and len(value) == len(shapes), value, at, f"a list of {len(shapes)}")
        for i, (part, shape) in enumerate(zip(value, shapes, strict=True)):
            shape(part, f"{at}.{i}")

    return check


def each(shape: Shape, *, names: Shape = anything) -> Shape:
    """An object of any number of names."""

    def check(value: Any, at: str) -> None:
        _require(isinstance(value, dict), value, at, "an object")
        for name, part in value.items():
            names(name, f"a name in {at}")
            shape(part, f"{at}.{_shown(name)}")

    return check


def fields(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """An object that has some names, and may have others."""

    def check(value: Any, at: str) -> None:
        _require(isinstance(value, dict), value, at, "an object")
        inside = f"{at}." if at else ""
        for name, shape in required.items():
            if name not in value:
                raise ValueError(f"{inside}{name} is missing")
            shape(value[name], f"{inside}{name}")
        for name, shape in (optional or {}).items():
            if name in value:
                shape(value[name], f"{inside}{name}")

    return check


def _require(holds: bool, value: Any, at: str, expected: str) -> None:
    if not holds:
        raise ValueError(f"{at or 'it'} is {_shown(value)}, expected {expected}")


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    shown = value if isinstance(value, str) and value.isidentifier() else json.dumps(value)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."
