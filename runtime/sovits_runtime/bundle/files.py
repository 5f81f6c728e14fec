"""Writes files and folders whole or not at all, and recognizes later what was written.

Content goes to a hidden name beside its target (`sovits_runtime.bundle.parts`) and is renamed when all is there: a
reader never meets half a file, and a write that fails, or a process that is killed, leaves an older file or folder as
it was. What a killed process left goes with a later write beside it.

A folder is on the disk before it takes its place, so that a loss of power leaves the older one or the new one. A single
file is so only where that is asked for: what can be made again in a moment is not worth waiting for a disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from sovits_runtime.bundle.file_lock import locked
from sovits_runtime.bundle.moving import rename
from sovits_runtime.bundle.parts import part_beside, sweep
from sovits_runtime.bundle.places import followed, naming, place_of, sync, sync_folder, take_mode
from sovits_runtime.bundle.replacing import lock_of, replace_folder
from sovits_runtime.errors import SovitsError

SMALL_FILE = 4 << 20
_CHUNK = 1 << 20
_SAMPLE_BYTES = 4096
_SAMPLES = 64
_LONGEST_VALUE = 120


@contextmanager
def write_path(target: Path) -> Iterator[Path]:
    """Yields the name of a file to make, which becomes `target` when the block ends well and is gone otherwise.

    Raises:
        OSError: The file cannot be written; names it, which a full disk does not.
    """
    sweep(target.parent, seldom=True)
    with part_beside(target) as part, naming(target, part):
        yield part
        rename(part, target)


@contextmanager
def write_file(target: Path, *, sync: bool = False) -> Iterator[BinaryIO]:
    """Opens a file for writing that takes the name `target` when the block ends well; see `write_path`.

    A link is followed, and a file that is replaced hands on its mode and owner. What is no regular file, such as a pipe
    or `/dev/null`, is written as it is.

    Args:
        target: The file.
        sync: Wait until the disk has the content before it takes its name, for what must survive a power cut.

    Raises:
        OSError: It cannot be written, or an older one may not be.
    """
    place = place_of(target)
    if place is None:
        with naming(target), open(target, "wb") as file:
            yield file
        return
    with write_path(place) as part, open(part, "xb") as file:
        take_mode(part, place)
        yield file
        if sync:
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target`, on the same disk, that is gone when the block ends."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    with part_beside(target) as folder:
        folder.mkdir()
        yield folder


@contextmanager
def write_folder(target: Path, *, keep: bool = False, move: Sequence[str] = ()) -> Iterator[Path]:
    """Yields a folder to fill, which becomes `target` when the block ends well and is gone otherwise.

    Of several that write one folder at once, each takes its place whole. A link is followed.

    Args:
        target: The folder.
        keep: What another process put at `target` meanwhile stays: for folders that are named by their content.
        move: Names in the older folder that stay, where the new one has none of that name.
    """
    target = followed(target)
    with temporary_folder(target) as folder:
        yield folder
        sync_folder(folder)
        with locked(lock_of(target)):
            if not keep or not _rename_unless_there(folder, target):
                replace_folder(target, folder, move)
            sync(target.parent)


@contextmanager
def write_into(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yields a folder to write files in, which lie in `folder` when the block ends well, and nowhere otherwise.

    A new folder appears complete; in one that exists every file is put in place in one move, the last one last, and
    other files stay.

    Args:
        folder: The folder of the files; created if missing.
        names: Their names, in order.
    """
    folder = followed(folder)
    existed = folder.exists()
    with temporary_folder(folder / "files" if existed else folder) as part:
        yield part
        if not existed:
            rename(part, folder)
            return
        for name in names:
            _put(part / name, folder / name)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes the files of a report into a folder; see `write_into`.

    Raises:
        SovitsError: The folder cannot be written.
    """
    try:
        with write_into(folder, list(files)) as part:
            for name, content in files.items():
                (part / name).write_bytes(content)
    except OSError as error:
        reason = error.strerror or error
        raise SovitsError(
            f"{folder}: the report cannot be written ({reason}); choose another folder"
        ) from error


def _put(source: Path, target: Path) -> None:
    """Moves a finished file to its place; what is there is treated as `write_file` does."""
    if place_of(target) == target:
        take_mode(source, target)
        rename(source, target)
        return
    with write_file(target) as out, source.open("rb") as file:
        shutil.copyfileobj(file, out)


def _rename_unless_there(folder: Path, target: Path) -> bool:
    """Renames a folder; False where that cannot be because there is none to keep."""
    if not target.exists():
        with contextlib.suppress(OSError):  # another process was faster
            rename(folder, target)
    return target.is_dir() and any(target.iterdir())


@dataclass(frozen=True)
class FileRecord:
    """What a file was when it was written.

    Attributes:
        bytes: Its size.
        sampled: Digest of samples; see `sampled_digest`.
        sha256: Of all of it; empty where it was not taken.
    """

    bytes: int
    sampled: str
    sha256: str = ""

    @classmethod
    def of(cls, path: Path, *, whole: bool = True) -> FileRecord:
        """Describes a file; `whole`: with the sha256 of all of it."""
        return cls(path.stat().st_size, sampled_digest(path), sha256_file(path) if whole else "")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FileRecord:
        """Reads what `to_json` gave."""
        return cls(int(value["bytes"]), str(value["sampled"]), str(value.get("sha256", "")))

    def to_json(self) -> dict[str, Any]:
        """The record as plain values."""
        whole = {"sha256": self.sha256} if self.sha256 else {}
        return {"bytes": self.bytes, **whole, "sampled": self.sampled}

    def problem(self, path: Path, *, whole: bool = False) -> str:
        """Says how a file is not the one that was written; empty when it is.

        Args:
            whole: Read every byte and compare sha256; otherwise sizes and samples are compared.
        """
        if not path.is_file():
            return "is missing"
        size = path.stat().st_size
        if size != self.bytes:
            return f"has {size} bytes, expected {self.bytes}"
        same = sha256_file(path) == self.sha256 if whole else sampled_digest(path) == self.sampled
        return "" if same else "was changed since it was built"


def file_record(path: Path) -> dict[str, Any]:
    """Describes a file for the manifest: size, sha256, and a digest of evenly spread samples for quick checks."""
    return FileRecord.of(path).to_json()


def sha256_file(path: Path) -> str:
    """sha256 of a file's content, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while block := f.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def sampled_digest(path: Path) -> str:
    """sha256 over 64 blocks spread over the file, or all of a small file: finds most damage in a millisecond."""
    size = path.stat().st_size
    if size <= SMALL_FILE:
        return sha256_file(path)
    digest = hashlib.sha256()
    with path.open("rb") as f:
        for i in range(_SAMPLES):
            f.seek((size - _SAMPLE_BYTES) * i // (_SAMPLES - 1))
            digest.update(f.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def content_digest(value: Mapping[str, Any]) -> str:
    """Digest of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def key_of(fields: Mapping[str, Any], characters: int) -> str:
    """The key of something kept: a digest of everything that it depends on.

    Args:
        fields: Everything that it depends on, as JSON.
        characters: How long the key is, which is part of the file's or folder's name.
    """
    return content_digest(fields)[:characters]


def differing(
    built: Mapping[str, Any], requested: Mapping[str, Any], names: Sequence[str] | None = None
) -> list[str]:
    """Names of the fields of two keys that differ.

    Args:
        built: What a kept file was built from and for.
        requested: What it has to be built from and for.
        names: The fields to look at; by default all of both.
    """
    return [n for n in names or sorted({*built, *requested}) if built.get(n) != requested.get(n)]


def difference(
    built: Mapping[str, Any], requested: Mapping[str, Any], names: Sequence[str] | None = None
) -> str:
    """One phrase: how a kept file differs from the requested one; see `differing`."""
    return "; ".join(
        f"{n} is {_short(requested.get(n))}, it was built for {_short(built.get(n))}"
        for n in differing(built, requested, names)
    )


def nearest_difference(built: Sequence[Mapping[str, Any]], requested: Mapping[str, Any]) -> str:
    """One phrase: how that one of some kept files differs from the requested one which differs least.

    Args:
        built: Key fields of those that can be read; where there are none, all are damaged.
        requested: Those that are wanted; other fields are not looked at.
    """
    if not built:
        return "damaged"
    names = list(requested)
    nearest = min(built, key=lambda fields: len(differing(fields, requested, names)))
    return difference(nearest, requested, names)


def first_problem(folder: Path, records: Mapping[str, FileRecord]) -> str:
    """Says which file of a folder is missing or visibly damaged; empty when all look whole. Reads samples only."""
    for name, record in records.items():
        if problem := record.problem(folder / name):
            return f"{name} {problem}"
    return ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else "none" if value is None else json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def json_text(value: Any) -> str:
    """Returns strict JSON; numbers that JSON cannot hold become the strings "nan", "inf" and "-inf"."""
    return json.dumps(_strict(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value
