"""What torch.save wrote before PyTorch 1.6: pickles one after the other, then the numbers of each storage.

Source: PyTorch, torch/serialization.py, _legacy_save. Some copies of BERT and HuBERT are still of this kind.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from sovits_exporter.checkpoint.inert import StorageRef, one_line
from sovits_exporter.checkpoint.other_files import EXPECTED
from sovits_exporter.checkpoint.unpickle import MAX_PICKLE_BYTES, read_next_pickle
from sovits_runtime.errors import CheckpointError

_MAGIC = 0x1950A86A20F9469CFC6C
_COUNT_BYTES = 8


@dataclass(frozen=True)
class OldTorchFile:
    """An open file of the old kind.

    Attributes:
        content: What was saved, with a `TensorRef` in place of every tensor.
        places: Where the numbers of each storage begin, by key.
    """

    content: Any
    places: Mapping[str, int]
    _file: IO[bytes]

    @classmethod
    def open(cls, file: IO[bytes], size: int) -> OldTorchFile | None:
        """Reads everything but the numbers; None if the file is no pickle at all.

        Raises:
            CheckpointError: It is a pickle that PyTorch did not write, damaged, or asks for what serves to run code.
        """
        stream = io.BytesIO(file.read(MAX_PICKLE_BYTES))
        if not _may_be_pickle(stream.getvalue(), size):
            return None
        magic, _ = read_next_pickle(stream)
        if magic != _MAGIC:
            raise CheckpointError(f"is a bare pickle, {EXPECTED}; take the original file")
        for _ in ("protocol version", "sizes of that machine"):
            read_next_pickle(stream)
        content, storages = read_next_pickle(stream)
        keys, _ = read_next_pickle(stream)
        places = _places(file, stream.tell(), keys=keys, storages=storages, size=size)
        return cls(content, places, file)

    def stored(self, storage: StorageRef) -> bytes:
        """Returns the bytes of a storage, as far as they are there.

        Raises:
            CheckpointError: The file holds no such storage.
        """
        at = self.places.get(storage.key)
        if at is None:
            raise CheckpointError(
                f"its record {one_line(storage.key)} is missing; download or copy the file again"
            )
        self._file.seek(at)
        return self._file.read(storage.numel * storage.dtype.itemsize)


def _may_be_pickle(data: bytes, size: int) -> bool:
    return data[:1] == b"\x80" or (size == len(data) and data[-1:] == b".")


def _places(
    file: IO[bytes], at: int, *, keys: object, storages: Mapping[str, StorageRef], size: int
) -> dict[str, int]:
    """Walks over the storages: the number of their entries, then the entries."""
    places: dict[str, int] = {}
    for key in keys if isinstance(keys, list) else ():
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:
            raise CheckpointError(
                f"holds a tensor of a kind that cannot be read ({one_line(key)}), expected floats; "
                "load the file where it was made, and save it again with .float()"
            )
        file.seek(at)
        count = int.from_bytes(file.read(_COUNT_BYTES), "little")
        places[key] = at + _COUNT_BYTES
        at += _COUNT_BYTES + storage.numel * storage.dtype.itemsize
        if count != storage.numel or at > size:
            raise CheckpointError(
                f"is cut off or damaged at its record {one_line(key)} ({size} bytes, expected {at} or more); "
                "download or copy it again"
            )
    return places
