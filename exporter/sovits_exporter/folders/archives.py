"""Unpacks voice packs: zip, tar, and 7z where py7zr is installed. An archive comes from a stranger.

Only files that a voice can be made of are taken out. Their names lead to places within the folder, whatever the
archive says; links, devices and encrypted entries are refused or left out; and what is written is counted while it is
written, so that a small file cannot fill the disk.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from sovits_exporter.folders.code_pages import GBK, code_page, decoded
from sovits_exporter.folders.names import AUDIO_SUFFIXES, TEXT_SUFFIXES, WEIGHT_SUFFIXES
from sovits_runtime.errors import CheckpointError

SUFFIXES = (".zip", ".7z", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""What can be unpacked."""
FOREIGN_SUFFIXES = (".rar", ".tar.zst", ".gsppkg")
"""What cannot be unpacked, but is named."""
SPEAKER_PACKAGE = ".gsppkg"
IS_SPEAKER_PACKAGE = "is a speaker package of another program; take the .ckpt and .pth that it was made of"
_WANTED = {*AUDIO_SUFFIXES, *TEXT_SUFFIXES, *WEIGHT_SUFFIXES}
_UTF8_FLAG = 1 << 11
_ENCRYPTED = 1
_MOST_ENTRIES = 50_000
_MOST_BYTES = 16 << 30
_MOST_TEXT_BYTES = 64 << 20
"""Of a file that is not weights."""
_MOST_RATIO = 200
"""How much smaller than its content an archive may be, once it unpacks to more than `_SMALL`; weights hardly shrink."""
_SMALL = 64 << 20
_BLOCK = 1 << 20
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))}
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, NotImplementedError)


@dataclass(frozen=True)
class _Entry:
    """A file in an archive.

    Attributes:
        name: As the archive says, decoded.
        size: In bytes, as the archive says.
        open: Opens it.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive that can be unpacked."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(path: Path, folder: Path) -> None:
    """Takes out of an archive what a voice can be made of.

    Args:
        path: The archive.
        folder: Where to; made if missing.

    Raises:
        CheckpointError: It is damaged, encrypted, larger inside than it should be, names places outside of its folder,
            or py7zr is missing; or the disk has too little space.
    """
    try:
        if path.name.lower().endswith(".7z"):
            _unpack_7z(path, folder)
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _take(path, _zip_entries(path, archive), folder)
        else:
            with tarfile.open(path) as archive:
                _take(path, _tar_entries(path, archive), folder)
    except _DAMAGED as error:
        raise CheckpointError(
            f"{path}: cannot be unpacked ({error}); the download was not finished, or it is of another kind: "
            "download it again"
        ) from error


def place_in(name: str) -> PurePosixPath | None:
    """The place within a folder that an entry's name leads to; None where it leads elsewhere, or is none.

    What one system can write and another cannot, such as a device's name, is changed.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    absolute = name.startswith(("/", "\\")) or bool(PureWindowsPath(name).drive)
    if absolute or not parts or any(part == ".." or min(map(ord, part)) < 32 for part in parts):
        return None
    return PurePosixPath(*map(_writable, parts))


def _writable(part: str) -> str:
    """A part of a name as this system can write it."""
    if part.split(".")[0].rstrip(" ").lower() in _DEVICES:
        return f"_{part}"
    return _FORBIDDEN.sub("_", part).rstrip(". ") or "_" if os.name == "nt" else part


def _is_wanted(name: str) -> bool:
    return PurePosixPath(name.replace("\\", "/")).suffix.lower() in _WANTED


def _take(path: Path, entries: Iterator[_Entry], folder: Path) -> None:
    """Writes the wanted entries; what is refused or too large ends it."""
    wanted = _checked(path, entries)
    _check_space(path, folder, sum(entry.size for _, entry in wanted))
    left = _allowed(path)
    for place, entry in wanted:
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        with entry.open() as source, target.open("xb") as out:
            while block := source.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise _bomb(path, "its files are larger than they are said to be")
                out.write(block)


def _checked(path: Path, entries: Iterator[_Entry]) -> list[tuple[PurePosixPath, _Entry]]:
    """The wanted entries with the places that they go to.

    Raises:
        CheckpointError: One leads out of the folder, two go to one place, they are too many or too large, or the
            archive only holds another one.
    """
    wanted: dict[str, tuple[PurePosixPath, _Entry]] = {}
    inner = ""
    for count, entry in enumerate(entries):
        if count >= _MOST_ENTRIES:
            raise _bomb(path, f"it has more than {_MOST_ENTRIES} entries")
        place = place_in(entry.name)
        if place is None:
            raise CheckpointError(
                f"{path}: its entry {entry.name!r} leads out of its folder; take another copy of the pack"
            )
        if not _is_wanted(entry.name):
            inner = inner or (entry.name if is_archive(Path(place.name)) else "")
            continue
        if place.suffix.lower() not in WEIGHT_SUFFIXES and entry.size > _MOST_TEXT_BYTES:
            raise _bomb(path, f"its entry {entry.name!r} has {entry.size} bytes")
        if wanted.setdefault(str(place).lower(), (place, entry))[1] is not entry:
            raise CheckpointError(
                f"{path}: holds {entry.name!r} twice; unpack it yourself, and give the folder"
            )
    if sum(entry.size for _, entry in wanted.values()) > _allowed(path):
        raise _bomb(path, "it unpacks to far more than its own size")
    if inner and not any(place.suffix.lower() in WEIGHT_SUFFIXES for place, _ in wanted.values()):
        raise CheckpointError(
            f"{path}: holds no .ckpt and .pth, but another archive, {inner!r}; unpack it, and give the folder"
        )
    return list(wanted.values())


def _allowed(path: Path) -> int:
    """How many bytes an archive may unpack to."""
    return min(_MOST_BYTES, max(_SMALL, _MOST_RATIO * path.stat().st_size))


def _bomb(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: is no voice pack as people share them ({why}); if you trust it, unpack it yourself and give the "
        "folder"
    )


def _check_space(path: Path, folder: Path, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise CheckpointError(
            f"{path}: unpacks to {size >> 20} MiB, but {folder} has {free >> 20} MiB free; name a larger disk in "
            "TMPDIR, or unpack it yourself and give the folder"
        )


def _zip_entries(path: Path, archive: zipfile.ZipFile) -> Iterator[_Entry]:
    entries = archive.infolist()
    page = code_page(_stored_name(info) for info in entries if not info.flag_bits & _UTF8_FLAG)
    for info in entries:
        mode = info.external_attr >> 16
        name = _zip_name(info, page)
        if info.is_dir() or name.endswith(("/", "\\")):
            continue
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise _no_file(path, name)
        if info.flag_bits & _ENCRYPTED and _is_wanted(name):
            raise CheckpointError(
                f"{path}: is protected by a password; unpack it yourself, and give the folder"
            )
        yield _Entry(name, info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc]


def _zip_name(info: zipfile.ZipInfo, page: str) -> str:
    """The name of an entry. Without the flag of UTF-8 it is in the code page of its writer, or UTF-8 all the same."""
    if info.flag_bits & _UTF8_FLAG:
        return info.filename
    return decoded(_stored_name(info), page) or info.filename


def _stored_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("cp437", errors="replace")


def _tar_entries(path: Path, archive: tarfile.TarFile) -> Iterator[_Entry]:
    for info in archive:
        if info.isdir():
            continue
        name = _tar_name(info.name)
        if not info.isreg():
            raise _no_file(path, name)
        yield _Entry(name, info.size, lambda info=info: _opened(archive, info))  # type: ignore[misc]


def _tar_name(name: str) -> str:
    """The name of an entry; tar has no encoding, so a name in GBK comes with bytes escaped."""
    raw = name.encode("utf-8", errors="surrogateescape")
    return decoded(raw, GBK) or raw.decode("utf-8", errors="replace")


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    assert file is not None
    return file


def _no_file(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: its entry {name!r} is a link or a device, which no voice pack needs; unpack it yourself, and give "
        "the folder"
    )


def _unpack_7z(path: Path, folder: Path) -> None:
    try:
        import py7zr
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f'{path}: is a 7-Zip archive, which takes py7zr to unpack; pip install "sovits-export[7z]", or unpack it '
            "yourself and give the folder"
        ) from error
    try:
        with py7zr.SevenZipFile(path) as archive:
            if archive.needs_password():
                raise CheckpointError(
                    f"{path}: is protected by a password; unpack it yourself, and give the folder"
                )
            infos: Sequence[Any] = archive.list()
            if odd := next((info for info in infos if info.is_symlink), None):
                raise _no_file(path, odd.filename)
            entries = (_Entry(i.filename, i.uncompressed, _unopened) for i in infos if not i.is_directory)
            wanted = [(place, entry) for place, entry in _checked(path, entries) if str(place) == entry.name]
            size = sum(entry.size for _, entry in wanted)
            _check_space(path, folder, size)
            archive.extract(folder, [entry.name for _, entry in wanted])
    except (py7zr.exceptions.ArchiveError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path}: cannot be unpacked ({error}); the download was not finished, or it is of another kind: "
            "download it again"
        ) from error
    if sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) > _allowed(path):
        raise _bomb(path, "its files are larger than they are said to be")


def _unopened() -> IO[bytes]:
    raise AssertionError("py7zr writes the files of a 7-Zip archive itself")
