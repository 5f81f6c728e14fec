"""Opens the zip that torch.save writes: its pickle read inertly, its tensors one by one when asked for."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from sovits_exporter.checkpoint.unpickle import MAX_PICKLE_BYTES, TensorRef, one_line, read_pickle
from sovits_runtime.errors import CheckpointError

_ZIP, _ZIP_TAIL = b"PK", b"\x03\x04"  # the trainer writes a version over the first part only
_OLD_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_NOT_A_CHECKPOINT = {
    b"RIFF": "a WAV file",
    b"version https://git-lfs": "a Git LFS pointer and not the file it stands for (run `git lfs pull`)",
    b"<": "a web page or XML (was it a failed download?)",
    b"{": "JSON",
    b"GGUF": "a GGUF file",
}


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
    _archive: zipfile.ZipFile
    _root: str

    def read(self, ref: TensorRef) -> torch.Tensor:
        """Returns the tensor that `ref` describes, in the file's dtype and in memory of its own.

        Raises:
            CheckpointError: Its record is missing or damaged.
        """
        data = _record(self._archive, f"{self._root}/data/{ref.storage.key}")
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
        CheckpointError: It is missing, damaged, of another kind, or asks for a global that no checkpoint
            needs. The message does not name the file: see `naming`.
    """
    start, size = _start_and_size(path)
    if start[2:4] != _ZIP_TAIL:
        raise CheckpointError(_explained(path, start, size))
    with io.BufferedReader(_RestoredFile(path)) as raw, _open_zip(raw, size) as archive:
        root = _root(archive)
        content = read_pickle(_record(archive, f"{root}/data.pkl", limit=MAX_PICKLE_BYTES))
        yield TorchFile(path, start[:2], _start_digest(path), content, archive, root)


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
        raise CheckpointError("there is no such file; check the path")
    try:
        with path.open("rb") as f:
            start, size = f.read(64), path.stat().st_size
    except OSError as e:
        raise CheckpointError(f"cannot be read ({e.strerror}); check its permissions") from e
    if not size:
        raise CheckpointError("the file is empty (0 bytes); download or copy it again")
    return start, size


@contextmanager
def _open_zip(raw: IO[bytes], size: int) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(raw)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as e:
        raise CheckpointError(
            f"starts as a checkpoint, but its {size} bytes are cut off or damaged ({one_line(e)}); "
            "download or copy it again"
        ) from e
    with archive:
        infos = archive.infolist()
        if any(i.compress_type != zipfile.ZIP_STORED or i.flag_bits & 1 for i in infos):
            raise CheckpointError(
                "holds compressed or encrypted records, which torch.save never writes; take the original file"
            )
        if sum(i.file_size for i in infos) > size:
            raise CheckpointError(f"claims to hold more than its own {size} bytes; take the original file")
        yield archive


def _root(archive: zipfile.ZipFile) -> str:
    roots = [
        name.split("/")[0]
        for name in archive.namelist()
        if name.endswith("/data.pkl") and name.count("/") == 1
    ]
    if len(roots) != 1:
        raise CheckpointError(
            f"is a zip with {len(roots)} entries called data.pkl, expected one as torch.save writes it"
        )
    order = f"{roots[0]}/byteorder"
    if order in archive.namelist() and _record(archive, order, limit=16) != b"little":
        raise CheckpointError("was written on a big-endian machine; load and save it again on a common one")
    return roots[0]


def _record(archive: zipfile.ZipFile, name: str, *, limit: int | None = None) -> bytes:
    try:
        info = archive.getinfo(name)
        if limit is not None and info.file_size > limit:
            raise CheckpointError(
                f"its record {one_line(name)} has {info.file_size} bytes, expected at most {limit}"
            )
        return archive.read(info)
    except KeyError as e:
        raise CheckpointError(
            f"its record {one_line(name)} is missing; download or copy the file again"
        ) from e
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,
    ) as e:
        if isinstance(e, CheckpointError):
            raise
        raise CheckpointError(
            f"its record {one_line(name)} is damaged ({one_line(e)}); download or copy the file again"
        ) from e


def _explained(path: Path, start: bytes, size: int) -> str:
    """Says what a file that is no torch zip seems to be; a bare pickle is read, inertly, for its globals."""
    expected = "expected a checkpoint as torch.save writes it (.ckpt or .pth)"
    for magic, kind in _NOT_A_CHECKPOINT.items():
        if start.lstrip().startswith(magic):
            return f"is {kind}, {expected}"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < size:
        return f"is a safetensors file, which carries no config; {expected}"
    with path.open("rb") as f:
        data = f.read(MAX_PICKLE_BYTES)
    if data[:1] == b"\x80" or (size == len(data) and data[-1:] == b"."):
        if read_pickle(data) == _OLD_TORCH_MAGIC:
            return "is in the format of PyTorch before 1.6; load it and save it again with a current PyTorch"
        return f"is a bare pickle, {expected}"
    return f"starts with {start[:8]!r}, {expected}"
