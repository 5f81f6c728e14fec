"""The members of a voice pack: which there have to be, and each of them compared while it is read.

`sovits_runtime.bundle.pack` says what a pack is.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from sovits_runtime.bundle.files import FileRecord
from sovits_runtime.bundle.manifest import MANIFEST, read_manifest
from sovits_runtime.bundle.planes import BLOCK, decode
from sovits_runtime.bundle.shape import anything, fields, one_of, text
from sovits_runtime.errors import BundleError, SovitsError, first_line
from sovits_runtime.machine.json_file import MOST_BYTES, parse_json

PACK_SUFFIX = ".sovits"
PACK_INFO, CARD = "pack.json", "README.md"
PACK_SCHEMA = 1
PLANES = ".planes"
SHARED = "shared"
KIND = "sovits-export voice"
GET_AGAIN = "get the pack again"
_INFO = fields(
    {"schema": anything, "kind": one_of((KIND,)), "name": text, "digest": text},
    {"licence": text, "made_by": text, "shared": one_of(("inside", "apart"))},
)
ZIP_START = b"PK\x03\x04"
_MOST_GROWTH, _FREE_GROWTH = 20, 64 << 20
"""How many times its own size a pack may unpack to, and what every pack may."""
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
)
"""What Python raises for a damaged or strange zip file."""


def check_pack(pack: Path) -> int:
    """Reads all of a pack and compares every digest; nothing is written.

    Returns:
        How many bytes it unpacks to.

    Raises:
        BundleError: Something is damaged, changed, missing or needless.
    """
    with opened(pack) as archive:
        manifest = manifest_of(archive)
        check_members(archive, manifest, size=pack.stat().st_size)
        total = 0
        for _, records in file_sets(archive, manifest):
            for name, record in records.items():
                copy_member(archive, name, record, None)
                total += record.bytes
    return total


@contextmanager
def opened(pack: Path) -> Iterator[zipfile.ZipFile]:
    """The zip file; what is wrong with it becomes one of our errors."""
    try:
        with zipfile.ZipFile(pack) as archive:
            yield archive
    except SovitsError as error:
        if str(error).startswith(str(pack)):
            raise
        raise BundleError(f"{pack}: {error}") from error
    except _DAMAGED as error:
        raise BundleError(f"{pack}: the voice pack is damaged ({first_line(error)}); {GET_AGAIN}") from error


def has_info(path: Path) -> bool:
    """Whether a file is a zip file that says of itself that it is a pack."""
    try:
        with zipfile.ZipFile(path) as archive:
            return PACK_INFO in archive.namelist()
    except (*_DAMAGED, OSError):
        return False


def read_info(archive: zipfile.ZipFile) -> dict[str, Any]:
    """What `pack.json` says.

    Raises:
        BundleError: It is missing, of another schema, or not what it has to be.
    """
    content = read_small(archive, PACK_INFO)
    try:
        info = parse_json(content)
        _INFO(info, "")
    except ValueError as error:
        raise BundleError(
            f"not a voice pack: {PACK_INFO} is wrong ({first_line(error)}); {GET_AGAIN}"
        ) from error
    if info["schema"] != PACK_SCHEMA:
        raise BundleError(
            f"pack schema {info['schema']}, this version reads {PACK_SCHEMA}; install a matching sovits-export"
        )
    if len(info["digest"]) != 64 or not set(info["digest"]) <= set("0123456789abcdef"):
        raise BundleError(f"not a voice pack: the digest in {PACK_INFO} is none; {GET_AGAIN}")
    return dict(info)


def read_small(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member that is JSON.

    Raises:
        BundleError: It is missing or too large.
    """
    try:
        with archive.open(name) as file:
            content = file.read(MOST_BYTES + 1)
    except KeyError as error:
        raise BundleError(f"the voice pack holds no {name}; {GET_AGAIN}") from error
    if len(content) > MOST_BYTES:
        raise BundleError(f"{name} has more than {MOST_BYTES} bytes; {GET_AGAIN}")
    return content


def manifest_of(archive: zipfile.ZipFile) -> dict[str, Any]:
    """The bundle's manifest, compared with its shape and digest."""
    with tempfile.TemporaryDirectory(prefix="sovits-pack-") as folder:
        Path(folder, MANIFEST).write_bytes(read_small(archive, MANIFEST))
        try:
            return read_manifest(Path(folder))
        except BundleError as error:
            raise BundleError(str(error).replace(f"{folder}{os.sep}", "")) from error


def copy_member(archive: zipfile.ZipFile, name: str, record: FileRecord, out: BinaryIO | None) -> None:
    """Reads a file out of the pack, and compares it.

    Args:
        name: Of the member, without `PLANES`.
        record: What the manifest says of it.
        out: Where it goes; None: nowhere.

    Raises:
        BundleError: It is another one.
    """
    digest, written = hashlib.sha256(), 0
    packed = f"{name}{PLANES}"
    as_planes = packed in archive.NameToInfo
    with archive.open(packed if as_planes else name) as file:
        for block in decode(file) if as_planes else _blocks(file):
            written += len(block)
            if written > record.bytes:
                break
            digest.update(block)
            if out is not None:
                out.write(block)
    if written != record.bytes or digest.hexdigest() != record.sha256:
        raise BundleError(f"{name} in the voice pack is not the file that its manifest lists; {GET_AGAIN}")


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def check_members(archive: zipfile.ZipFile, manifest: Mapping[str, Any], *, size: int) -> int:
    """Compares the names in a pack with those of its manifest; returns how many bytes it unpacks to.

    Raises:
        BundleError: A member is missing, needless or there twice, or the whole grows too much.
    """
    names = archive.namelist()
    sets = list(file_sets(archive, manifest))
    listed = {name for _, records in sets for name in records}
    own = {PACK_INFO, CARD, MANIFEST}
    held = {name.removesuffix(PLANES) if name.removesuffix(PLANES) in listed else name for name in names}
    if len(held) != len(names):
        raise BundleError(f"the voice pack holds a file twice; {GET_AGAIN}")
    for problem, wrong in (
        ("lacks {}, which its manifest lists", (listed | own - {CARD}) - held),
        ("holds {}, which its manifest does not list", held - listed - own),
    ):
        if wrong:
            raise BundleError(f"the voice pack {problem.format(min(wrong))}; {GET_AGAIN}")
    total = sum(record.bytes for _, records in sets for record in records.values())
    if total > _MOST_GROWTH * size + _FREE_GROWTH:
        raise BundleError(
            f"would unpack from {size} to {total} bytes, expected at most {_MOST_GROWTH} times its size; it is no "
            f"honest voice pack, {GET_AGAIN} from whom you trust"
        )
    return total


def file_sets(
    archive: zipfile.ZipFile, manifest: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, FileRecord]]]:
    """Of each shared part that the pack holds, and last of the bundle: where its files lie, and their records."""
    for part in manifest["shared"].values():
        place = f"{SHARED}/{part['folder']}/"
        if any(name.startswith(place) for name in archive.namelist()):
            yield place, records_of(place, part["files"])
    yield "", records_of("", manifest["files"])


def records_of(place: str, files: Mapping[str, Any]) -> dict[str, FileRecord]:
    """The records of a manifest by the names of members; `place` is what these begin with."""
    return {f"{place}{name}": FileRecord.from_json(record) for name, record in files.items()}
