"""Writes voice packs; `sovits_runtime.bundle.pack` says what one is, and opens it."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sovits_exporter.packing.card import Card, card_text
from sovits_runtime.bundle import MANIFEST, Bundle
from sovits_runtime.bundle.files import sha256_file, write_into, write_path
from sovits_runtime.bundle.pack_members import (
    CARD,
    KIND,
    PACK_INFO,
    PACK_SCHEMA,
    PACK_SUFFIX,
    PLANES,
    SHARED,
    check_pack,
)
from sovits_runtime.bundle.places import refuse_source
from sovits_runtime.bundle.planes import encode
from sovits_runtime.errors import BundleError
from sovits_runtime.machine import own_version
from sovits_runtime.machine.progress import Progress, no_progress

SharedParts = Literal["inside", "apart"]
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16
_LARGE = 1 << 30
ATTRIBUTES = f"*{PACK_SUFFIX} filter=lfs diff=lfs merge=lfs -text\n"
"""Of a folder for a hub: the pack is a large file."""


@dataclass(frozen=True, kw_only=True)
class PackRequest:
    """What to pack, and what to say of it.

    Attributes:
        bundle: An opened bundle, of any precision.
        output: The file, or with `as_folder` the folder.
        name: The voice's, in the card and in `pack.json`.
        licence: What whoever gets it may do with the voice; empty: not stated.
        shared: Whether the parts that voices share are in the pack.
        as_folder: A folder for a hub: the pack with a card.
    """

    bundle: Bundle
    output: Path
    name: str
    licence: str = ""
    shared: SharedParts = "inside"
    as_folder: bool = False


@dataclass(frozen=True)
class PackReport:
    """What was written.

    Attributes:
        path: The file or folder.
        pack: The pack itself.
        bytes: Its size.
        unpacked_bytes: What it unpacks to.
        sha256: Of the pack.
        apart: Folders of shared parts that it needs and does not hold.
    """

    path: Path
    pack: Path
    bytes: int
    unpacked_bytes: int
    sha256: str
    apart: tuple[str, ...]


def write_pack(request: PackRequest, progress: Progress = no_progress) -> PackReport:
    """Writes a pack, reads it back and compares every digest before it takes its name.

    The same bundle gives the same bytes, on the same version of zlib.

    Raises:
        BundleError: The bundle was changed or is damaged, or what was packed does not read back.
        SovitsError: The output would replace what is packed.
    """
    bundle = request.bundle
    bundle.check_files(full=True)
    refuse_source(request.output, [bundle.path])
    if not request.as_folder:
        request.output.parent.mkdir(parents=True, exist_ok=True)
        with write_path(request.output) as part:
            unpacked = _write(request, part, progress)
        return _report(request, request.output, unpacked)
    pack = f"{request.name}{PACK_SUFFIX}"
    with write_into(request.output, [".gitattributes", CARD, pack]) as folder:
        unpacked = _write(request, folder / pack, progress)
        (folder / ".gitattributes").write_text(ATTRIBUTES, encoding="utf-8")
        (folder / CARD).write_text(card_text(_card(request)), encoding="utf-8")
    return _report(request, request.output / pack, unpacked)


def file_name(name: str) -> str:
    """A name that every system takes for a file.

    Raises:
        BundleError: It is none.
    """
    if not name or name != Path(name).name or name.startswith(".") or set(name) & set('<>:"/\\|?*\0\n\r\t'):
        raise BundleError(
            f"{name!r} is no name for a pack; give one without slashes or other marks by --name"
        )
    return name


def _write(request: PackRequest, path: Path, progress: Progress) -> int:
    members = list(_members(request))
    total = sum(source.stat().st_size for _, source in members)
    with path.open("xb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(_entry(PACK_INFO), json.dumps(_info(request), ensure_ascii=False, indent=1))
            archive.writestr(_entry(CARD), card_text(_card(request)))
            archive.writestr(_entry(MANIFEST), (request.bundle.path / MANIFEST).read_bytes())
            done = 0
            for name, source in members:
                progress(f"pack {name}", done, 2 * total)
                _add(archive, name, source)
                done += source.stat().st_size
        file.flush()
        os.fsync(file.fileno())
    progress("read it back", total, 2 * total)
    unpacked = check_pack(path)
    progress("done", 2 * total, 2 * total)
    return unpacked


def _members(request: PackRequest) -> Iterator[tuple[str, Path]]:
    """Name and place of every file that is packed, shared parts first."""
    bundle = request.bundle
    if request.shared == "inside":
        for part in bundle.manifest["shared"].values():
            assert bundle.shared is not None
            for name in part["files"]:
                yield f"{SHARED}/{part['folder']}/{name}", bundle.shared / part["folder"] / name
    for name in bundle.manifest["files"]:
        yield name, bundle.path / name


def _add(archive: zipfile.ZipFile, name: str, source: Path) -> None:
    """Weights by planes and stored, since they are as small then as they get; other files deflated."""
    if not name.endswith(".weights"):
        entry = _entry(name)
        with source.open("rb") as file, archive.open(entry, "w", force_zip64=_is_large(source)) as out:
            shutil.copyfileobj(file, out, 1 << 20)
        return
    entry = _entry(f"{name}{PLANES}", zipfile.ZIP_STORED)
    with source.open("rb") as file, archive.open(entry, "w", force_zip64=_is_large(source)) as out:
        for block in encode(file):
            out.write(block)


def _is_large(source: Path) -> bool:
    return source.stat().st_size > _LARGE


def _entry(name: str, compression: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = compression
    entry.external_attr = _MODE
    entry.create_system = 3  # Unix, wherever it is written
    return entry


def _info(request: PackRequest) -> dict[str, object]:
    return {
        "schema": PACK_SCHEMA,
        "kind": KIND,
        "name": request.name,
        "digest": request.bundle.digest,
        "licence": request.licence,
        "made_by": own_version(),
        "shared": request.shared,
    }


def _apart(request: PackRequest) -> tuple[str, ...]:
    if request.shared == "inside":
        return ()
    return tuple(part["folder"] for part in request.bundle.manifest["shared"].values())


def _card(request: PackRequest) -> Card:
    return Card(
        name=request.name,
        pack=f"{request.name}{PACK_SUFFIX}" if request.as_folder else request.output.name,
        licence=request.licence,
        manifest=request.bundle.manifest,
        precision=request.bundle.precision,
        apart=_apart(request),
    )


def _report(request: PackRequest, pack: Path, unpacked: int) -> PackReport:
    return PackReport(request.output, pack, pack.stat().st_size, unpacked, sha256_file(pack), _apart(request))
