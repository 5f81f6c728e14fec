"""What commands print: progress, notes, checks, verdicts, conversions, engines, JSON.

Words that stand in a file go through `printable` or `printable_values` first. Errors have done so by themselves.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from sovits_runtime.errors import printable
from sovits_runtime.machine.progress import Progress

if TYPE_CHECKING:
    from sovits_engines.build import EngineResult
    from sovits_runtime.verify.check import Check, VerifyReport


def write_utf8() -> None:
    """Has stdout and stderr written as UTF-8 where they are a file or a pipe, whatever the code page.

    Windows writes those in the code page of the language, which lacks most names and texts, and breaks JSON for its
    readers. A terminal keeps its own encoding, and so does what PYTHONIOENCODING asked for; characters that one lacks
    are written as their numbers.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            own = stream.isatty() or bool(os.environ.get("PYTHONIOENCODING"))
            stream.reconfigure(encoding=None if own else "utf-8", errors="backslashreplace")


class LogLine(logging.Formatter):
    """Logs a line, in which words of a file cannot act on the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """The line before a traceback, if there is one."""
        return printable(super().formatMessage(record))


def printable_values(value: Any) -> Any:
    """Returns JSON values with each of their strings and keys as `printable` gives it."""
    if isinstance(value, Mapping):
        return {printable_values(key): printable_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [printable_values(item) for item in value]
    return printable(value) if isinstance(value, str) else value


@contextlib.contextmanager
def progress_line() -> Iterator[Progress]:
    """Shows progress: one changing line on a terminal; elsewhere a line a step and each tenth of a long one."""
    tty = sys.stderr.isatty()
    last: tuple[str, int] | None = None

    def show(what: str, done: int, total: int) -> None:
        nonlocal last
        what = printable(what)
        now = (what, 10 * done // max(total, 1))
        if tty:
            click.echo(f"\r{f'[{100 * done // max(total, 1):>3} %] {what}':<78.78}", nl=False, err=True)
        elif now != last:
            click.echo(f"[{100 * done // max(total, 1):>3} %] {what}", err=True)
        last = now

    yield show
    if tty:
        click.echo("\r" + " " * 78 + "\r", nl=False, err=True)


def print_json(value: object) -> None:
    """Prints JSON for machines."""
    from sovits_runtime.bundle.files import json_text

    lines = json_text(value).split("\n")
    click.echo("\n".join(map(_json_line, lines)), nl=False)


def _json_line(line: str) -> str:
    if line.isascii() and line.isprintable():
        return line
    return "".join(char if printable(char) == char else json.dumps(char)[1:-1] for char in line)


def show_notes(notes: Sequence[str]) -> None:
    """Prints what a text front end dropped or did differently."""
    for note in notes:
        click.secho(f"note: {printable(note)}", fg="yellow", err=True)


def show_problem(line: str) -> None:
    """Prints one of several things that keep a command from doing all it was asked for."""
    click.secho(printable(line), fg="red", err=True)


def verdict(passed: bool) -> str:
    """Says ok or FAILED, in colour."""
    return click.style("ok", fg="green") if passed else click.style("FAILED", fg="red")


def show_check(check: Check) -> None:
    """Prints one check of a verification."""
    side = ">=" if check.at_least else "<="
    limit = f"{side} {check.limit:g}"
    note = f"  ({printable(check.note)})" if check.note else ""
    click.echo(
        f"  {printable(check.name):<24} {check.value:>9.3g} {limit:<9} {check.unit:<22} {verdict(check.passed)}{note}"
    )


def show_whole(verification: VerifyReport | None) -> None:
    """Prints the checks of a whole bundle, if there were any."""
    if verification:
        click.echo("verification of the whole:")
        for check in verification.checks:
            show_check(check)


def show_result(verification: VerifyReport) -> None:
    """Prints whether a verification passed, and else what failed."""
    failure = "" if verification.passed else f": {printable(verification.failure())}"
    click.echo(verdict(verification.passed) + failure)


def conversion_json(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a conversion decided as JSON values; nothing of an FP32 bundle."""
    decided = manifest.get("precision", {})
    return {key: decided[key] for key in ("islands", "choices") if key in decided}


def show_conversion(manifest: Mapping[str, Any]) -> None:
    """Prints what a conversion decided, and why."""
    from sovits_runtime.doctor.inspect_bundle import choice_lines

    manifest = printable_values(manifest)
    decided = conversion_json(manifest)
    for line in choice_lines(decided.get("choices", ())):
        click.echo(line)
    if "islands" in decided:
        _show_fp32_nodes(manifest["graphs"], decided["islands"])


def _show_fp32_nodes(
    graphs: Mapping[str, Mapping[str, Any]], islands: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    click.echo(f"{'graph':<18} {'cosine':>9} {'in FP32':>8}   reasons")
    for name, nodes in islands.items():
        counts = Counter(node["reason"] for node in nodes)
        reasons = ", ".join(f"{n} {reason}" for reason, n in counts.most_common())
        cosine = graphs[name]["check"].get("cosine")
        shown = "unknown" if cosine is None else f"{cosine:.7f}"
        click.echo(f"{name:<18} {shown:>9} {len(nodes):>8}   {reasons}")


def engine_json(result: EngineResult) -> dict[str, Any]:
    """Returns one engine as JSON values."""
    return {
        **result.record.to_json(),
        "plan": str(result.record.plan),
        "found": not result.built,
        "seconds": result.seconds,
        "reason": result.reason,
    }


def show_engines(results: Sequence[EngineResult]) -> None:
    """Prints what became of each engine."""
    for r in results:
        what = f"built in {r.seconds:.1f} s" if r.built else "found"
        why = f" ({printable(r.reason)})" if r.reason else ""
        click.echo(f"{engine_title(r.record.to_json())}  {what}{why}")
    total = sum(r.record.bytes for r in results)
    built = sum(r.built for r in results)
    seconds = sum(r.seconds for r in results)
    click.echo(f"{len(results)} engines, {total / 1e6:.0f} MB; {built} built in {seconds:.1f} s")


def engine_title(record: Mapping[str, Any]) -> str:
    """Returns name, target and size of an engine, in columns."""
    record = printable_values(record)
    fields = record["ingredients"]
    target = f"{fields['capability']} {fields['flavour']} {fields['version']}"
    return f"{record['name']:<18} {target:<20} {record['bytes'] / 1e6:>8.1f} MB"
