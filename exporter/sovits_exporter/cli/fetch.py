"""`sovits-export fetch`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sovits_exporter.cli.options import AS_JSON, NEW_PATH, PATH, takes
from sovits_exporter.cli.output import print_json, progress_line
from sovits_runtime.errors import printable
from sovits_runtime.machine.progress import no_progress

if TYPE_CHECKING:
    from sovits_exporter.fetching.catalog import Part
    from sovits_exporter.fetching.fetch import Plan


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """What to fetch, from whom, and where to; the attributes are the options."""

    names: tuple[str, ...]
    voice: bool
    into: Path | None
    folders: tuple[Path, ...]
    endpoints: tuple[str, ...]
    offline: bool
    yes: bool
    list_only: bool
    as_json: bool

    @property
    def folder(self) -> Path:
        """The folder of what is fetched."""
        from sovits_runtime.machine.data_folder import user_data_folder

        return self.into or user_data_folder()

    @property
    def places(self) -> tuple[Path, ...]:
        """Folders that may have the files: those of the user's, and what was fetched before to the usual one."""
        from sovits_runtime.machine.data_folder import user_data_folder

        return (*self.folders, user_data_folder()) if self.into else self.folders


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--voice", is_flag=True, help="Also the pretrained GPT and SoVITS, which speak without fine-tuning."
)
@click.option("--into", type=NEW_PATH, help="Folder to fetch into [the user's, which builds look into].")
@click.option(
    "--from",
    "folders",
    type=PATH,
    multiple=True,
    help="A folder that may have the files, such as GPT-SoVITS's; compared by digest, and taken from there first.",
)
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    help="Ask this hub and no other, such as https://hf-mirror.com; several: in this order.",
)
@click.option(
    "--offline", is_flag=True, help="Ask nobody: take what is on this machine, or say what is missing."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before fetching.")
@click.option(
    "--list", "list_only", is_flag=True, help="Show what there is, or where NAMES are, and do nothing."
)
@AS_JSON
@takes(FetchOptions)
def fetch(options: FetchOptions) -> None:
    """Fetch pretrained parts by NAMES: v1, v2, v2Pro, v2ProPlus, v3, v4, v5dev, v5turbo, text, or single parts.

    A voice pack or a folder with voices, by its path, stands for the versions of what lies there.

    For a version: what 'build' needs besides your own checkpoints. text: Open JTalk's dictionary, G2PW, NLTK's tagger
    and the language detector's model. What is on this machine already is used first. Size and licences are shown
    before anything is fetched, and you are asked.
    """
    from sovits_exporter.fetching.catalog import catalog
    from sovits_exporter.fetching.fetch import make_plan

    if not options.names:
        if not options.list_only:
            raise click.UsageError("name what to fetch, such as v2; 'sovits-export fetch --list' shows all")
        _show_catalog(options)
        return
    parts = catalog().chosen(_names(options.names), voice=options.voice)
    with progress_line() as shown:
        progress = shown if sys.stderr.isatty() else no_progress  # it rarely takes long
        plan = make_plan(
            parts,
            options.folder,
            folders=options.places,
            elsewhere=options.into is None,
            progress=progress,
        )
    if not options.as_json:
        _show_plan(plan)
    if not options.list_only:
        _carry_out(plan, options)
    if options.as_json:
        print_json(_to_json(plan, options))


def _names(asked: Sequence[str]) -> list[str]:
    """Names of the catalog; a path stands for what the voices that lie there need.

    Raises:
        CheckpointError: No voice lies at a path.
    """
    from sovits_exporter.fetching.catalog import catalog
    from sovits_exporter.folders.needs import versions_in

    names: list[str] = []
    for name in asked:
        if not name or catalog().knows(name) or not Path(name).exists():
            names.append(name)
            continue
        with progress_line() as progress:
            versions = versions_in(Path(name), progress)
        click.echo(f"{printable(name)}: a voice of {', '.join(versions)}", err=True)
        names += versions
    return names


def _carry_out(plan: Plan, options: FetchOptions) -> None:
    from sovits_exporter.fetching.fetch import carry_out, check_room, first_uses
    from sovits_exporter.fetching.settings import is_offline, network

    offline = options.offline or is_offline()
    if plan.missing and not offline:
        check_room(plan)
        _ask(plan, options)
    say = _say
    with progress_line() as progress:
        carry_out(plan, None if offline else network(options.endpoints, say), progress)
    for path, digest in first_uses(plan):
        click.secho(
            f"note: {path} has no published sha256, so the one of its first fetch is trusted from now on: {digest}",
            fg="yellow",
            err=True,
        )
    if not options.as_json:
        click.echo(f"{plan.into}: complete")


def _ask(plan: Plan, options: FetchOptions) -> None:
    """Asks before anything is fetched.

    Raises:
        UsageError: Nobody can be asked.
        Abort: The answer is no.
    """
    if options.yes:
        return
    if options.as_json or not _is_terminal():
        raise click.UsageError(
            f"would fetch about {plan.fetched_bytes / 1e6:.0f} MB; nobody can be asked here, so say --yes"
        )
    click.confirm(f"Fetch about {plan.fetched_bytes / 1e6:.0f} MB?", abort=True)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _say(line: str) -> None:
    before = "\n" if sys.stderr.isatty() else ""  # the progress line stands there
    click.secho(f"{before}note: {printable(line)}", fg="yellow", err=True)


def _show_plan(plan: Plan) -> None:
    for part in plan.parts:
        click.echo(f"{part.name:<14} {part.about_bytes / 1e6:>5.0f} MB  {part.what}; {part.licence}")
        click.echo(f"{'':<24}{printable(_state(plan, part))}")
    click.echo(f"into {printable(str(plan.into))}")
    if plan.missing:
        click.echo(f"to fetch: about {plan.fetched_bytes / 1e6:.0f} MB")
    unknown = [file.item.path for file in plan.missing if not file.sha256]
    if unknown:
        click.echo(
            f"no sha256 is published for {', '.join(unknown)}: what comes first is trusted, and recorded"
        )


def _state(plan: Plan, part: Part) -> str:
    if part.name in plan.outside:
        return f"at {plan.outside[part.name]}"
    if part.name in plan.taken:
        return f"found at {plan.taken[part.name]}"
    files = plan.of(part)
    states = {file.state for file in files}
    if states == {"there"}:
        return "there"
    if states == {"missing"}:
        return "to fetch"
    found = next((file.path for file in files if file.state == "found"), None)
    where = f"found, such as {found}" if found else "some there"
    return f"{where}; rest to fetch" if "missing" in states else where


def _show_catalog(options: FetchOptions) -> None:
    from sovits_exporter.fetching.catalog import catalog

    known = catalog()
    if options.as_json:
        print_json({"sets": known.sets, "parts": {n: [p.what, p.licence] for n, p in known.parts.items()}})
        return
    for name, parts in known.sets.items():
        size = sum(known.parts[part].about_bytes for part in parts)
        click.echo(f"{name:<12} {size / 1e6:>6.0f} MB  {', '.join(parts)}")
    click.echo("")
    for part in known.parts.values():
        click.echo(f"{part.name:<16} {part.about_bytes / 1e6:>6.0f} MB  {part.what}; {part.licence}")
    click.echo(f"\ninto {options.folder}")


def _to_json(plan: Plan, options: FetchOptions) -> dict[str, object]:
    return {
        "into": str(plan.into),
        "fetched": not options.list_only,
        "outside": {name: str(path) for name, path in plan.outside.items()},
        "files": [
            {
                "path": f.item.path,
                "part": f.item.part,
                "was": f.state,
                "place": str(f.path),
                "sha256": f.sha256,
            }
            for f in plan.files
        ],
    }
