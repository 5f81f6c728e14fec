"""What commands print: progress, checks, verdicts, JSON."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sovits_runtime.verify import Check


@contextlib.contextmanager
def progress_line() -> Iterator[Callable[[str, int, int], None]]:
    """Shows progress: one changing line on a terminal; elsewhere a line a step and each tenth of a long one."""
    tty = sys.stderr.isatty()
    last: tuple[str, int] | None = None

    def show(what: str, done: int, total: int) -> None:
        nonlocal last
        now = (what, 10 * done // max(total, 1))
        if tty:
            click.echo(f"\r{f'[{100 * done // max(total, 1):>3} %] {what}':<78.78}", nl=False, err=True)
        elif now != last:
            click.echo(f"[{100 * done // max(total, 1):>3} %] {what}", err=True)
        last = now

    yield show
    if tty:
        click.echo("\r" + " " * 78 + "\r", nl=False, err=True)


def show_check(check: Check) -> None:
    """Prints one check of a verification."""
    side = ">=" if check.at_least else "<="
    limit = f"{side} {check.limit:g}"
    note = f"  ({check.note})" if check.note else ""
    click.echo(
        f"  {check.name:<24} {check.value:>9.3g} {limit:<9} {check.unit:<22} {verdict(check.passed)}{note}"
    )


def verdict(passed: bool) -> str:
    """Says ok or FAILED, in colour."""
    return click.style("ok", fg="green") if passed else click.style("FAILED", fg="red")


def print_json(value: object) -> None:
    """Prints JSON for machines."""
    from sovits_runtime.drawing.page import json_text

    click.echo(json_text(value), nl=False)
