"""Written text into words: kinds of rewriting, each with a name, so that it can be shown and switched off."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from re import Match
from typing import Protocol


class Finder(Protocol):
    """Replaces what it finds, as `re.Pattern` does."""

    def sub(self, repl: Callable[[Match[str]], str], string: str, /) -> str:
        """Text with every match replaced."""


Rule = tuple[Finder, "str | Callable[[Match[str]], str]"]


@dataclass(frozen=True)
class Kind:
    """One kind of thing that is written otherwise than it is said, such as times of day.

    Attributes:
        name: Lower case, with hyphens: what shows in a list of changes and switches the kind off.
        about: What is read how, in one line.
        rules: Patterns and what stands in place of a match, as `re.sub` takes them, in order.
    """

    name: str
    about: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Change:
    """A place where a text was rewritten.

    Attributes:
        kind: Name of the kind that did it.
        before: What stood there; earlier kinds may have been at work on it.
        after: What stands there now.
    """

    kind: str
    before: str
    after: str


@dataclass(frozen=True)
class Spelled:
    """A text in words and pause marks.

    Attributes:
        text: No digits, no signs.
        changes: What was rewritten, in the order in which it was done.
    """

    text: str
    changes: tuple[Change, ...] = ()


def spell(text: str, kinds: Iterable[Kind], without: Collection[str] = ()) -> Spelled:
    """Rewrite a text by kinds, one after the other.

    Args:
        text: Any text.
        kinds: In order; each sees what those before it left.
        without: Names of kinds that are left out.
    """
    changes: list[Change] = []
    for kind in kinds:
        if kind.name not in without:
            for pattern, replacement in kind.rules:
                text = _apply(text, pattern, replacement, kind=kind.name, changes=changes)
    return Spelled(text, tuple(changes))


def _apply(
    text: str,
    pattern: Finder,
    replacement: str | Callable[[Match[str]], str],
    *,
    kind: str,
    changes: list[Change],
) -> str:
    def replace(match: Match[str]) -> str:
        after = match.expand(replacement) if isinstance(replacement, str) else replacement(match)
        if after != match[0]:
            changes.append(Change(kind, match[0], after))
        return after

    return pattern.sub(replace, text)
