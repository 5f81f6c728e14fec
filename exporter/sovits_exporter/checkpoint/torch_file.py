"""Opens what torch.save writes: its pickle read inertly, its tensors one by one when asked for."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from sovits_exporter.checkpoint.inert import StorageRef, TensorRef, one_line
from sovits_exporter.checkpoint.old_torch_file import OldTorchFile
from sovits_exporter.checkpoint.other_files import EXPECTED, is_compressed, other_file, other_zip, unfinished
from sovits_exporter.checkpoint.unpickle import MAX_PICKLE_BYTES, read_pickle
from sovits_runtime.errors import CheckpointError

_ZIP, _ZIP_TAIL = b"PK", b"\x03\x04"  # the trainer writes a version over the first part only
_START = 512
_MAX_DIRECTORY_BYTES = 32 << 20
_END_RECORD, _END_RECORD_64, _LONGEST_END = b"PK\x05\x06", b"PK\x06\x06", (1 << 16) + 200


@dataclass(frozen=True)
class TorchFile:
    """An open file of torch.save.

    Attributes:
        path: Where it lies.
        header: The first two bytes as they stand: `PK`, or a version that the trainer wrote over them.
        start_digest: MD5 of the first 8192 bytes, by which the original knows the released bases.
        content: What was saved, with a `TensorRef` in place of every tensor.
    """

    path: Path
    header: bytes
    start_digest: str
    content: Any
    _stored: Callable[[StorageRef], bytes]

    def read(self, ref: TensorRef) -> torch.Tensor:
        """Returns the tensor that `ref` describes, in the file's dtype and in memory of its own.

        Raises:
            CheckpointError: Its record is missing or damaged.
        """
        data = self._stored(ref.storage)
        expected = ref.storage.numel * ref.storage.dtype.itemsize
        if len(data) != expected:
            raise CheckpointError(
                f"its record {one_line(ref.storage.key)} holds {len(data)} bytes, expected {expected}; "
                "download or copy the file again"
            )
        if not ref.numel:
            return torch.empty(ref.shape, dtype=ref.storage.dtype)
        storage = torch.frombuffer(bytearray(data), dtype=ref.storage.dtype)
        return storage.as_strided(ref.shape, ref.stride, ref.offset).contiguous()


@contextmanager
def open_torch_file(path: Path) -> Iterator[TorchFile]:
    """Opens a file of torch.save; nothing that it names is imported or run.

    Raises:
        CheckpointError: It is missing, damaged, of another kind, or asks for what only serves to run code. The message
            does not name the file: see `naming`.
    """
    start, size = _start_and_size(path)
    if start[2:4] != _ZIP_TAIL:
        with _open_other(path, start, size) as file:
            yield file
        return
    with io.BufferedReader(_RestoredFile(path)) as raw, _open_zip(path, raw, size) as archive:
        root = _root(archive)
        content = read_pickle(_record(archive, f"{root}/data.pkl", limit=MAX_PICKLE_BYTES))

        def stored(storage: StorageRef) -> bytes:
            return _record(archive, f"{root}/data/{storage.key}")

        yield TorchFile(path, start[:2], _start_digest(path), content, stored)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the file's name in front of every `CheckpointError` raised inside."""
    try:
        yield
    except CheckpointError as e:
        raise CheckpointError(f"{path}: {e}") from e


def _start_digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.md5(f.read(8192), usedforsecurity=False).hexdigest()


class _RestoredFile(io.FileIO):
    """A zip whose first two bytes read `PK`, whatever the trainer wrote over them."""

    def readinto(self, buffer: Any) -> int | None:
        """Reads into `buffer` and restores the first two bytes of the file where they are part of it."""
        at = self.tell()
        n = super().readinto(buffer)
        if n and at < len(_ZIP):
            magic = _ZIP[at : at + n]
            memoryview(buffer)[: len(magic)] = magic
        return n


def _start_and_size(path: Path) -> tuple[bytes, int]:
    if path.is_dir():
        raise CheckpointError("this is a folder, expected a checkpoint file; name the file inside it")
    if not path.is_file():
        problem = "this is no regular file" if path.exists() else "there is no such file"
        raise CheckpointError(f"{problem}; check the path")
    try:
        with path.open("rb") as f:
            start, size = f.read(_START), path.stat().st_size
    except OSError as e:
        raise CheckpointError(f"cannot be read ({e.strerror}); check its permissions") from e
    if not size:
        raise CheckpointError("the file is empty (0 bytes); download or copy it again")
    return start, size


@contextmanager
def _open_zip(path: Path, raw: IO[bytes], size: int) -> Iterator[zipfile.ZipFile]:
    _check_directory(raw, size)
    try:
        archive = zipfile.ZipFile(raw)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as e:
        raise CheckpointError(unfinished(path, size)) from e
    with archive:
        infos = archive.infolist()
        if what := other_zip(info.filename for info in infos):
            raise CheckpointError(what)
        if is_compressed(infos):
            raise CheckpointError(
                "holds compressed or encrypted records, which torch.save never writes; take the original file"
            )
        if sum(i.file_size for i in infos) > size:
            raise CheckpointError(f"claims to hold more than its own {size} bytes; take the original file")
        yield archive


def _check_directory(raw: IO[bytes], size: int) -> None:
    """Refuses a zip whose list of entries alone would fill the memory; zipfile reads the whole list."""
    raw.seek(max(0, size - _LONGEST_END))
    end = raw.read(_LONGEST_END)
    at, at_64 = end.rfind(_END_RECORD), end.rfind(_END_RECORD_64)
    length = int.from_bytes(end[at + 12 : at + 16], "little") if at >= 0 else 0
    if length == (1 << 32) - 1 and at_64 >= 0:
        length = int.from_bytes(end[at_64 + 40 : at_64 + 48], "little")
    if length > _MAX_DIRECTORY_BYTES:
        raise CheckpointError(
            f"its list of records has {length} bytes, expected at most {_MAX_DIRECTORY_BYTES}; take the original file"
        )
    raw.seek(0)


def _root(archive: zipfile.ZipFile) -> str:
    names = set(archive.namelist())
    roots = [name.split("/")[0] for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(roots) != 1:
        raise CheckpointError(
            f"is a zip with {len(roots)} entries called data.pkl, expected one as torch.save writes it; "
            "take the original file"
        )
    order = f"{roots[0]}/byteorder"
    if order in names and _record(archive, order, limit=16) != b"little":
        raise CheckpointError("was written on a big-endian machine; load and save it again on a common one")
    return roots[0]


def _record(archive: zipfile.ZipFile, name: str, *, limit: int | None = None) -> bytes:
    try:
        info = archive.getinfo(name)
        if limit is not None and info.file_size > limit:
            raise CheckpointError(
                f"its record {one_line(name)} has {info.file_size} bytes, expected at most {limit}; "
                "take the original file"
            )
        return archive.read(info)
    except KeyError as e:
        raise CheckpointError(
            f"its record {one_line(name)} is missing; download or copy the file again"
        ) from e
    except CheckpointError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,
    ) as e:
        raise CheckpointError(
            f"its record {one_line(name)} is damaged ({one_line(e)}); download or copy the file again"
        ) from e


@contextmanager
def _open_other(path: Path, start: bytes, size: int) -> Iterator[TorchFile]:
    """Opens a file as PyTorch wrote it before 1.6, or says what the file seems to be."""
    if what := other_file(path, start, size):
        raise CheckpointError(what)
    if (_ZIP + _ZIP_TAIL).startswith(start):
        raise CheckpointError(unfinished(path, size))
    with path.open("rb") as f:
        old = OldTorchFile.open(f, size)
        if old is None:
            raise CheckpointError(f"starts with {start[:8]!r}, {EXPECTED}; take the original file")
        yield TorchFile(path, start[:2], _start_digest(path), old.content, old.stored)
