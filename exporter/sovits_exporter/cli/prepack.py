"""`sovits-export prepack`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sovits_exporter.cli.options import BUNDLE, NATIVE, SHARED
from sovits_exporter.cli.output import progress_line, show_check, verdict


@click.command()
@BUNDLE
@SHARED
@NATIVE
@click.option("--remove", is_flag=True, help="Delete what was prepacked, for whatever machine, instead.")
def prepack(bundle: Path, shared: Path | None, native: bool | None, remove: bool) -> None:
    """Keep BUNDLE's weights as the kernels of this processor read them.

    From then on the voice loads at once, and processes that speak with it share their memory. Costs disk space, up
    to twice the bundle's size, in the bundle's folder. The same samples come out. For the CPU only.
    """
    from sovits_runtime.backends.prepacked import prepack as write
    from sovits_runtime.backends.prepacked import remove_prepacked
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.verify import verify_bundle

    opened = Bundle.open(bundle, shared=shared)
    if remove:
        click.echo(f"{remove_prepacked(opened) / 1e6:.0f} MB freed")
        return
    with progress_line() as progress:
        made = write(opened, native=native, progress=progress)
    result = verify_bundle(opened, native=native, on_check=show_check)
    click.echo(verdict(result.passed) + ("" if result.passed else f": {result.failure()}"))
    if not result.passed:
        remove_prepacked(opened)
        click.echo("the prepacked graphs were removed; the bundle itself is as it was", err=True)
        sys.exit(3)
    click.echo(f"{made.folder}: {len(made.graphs)} graphs, {made.bytes / 1e6:.0f} MB")
