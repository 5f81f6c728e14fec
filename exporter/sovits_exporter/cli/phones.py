"""`sovits-export phones`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from sovits_exporter.cli.options import AS_JSON, takes
from sovits_exporter.cli.output import print_json
from sovits_exporter.cli.text_options import (
    CUT,
    LANGUAGE_NAMES,
    LANGUAGES,
    LEXICON,
    OFFICIAL,
    WITHOUT,
    read_lexicon,
)
from sovits_runtime.text.piece import TextPiece
from sovits_runtime.text.pipeline import TextFrontend
from sovits_runtime.text.symbols import SymbolVersion
from sovits_runtime.text.user_lexicon import Lexicon


@dataclass(frozen=True, kw_only=True)
class PhonesOptions:
    """What to read, and how; the attributes are the options."""

    text: str
    lang: str
    symbols: SymbolVersion
    cut: str
    official: bool
    without: tuple[str, ...]
    lexicon: Path | None
    as_json: bool


@click.command()
@click.argument("text")
@click.option("--lang", required=True, type=LANGUAGES, metavar="LANG", help=f"{LANGUAGE_NAMES}.")
@click.option(
    "--symbols",
    type=click.Choice(["v1", "v2"]),
    default="v2",
    show_default=True,
    help="v1: of v1 models only.",
)
@CUT
@OFFICIAL
@WITHOUT
@LEXICON
@AS_JSON
@takes(PhonesOptions)
def phones(options: PhonesOptions) -> None:
    """Show what a text front end makes of TEXT: pieces, languages, phones, what was rewritten and what was dropped."""
    frontend = TextFrontend(
        symbols=options.symbols,
        official=options.official,
        method=options.cut,
        without=frozenset(options.without),
        lexicon=read_lexicon(options.lexicon) or Lexicon(),
    )
    pieces = frontend.pieces(options.text, options.lang)
    if options.as_json:
        print_json([piece_json(piece) for piece in pieces])
        return
    for number, piece in enumerate(pieces, start=1):
        _print(number, piece)


def piece_json(piece: TextPiece) -> dict[str, Any]:
    """The machine-readable form of a piece."""
    stretches = [
        {
            "language": part.language,
            "norm_text": part.norm_text,
            "phones": list(part.symbols),
            "ids": part.ids.tolist(),
            "word2ph": None if part.word2ph is None else list(part.word2ph),
        }
        for part in piece.phones
    ]
    return {
        "text": piece.text,
        "phones": list(piece.symbols),
        "stretches": stretches,
        "changes": [asdict(change) for change in piece.changes],
        "confidence": piece.confidence,
        "notes": list(piece.notes),
    }


def _print(number: int, piece: TextPiece) -> None:
    sure = "" if piece.confidence == 1 else f"  (language {piece.confidence:.0%} sure)"
    click.echo(f"{number}  {piece.text}{sure}")
    for change in piece.changes:
        click.echo(f"   {change.kind}: {change.before.strip()!r} -> {change.after.strip()!r}")
    for part in piece.phones:
        if not len(part):
            continue
        rows = {
            "read as": part.norm_text,
            "phones": " ".join(part.symbols),
            "ids": " ".join(map(str, part.ids)),
        }
        if part.word2ph is not None:
            rows["word2ph"] = " ".join(map(str, part.word2ph))
        for index, (name, value) in enumerate(rows.items()):
            click.echo(f"   {part.language if index == 0 else '':<4}{name:<8} {value}")
    for note in piece.notes:
        click.secho(f"   note: {note}", fg="yellow", err=True)
