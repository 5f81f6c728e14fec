"""Parts by name: what is there, what lies elsewhere on this machine, what is missing; then all of it in its place."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from sovits_exporter.fetching.archives import unpack
from sovits_exporter.fetching.catalog import Item, Part
from sovits_exporter.fetching.download import Network, download
from sovits_exporter.fetching.errors import FetchError
from sovits_exporter.fetching.g2pw import g2pw_in, link_or_copy, put_g2pw
from sovits_exporter.fetching.local import candidates, found_by_front_end, is_named_by_digest
from sovits_exporter.fetching.records import WORK, Records
from sovits_runtime.bundle.file_lock import locked
from sovits_runtime.bundle.files import sha256_file, write_folder, write_path
from sovits_runtime.bundle.places import sync
from sovits_runtime.machine.progress import Progress, no_progress

State = Literal["there", "found", "missing"]
_G2PW = "g2pw"
_MOST_GROWTH = 2  # of an archive, over what the catalog expects


@dataclass(frozen=True)
class Wanted:
    """A file that was asked for, and where it is.

    Attributes:
        item: What it is.
        state: "there": in its place; "found": elsewhere on this machine; "missing": to be fetched.
        path: Where it is, or is to be.
        sha256: Of what was found, or expected of what is missing; empty: whatever comes first is recorded.
    """

    item: Item
    state: State
    path: Path
    sha256: str


@dataclass(frozen=True)
class Plan:
    """What has to be done.

    Attributes:
        into: The folder of what is fetched.
        parts: Those that were asked for.
        files: Each of their files.
        outside: Part -> where a text front end finds it already, which is as good.
        taken: Part -> the folder of the user's that is taken over as it is.
    """

    into: Path
    parts: tuple[Part, ...]
    files: tuple[Wanted, ...]
    outside: dict[str, Path]
    taken: dict[str, Path]

    def of(self, part: Part) -> list[Wanted]:
        """The files of a part."""
        return [file for file in self.files if file.item.part == part.name]

    @property
    def missing(self) -> list[Wanted]:
        """What has to be fetched."""
        return [file for file in self.files if file.state == "missing"]

    @property
    def fetched_bytes(self) -> int:
        """About how many bytes have to be fetched."""
        return sum(file.item.about_bytes for file in self.missing)

    @property
    def needed_bytes(self) -> int:
        """About how many bytes that takes on the disk."""
        states = {part.name: {file.state for file in self.of(part)} for part in self.parts}
        unpacked = sum(part.unpacked_bytes for part in self.parts if states[part.name] - {"there"})
        return unpacked + self.fetched_bytes


def make_plan(
    parts: Sequence[Part],
    into: Path,
    *,
    folders: Sequence[Path] = (),
    elsewhere: bool = True,
    progress: Progress = no_progress,
) -> Plan:
    """Looks for every file of some parts; nothing is changed, and nobody is asked.

    Args:
        parts: What is wanted.
        into: The folder of what is fetched.
        folders: Where files may lie besides the caches of other tools.
        elsewhere: What a text front end finds at another place is not needed in the folder.
        progress: Is told which file is compared.

    Raises:
        FetchError: Another file lies where one is to be.
    """
    records = Records(into)
    outside, taken, files = {}, {}, []
    total = sum(part.about_bytes for part in parts)
    done = 0
    for part in parts:
        for item in part.items:
            progress(f"look for {item.name}", done, total)
            done += item.about_bytes
        if part.unpacks_to and records.has_unpacked(*_archive_of(part)):
            files += [Wanted(i, "there", into / part.unpacks_to, i.sha256) for i in part.items]
        elif elsewhere and (place := found_by_front_end(part.name)) and not place.is_relative_to(into):
            outside[part.name] = place
        elif part.name == _G2PW and (place := next(filter(None, map(g2pw_in, folders)), None)):
            taken[part.name] = place
        else:
            files += [_look_for(item, part, into, folders, records) for item in part.items]
    progress("done", total, total)
    return Plan(into, tuple(parts), tuple(files), outside, taken)


def _look_for(item: Item, part: Part, into: Path, folders: Sequence[Path], records: Records) -> Wanted:
    target = into / (f"{WORK}/{item.name}" if part.unpacks_to else item.path)
    expected = item.sha256 or str(records.file(item.path).get("sha256", ""))
    if target.is_file():
        digest = sha256_file(target)
        if expected not in ("", digest):
            raise FetchError(
                f"{target}: is another file than {item.name} (sha256 {digest[:16]}..., expected {expected[:16]}...); "
                "move it away, then fetch again"
            )
        return Wanted(item, "there", target, digest)
    for path in candidates(item, folders):
        if item.bytes is not None and path.stat().st_size != item.bytes:
            continue
        digest = sha256_file(path)
        named = any(path.is_relative_to(folder) for folder in folders)
        if digest == (expected or is_named_by_digest(path)) or (named and not expected):
            return Wanted(item, "found", path, digest)
    return Wanted(item, "missing", target, expected)


def carry_out(plan: Plan, network: Network | None, progress: Progress = no_progress) -> None:
    """Puts everything in its place: what was found by a link or a copy, what is missing from the network.

    Args:
        plan: What has to be done.
        network: Who is asked; None: nobody is.
        progress: In bytes.

    Raises:
        FetchError: Something cannot be had, and why; what came before stays.
        OSError: The disk is full, or may not be written; what has come is kept, and the next fetch goes on from it.
    """
    if plan.missing and network is None:
        names = ", ".join(file.item.path for file in plan.missing)
        raise FetchError(
            f"offline, and not on this machine: {names}; give a folder that has them with --from, or fetch without "
            "--offline and $HF_HUB_OFFLINE"
        )
    check_room(plan)
    work = plan.into / WORK
    work.mkdir(parents=True, exist_ok=True)
    with locked(work / "lock"):
        records = Records(plan.into)
        counter = _Counter(progress, sum(file.item.about_bytes for file in plan.files))
        for part in plan.parts:
            if part.name in plan.taken:
                place = plan.taken[part.name]
                counter.show(f"take {place.name}", 0)
                put_g2pw(place, plan.into)
                records = Records(plan.into)
            files = plan.of(part)
            with contextlib.ExitStack() as done:
                paths = [_bring(file, part, plan.into, network, records, counter) for file in files]
                if files and part.unpacks_to and not records.has_unpacked(*_archive_of(part)):
                    done.callback(_remove, [path for path in paths if path.parent == work])
                    _unpack(part, paths, plan.into, records)
        counter.end()


def check_room(plan: Plan) -> None:
    """Refuses what the disk has no room for.

    Raises:
        FetchError: Says how much is missing.
    """
    place = next(path for path in (plan.into, *plan.into.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    if plan.needed_bytes > free:
        raise FetchError(
            f"{plan.into}: needs about {plan.needed_bytes / 1e6:.0f} MB, and the disk has {free / 1e6:.0f} MB free; "
            "make room, or choose another folder with --into"
        )


class _Counter:
    """Counts the bytes of all files for a progress line."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.before = progress, total, 0

    def show(self, what: str, size: int) -> None:
        self.progress(what, min(self.before + size, self.total), self.total)

    def end_of(self, item: Item) -> None:
        self.before += item.about_bytes

    def end(self) -> None:
        self.progress("done", self.total, self.total)


def _bring(
    file: Wanted, part: Part, into: Path, network: Network | None, records: Records, counter: _Counter
) -> Path:
    """Brings a file to its place, and notes where it is from; returns where it is now."""
    item = file.item
    target = into / (f"{WORK}/{item.name}" if part.unpacks_to else item.path)
    if file.state == "found":
        counter.show(f"take {item.name}", 0)
        _adopt(file.path, target)
        _note(records, file, target, file.sha256, str(file.path))
    elif file.state == "missing":
        assert network is not None
        show: Callable[[int], None] = partial(counter.show, f"fetch {item.name}")
        fetched = download(item, into / WORK, network, show)
        _refuse_other(file, fetched.sha256, fetched.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        sync(fetched.path)
        os.replace(fetched.path, target)
        sync(target.parent)
        _note(records, file, target, fetched.sha256, fetched.url, fetched.revision)
    elif not item.sha256 and not records.file(item.path):
        _note(records, file, file.path, file.sha256, "was there")
    counter.end_of(item)
    return file.path if file.state == "there" else target


def _note(records: Records, file: Wanted, path: Path, sha256: str, source: str, revision: str = "") -> None:
    records.add_file(
        file.item.path,
        bytes=path.stat().st_size,
        sha256=sha256,
        revision=revision,
        first_use=not file.item.sha256,
        **{"from": source},
    )


def _refuse_other(file: Wanted, digest: str, path: Path) -> None:
    """What has no published digest must stay what it was at the first fetch."""
    if file.sha256 and digest != file.sha256:
        path.unlink()
        raise FetchError(
            f"{file.item.path}: is another file than at its first fetch (sha256 {digest[:16]}..., then "
            f"{file.sha256[:16]}...); if a new release is known, remove it from {WORK}/fetched.json and fetch again"
        )


def _adopt(source: Path, target: Path) -> None:
    """Puts a file of another tool in its place: a hard link, which takes no room, or a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_path(target) as part:
        link_or_copy(source, part)


def _archive_of(part: Part) -> tuple[str, str]:
    """Where a part's archive is unpacked to, and its digest."""
    return part.unpacks_to, part.items[0].sha256


def _unpack(part: Part, paths: Sequence[Path], into: Path, records: Records) -> None:
    archive, *others = paths
    with write_folder(into / part.unpacks_to) as folder:
        unpack(archive, folder, most_bytes=_MOST_GROWTH * part.unpacked_bytes)
        for path, item in zip(others, part.items[1:], strict=True):
            shutil.copyfile(path, folder / item.name)
    records.add_unpacked(*_archive_of(part))


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def first_uses(plan: Plan) -> Iterator[tuple[str, str]]:
    """Path and digest of what has no published digest, once it is in its place."""
    records = Records(plan.into)
    for file in plan.files:
        if not file.item.sha256 and (known := records.file(file.item.path)):
            yield file.item.path, str(known["sha256"])
