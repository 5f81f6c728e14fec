"""`sovits-export pack`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from sovits_exporter.cli.options import AS_JSON, BUNDLE, NEW_PATH, SHARED, takes
from sovits_exporter.cli.output import print_json, progress_line


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """What to pack, and where; the attributes are the options."""

    bundle: Path
    shared: Path | None
    output: Path | None
    as_folder: bool
    without_shared: bool
    name: str | None
    licence: str
    as_json: bool


@click.command()
@BUNDLE
@SHARED
@click.option("-o", "--output", type=NEW_PATH, help="The pack to write [the voice's name and .sovits].")
@click.option(
    "--folder",
    "as_folder",
    is_flag=True,
    help="Write a folder for a hub: the pack, and a README that is its card.",
)
@click.option(
    "--without-shared",
    is_flag=True,
    help="Leave out the parts that voices share; whoever gets the pack needs them from another one, or beside it.",
)
@click.option("--name", help="The voice's name, for its card and its file [that of the bundle].")
@click.option("--licence", "--license", default="", help="What others may do with this voice, for the card.")
@AS_JSON
@takes(PackOptions)
def pack(options: PackOptions) -> None:
    """Pack BUNDLE into one file for somebody who only speaks; 'speak' and all other commands open it as it is.

    The pack has about half the bundle's size and loses nothing: float32 weights that are float16 numbers, as in
    official checkpoints, are stored as such. All is read back and compared before the pack takes its name.
    """
    from sovits_exporter.packing.write import PackRequest, file_name, write_pack
    from sovits_runtime.bundle import Bundle
    from sovits_runtime.bundle.pack_members import PACK_SUFFIX

    bundle = Bundle.open(options.bundle, shared=options.shared)
    name = file_name(options.name or options.bundle.resolve().name.removesuffix(PACK_SUFFIX))
    request = PackRequest(
        bundle=bundle,
        output=options.output or Path(f"{name}-pack" if options.as_folder else f"{name}{PACK_SUFFIX}"),
        name=name,
        licence=options.licence,
        shared="apart" if options.without_shared else "inside",
        as_folder=options.as_folder,
    )
    with progress_line() as progress:
        report = write_pack(request, progress)
    if options.as_json:
        print_json(asdict(report) | {"path": str(report.path), "pack": str(report.pack)})
        return
    share = report.bytes / report.unpacked_bytes
    click.echo(
        f"{report.path}: {report.bytes / 1e6:.0f} MB, unpacks to {report.unpacked_bytes / 1e6:.0f} MB ({share:.0%}); "
        "every file was read back and is the same"
    )
    if report.apart:
        click.echo(
            f"note: it needs the shared parts {', '.join(report.apart)}, which are not in it", err=True
        )
    if not options.licence:
        click.echo("note: its card says that the licence is not stated; say it with --licence", err=True)
    click.echo(f"sha256 {report.sha256}")
