"""Voice packs: a bundle as one file, to give to somebody who only speaks.

A pack is a zip file with these members, and no others:

    pack.json                        what it is; see `pack_members.PACK_SCHEMA`
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

import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sovits_runtime.bundle.feature_cache import user_cache_folder
from sovits_runtime.bundle.file_lock import locked
from sovits_runtime.bundle.files import FileRecord, content_digest, json_text, write_folder
from sovits_runtime.bundle.manifest import MANIFEST, read_manifest
from sovits_runtime.bundle.pack_members import (
    GET_AGAIN,
    PACK_INFO,
    PACK_SUFFIX,
    SHARED,
    ZIP_START,
    check_members,
    copy_member,
    file_sets,
    has_info,
    manifest_of,
    opened,
    read_info,
    read_small,
    records_of,
)
from sovits_runtime.errors import BundleError
from sovits_runtime.machine.json_file import LFS_REMEDY, is_lfs_pointer, open_regular


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
        begins_as_zip = file.read(len(ZIP_START)) == ZIP_START
    if begins_as_zip and (path.suffix == PACK_SUFFIX or has_info(path)):
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
    with opened(pack) as archive:
        info = read_info(archive)
        digest = str(info["digest"])
        folder = packs_folder() / digest[:32]
        manifest = _manifest_of_all(archive, folder, digest)
        if manifest is None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with locked(folder.with_name(f".{folder.name}.unpacked.lock")):
                manifest = _manifest_of_all(archive, folder, digest)  # another process may have just done it
                if manifest is None:
                    manifest = _unpack(archive, folder, digest, size=pack.stat().st_size)
        _link_parts(folder, manifest)
    return folder


def packs_folder() -> Path:
    """Where packs are unpacked, in the user's cache."""
    return user_cache_folder() / "packs"


def _unpack(archive: zipfile.ZipFile, folder: Path, digest: str, *, size: int) -> Mapping[str, Any]:
    """Writes the bundle, and the shared parts that the pack holds; returns the manifest.

    Args:
        folder: The bundle's, in the cache.
        digest: What `pack.json` says that the bundle's is.
        size: Of the pack, in bytes.
    """
    manifest = manifest_of(archive)
    if manifest["digest"] != digest:
        raise BundleError(
            f"{PACK_INFO} is of another bundle than {MANIFEST}; the pack was changed, {GET_AGAIN}"
        )
    expected = check_members(archive, manifest, size=size)
    free = shutil.disk_usage(folder.parent).free
    if expected > free:
        raise BundleError(
            f"unpacks to {expected} bytes, and {folder.parent} has {free} free; make room, or name another folder with "
            "$SOVITS_EXPORT_CACHE"
        )
    for place, records in file_sets(archive, manifest):
        target = _part_folder(place, records) if place else folder
        whole = _are_whole(target, place, records) if place else _whole_manifest(folder, digest) is not None
        if not whole:
            with write_folder(target) as part:
                _extract(archive, place, records, part)
    return manifest


def _extract(archive: zipfile.ZipFile, place: str, records: Mapping[str, FileRecord], folder: Path) -> None:
    """Writes the files of the bundle, or of a shared part, and their manifest."""
    for name, record in records.items():
        target = folder / (name.removeprefix(place))
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            copy_member(archive, name, record, file)
    if not place:
        (folder / MANIFEST).write_bytes(read_small(archive, MANIFEST))
        return
    files = {name.removeprefix(place): record.to_json() for name, record in records.items()}
    (folder / MANIFEST).write_text(json_text({"files": files}), encoding="utf-8")


def _part_folder(place: str, records: Mapping[str, FileRecord]) -> Path:
    """Where a shared part lies in the cache: by what is in it, whatever a stranger calls it."""
    files = {name.removeprefix(place): record.sha256 for name, record in records.items()}
    return packs_folder() / "parts" / content_digest(files)[:32]


def _manifest_of_all(archive: zipfile.ZipFile, folder: Path, digest: str) -> Mapping[str, Any] | None:
    """The manifest of what was unpacked before, if that is all that a pack holds and nothing of it has gone since."""
    manifest = _whole_manifest(folder, digest)
    if manifest is None:
        return None
    parts = ((place, records) for place, records in file_sets(archive, manifest) if place)
    return manifest if all(_are_whole(folder / place, place, records) for place, records in parts) else None


def _whole_manifest(folder: Path, digest: str) -> Mapping[str, Any] | None:
    """The manifest of an unpacked bundle; None where it is another one, or not whole."""
    try:
        manifest = read_manifest(folder)
    except BundleError:
        return None
    whole = manifest["digest"] == digest and _are_whole(folder, "", records_of("", manifest["files"]))
    return manifest if whole else None


def _are_whole(folder: Path, place: str, records: Mapping[str, FileRecord]) -> bool:
    return not any(record.problem(folder / name.removeprefix(place)) for name, record in records.items())


def _link_parts(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Gives an unpacked bundle the shared parts that it needs and that this cache has, of whichever pack."""
    for part in manifest["shared"].values():
        target = folder / SHARED / part["folder"]
        records = records_of("", part["files"])
        source = _part_folder("", records)
        if not _are_whole(target, "", records) and _are_whole(source, "", records):
            with write_folder(target) as new:
                for name in {*records, MANIFEST}:
                    _link(source / name, new / name)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
