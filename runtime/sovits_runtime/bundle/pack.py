"""Voice packs: a bundle as one file, to give to somebody who only speaks.

A pack is a zip file with these members, and no others:

    pack.json                        what it is; see `PACK_SCHEMA`
    README.md                        a card for people; never unpacked
    manifest.json                    that of the bundle
    graphs/gpt.onnx                  each file that the manifest lists
    graphs/gpt.weights.planes        ... or its form by `sovits_runtime.bundle.planes`
    shared/KIND-DIGEST/hubert.onnx   ... and those of parts that voices share, where the pack holds them

It is unpacked once, into the user's cache, and opened from there like any bundle. Every file's sha256 is compared with
the manifest while it is written, so what another release or a stranger packed is what was built, bit for bit.

    packs/DIGEST/              the bundle, by the digest of its manifest
    packs/parts/DIGEST/        a shared part, by the digests of its files; bundles hold hard links to it
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from sovits_runtime.bundle.feature_cache import user_cache_folder
from sovits_runtime.bundle.file_lock import locked
from sovits_runtime.bundle.files import FileRecord, content_digest, json_text, write_folder
from sovits_runtime.bundle.manifest import MANIFEST, read_manifest
from sovits_runtime.bundle.planes import BLOCK, decode
from sovits_runtime.bundle.shape import anything, fields, one_of, text
from sovits_runtime.errors import BundleError, SovitsError, first_line
from sovits_runtime.machine.json_file import LFS_REMEDY, MOST_BYTES, is_lfs_pointer, open_regular, parse_json

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
_ZIP = b"PK\x03\x04"
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


def pack_in(path: Path) -> Path | None:
    """The pack that a path stands for: a file, or the only one in a folder that is no bundle; None: it is no pack.

    Raises:
        BundleError: The file is what is left of a pack.
    """
    if path.is_dir() and not (path / MANIFEST).exists():
        packs = sorted(path.glob(f"*{PACK_SUFFIX}"))
        return pack_in(packs[0]) if len(packs) == 1 else None
    if not path.is_file():
        return None
    with open_regular(path) as file:
        begins_as_zip = file.read(len(_ZIP)) == _ZIP
    if begins_as_zip and (path.suffix == PACK_SUFFIX or _has_info(path)):
        return path
    if path.suffix == PACK_SUFFIX:
        if is_lfs_pointer(path):
            raise BundleError(f"{path}: is a Git LFS pointer, not the pack itself; {LFS_REMEDY}")
        raise BundleError(f"{path}: not a voice pack, which is a zip file; {GET_AGAIN}")
    return None


def unpacked(pack: Path) -> Path:
    """Returns the folder of a pack's bundle, which is unpacked where that has not been done yet.

    Args:
        pack: As `pack_in` gives it.

    Raises:
        BundleError: The pack is damaged, changed or hostile, or there is no room for it.
    """
    with _opened(pack) as archive:
        info = read_info(archive)
        digest = str(info["digest"])
        folder = packs_folder() / digest[:32]
        if not _is_there(archive, folder, digest):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with locked(folder.with_name(f".{folder.name}.unpacked.lock")):
                if not _is_there(archive, folder, digest):  # else another process has just done it
                    _unpack(archive, folder, digest, size=pack.stat().st_size)
        _link_parts(folder)
    return folder


def check_pack(pack: Path) -> int:
    """Reads all of a pack and compares every digest; nothing is written.

    Returns:
        How many bytes it unpacks to.

    Raises:
        BundleError: Something is damaged, changed, missing or needless.
    """
    with _opened(pack) as archive:
        manifest = _manifest_of(archive)
        _check_members(archive, manifest, size=pack.stat().st_size)
        total = 0
        for _, records in _file_sets(archive, manifest):
            for name, record in records.items():
                _copy(archive, name, record, None)
                total += record.bytes
    return total


def packs_folder() -> Path:
    """Where packs are unpacked, in the user's cache."""
    return user_cache_folder() / "packs"


@contextmanager
def _opened(pack: Path) -> Iterator[zipfile.ZipFile]:
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


def _has_info(path: Path) -> bool:
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
    try:
        info = parse_json(_read_small(archive, PACK_INFO))
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


def _read_small(archive: zipfile.ZipFile, name: str) -> bytes:
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


def _manifest_of(archive: zipfile.ZipFile) -> dict[str, Any]:
    """The bundle's manifest, compared with its shape and digest."""
    with tempfile.TemporaryDirectory(prefix="sovits-pack-") as folder:
        Path(folder, MANIFEST).write_bytes(_read_small(archive, MANIFEST))
        try:
            return read_manifest(Path(folder))
        except BundleError as error:
            raise BundleError(str(error).replace(f"{folder}{os.sep}", "")) from error


def _unpack(archive: zipfile.ZipFile, folder: Path, digest: str, *, size: int) -> None:
    """Writes the bundle, and the shared parts that the pack holds.

    Args:
        folder: The bundle's, in the cache.
        digest: What `pack.json` says that the bundle's is.
        size: Of the pack, in bytes.
    """
    manifest = _manifest_of(archive)
    if manifest["digest"] != digest:
        raise BundleError(
            f"{PACK_INFO} is of another bundle than {MANIFEST}; the pack was changed, {GET_AGAIN}"
        )
    expected = _check_members(archive, manifest, size=size)
    free = shutil.disk_usage(folder.parent).free
    if expected > free:
        raise BundleError(
            f"unpacks to {expected} bytes, and {folder.parent} has {free} free; make room, or name another folder with "
            "$SOVITS_EXPORT_CACHE"
        )
    for place, records in _file_sets(archive, manifest):
        target = _part_folder(place, records) if place else folder
        whole = _are_whole(target, place, records) if place else _is_whole(folder, digest)
        if not whole:
            with write_folder(target) as part:
                _extract(archive, place, records, part)


def _extract(archive: zipfile.ZipFile, place: str, records: Mapping[str, FileRecord], folder: Path) -> None:
    """Writes the files of the bundle, or of a shared part, and their manifest."""
    for name, record in records.items():
        target = folder / (name.removeprefix(place))
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            _copy(archive, name, record, file)
    if not place:
        (folder / MANIFEST).write_bytes(_read_small(archive, MANIFEST))
        return
    files = {name.removeprefix(place): record.to_json() for name, record in records.items()}
    (folder / MANIFEST).write_text(json_text({"files": files}), encoding="utf-8")


def _copy(archive: zipfile.ZipFile, name: str, record: FileRecord, out: BinaryIO | None) -> None:
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


def _check_members(archive: zipfile.ZipFile, manifest: Mapping[str, Any], *, size: int) -> int:
    """Compares the names in a pack with those of its manifest; returns how many bytes it unpacks to.

    Raises:
        BundleError: A member is missing, needless or there twice, or the whole grows too much.
    """
    names = archive.namelist()
    sets = list(_file_sets(archive, manifest))
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


def _file_sets(
    archive: zipfile.ZipFile, manifest: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, FileRecord]]]:
    """Of each shared part that the pack holds, and last of the bundle: where its files lie, and their records."""
    for part in manifest["shared"].values():
        place = f"{SHARED}/{part['folder']}/"
        if any(name.startswith(place) for name in archive.namelist()):
            yield place, _records(place, part["files"])
    yield "", _records("", manifest["files"])


def _records(place: str, files: Mapping[str, Any]) -> dict[str, FileRecord]:
    return {f"{place}{name}": FileRecord.from_json(record) for name, record in files.items()}


def _part_folder(place: str, records: Mapping[str, FileRecord]) -> Path:
    """Where a shared part lies in the cache: by what is in it, whatever a stranger calls it."""
    files = {name.removeprefix(place): record.sha256 for name, record in records.items()}
    return packs_folder() / "parts" / content_digest(files)[:32]


def _is_there(archive: zipfile.ZipFile, folder: Path, digest: str) -> bool:
    """Whether all that a pack holds was unpacked before, and nothing of it has gone since."""
    return _is_whole(folder, digest) and all(
        _are_whole(folder / place, place, records)
        for place, records in _file_sets(archive, read_manifest(folder))
        if place
    )


def _is_whole(folder: Path, digest: str) -> bool:
    try:
        manifest = read_manifest(folder)
    except BundleError:
        return False
    return manifest["digest"] == digest and _are_whole(folder, "", _records("", manifest["files"]))


def _are_whole(folder: Path, place: str, records: Mapping[str, FileRecord]) -> bool:
    return not any(record.problem(folder / name.removeprefix(place)) for name, record in records.items())


def _link_parts(folder: Path) -> None:
    """Gives an unpacked bundle the shared parts that it needs and that this cache has, of whichever pack."""
    for part in read_manifest(folder)["shared"].values():
        target = folder / SHARED / part["folder"]
        records = _records("", part["files"])
        source = _part_folder("", records)
        if not _are_whole(target, "", records) and _are_whole(source, "", records):
            with write_folder(target) as new:
                _link([*records, MANIFEST], source, new)


def _link(names: Iterable[str], source: Path, target: Path) -> None:
    for name in names:
        try:
            os.link(source / name, target / name)
        except OSError:  # a file system without hard links
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(source / name, target / name)
