"""`sovits-export inspect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from sovits_exporter.cli.options import AS_JSON, BUNDLE, SHARED, takes
from sovits_exporter.cli.output import print_json, printable_values


@dataclass(frozen=True, kw_only=True)
class InspectOptions:
    """What to show; the attributes are the options."""

    bundle: Path
    shared: Path | None
    as_json: bool


@click.command()
@BUNDLE
@SHARED
@AS_JSON
@takes(InspectOptions)
def inspect(options: InspectOptions) -> None:
    """Show what is inside BUNDLE: versions, sources, graphs, sizes, precision, last verification."""
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.doctor.inspect_bundle import describe, describe_text

    description = describe(Bundle.open(options.bundle, shared=options.shared))
    if options.as_json:
        print_json(description)
    else:
        click.echo(describe_text(printable_values(description)))
