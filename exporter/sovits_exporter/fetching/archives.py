"""Archives that were fetched become folders: regular files at places inside, as many bytes as the catalog expects."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO

from sovits_exporter.fetching.errors import FetchError
from sovits_runtime.bundle.manifest import is_inside
from sovits_runtime.errors import first_line

MOST_FILES = 1000
_PIECE = 1 << 20
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
_Entry = tuple[str, int, Callable[[], IO[bytes] | None]]
"""Name, size, and what opens it."""


def unpack(archive: Path, folder: Path, *, most_bytes: int) -> None:
    """Unpacks a zip or tar.gz; a folder that all of it lies in is left out.

    Args:
        archive: The file.
        folder: An empty folder.
        most_bytes: What it may unpack to.

    Raises:
        FetchError: It is damaged, too large, or has something at a place outside.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _write(list(_zip_entries(opened)), folder, most_bytes)
        else:
            with tarfile.open(archive, "r:*") as opened_tar:
                _write(list(_tar_entries(opened_tar)), folder, most_bytes)
    except _DAMAGED as error:
        raise FetchError(
            f"{archive.name}: cannot be unpacked ({first_line(error)}); fetch it again"
        ) from error


def _zip_entries(archive: zipfile.ZipFile) -> Iterator[_Entry]:
    for entry in archive.infolist()[: MOST_FILES + 1]:
        if not entry.is_dir():
            yield entry.filename, entry.file_size, lambda entry=entry: archive.open(entry)  # type: ignore[misc]


def _tar_entries(archive: tarfile.TarFile) -> Iterator[_Entry]:
    for count, entry in enumerate(archive):
        if entry.isreg() or not entry.isdir():
            size = entry.size if entry.isreg() else -1
            yield entry.name, size, lambda entry=entry: archive.extractfile(entry)  # type: ignore[misc]
        if count > MOST_FILES:
            return


def _write(entries: list[_Entry], folder: Path, most_bytes: int) -> None:
    names = [name.removeprefix("./") for name, _, _ in entries]
    if len(entries) > MOST_FILES or sum(size for _, size, _ in entries) > most_bytes:
        raise ValueError(f"it holds more than {MOST_FILES} files or {most_bytes} bytes")
    tops = {PurePosixPath(name).parts[0] for name in names if PurePosixPath(name).parts}
    within = f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""
    for name, (_, size, opener) in zip(names, entries, strict=True):
        if not is_inside(name) or size < 0:
            raise ValueError(f"{name!r} is no regular file inside")
        target = folder / name.removeprefix(within)
        target.parent.mkdir(parents=True, exist_ok=True)
        source = opener()
        assert source is not None, name  # regular files open
        with closing(source), target.open("xb") as out:
            left = size
            while piece := source.read(min(_PIECE, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise ValueError(f"{name!r} goes on after its end")
                out.write(piece)
