"""Arrays out of a `.npz` file that somebody else may have written: looked at before they take memory."""

from __future__ import annotations

import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from sovits_runtime.bundle.arrays import HEADER_BYTES, read_header
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.errors import first_line

DAMAGED = (KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What zipfile and NumPy raise for a damaged file, beside ValueError and OSError."""
FILE_BYTES = 64 << 20


@dataclass(frozen=True)
class ArrayLimit:
    """What an array may be.

    Attributes:
        dtype: Its type; of "U", text, without the length.
        most: The largest size along each dimension; their number is the array's.
    """

    dtype: str
    most: tuple[int, ...]

    def check(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Raises ValueError where type, rank or size differ."""
        right = dtype.kind == "U" if self.dtype == "U" else dtype == np.dtype(self.dtype)
        if self.dtype == "U":
            right = right and dtype.itemsize <= HEADER_BYTES
        fits = len(shape) == len(self.most) and all(n <= m for n, m in zip(shape, self.most, strict=True))
        if not (right and fits):
            sizes = ", ".join(f"up to {n}" for n in self.most)
            raise ValueError(f"{name}: got {dtype}{list(shape)!s:.80}, expected {self.dtype}[{sizes}]")


def read_arrays(
    path: Path, limits: Mapping[str, ArrayLimit], *, optional: frozenset[str]
) -> dict[str, Array]:
    """Reads the arrays of a file; each is described by its header, and compared, before it is read.

    Args:
        path: The file.
        limits: What it may hold, by name.
        optional: Names that may be missing.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged, holds something else, or something is missing.
    """
    try:
        return _read_arrays(path, limits, optional)
    except DAMAGED as error:
        raise ValueError(first_line(error)) from error


def _read_arrays(path: Path, limits: Mapping[str, ArrayLimit], optional: frozenset[str]) -> dict[str, Array]:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise ValueError("it is no regular file")
        if status.st_size > FILE_BYTES:
            raise ValueError(f"it has {status.st_size} bytes, expected at most {FILE_BYTES}")
        with zipfile.ZipFile(file) as archive:
            names = [entry.filename.removesuffix(".npy") for entry in archive.infolist()[: len(limits) + 1]]
            if unknown := [name for name in names if name not in limits]:
                raise ValueError(f"it holds {unknown[0]!a:.40}")
            if missing := limits.keys() - set(names) - optional:
                raise ValueError(f"it holds no {', '.join(sorted(missing))}")
            return {name: _read(archive, name, limits[name]) for name in names}


def _read(archive: zipfile.ZipFile, name: str, limit: ArrayLimit) -> Array:
    with archive.open(f"{name}.npy") as file:
        dtype, shape, fortran = _header(file)
        limit.check(name, dtype, shape)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{name}: got {len(content)} bytes, expected {size}")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    return array.copy(order="C")  # that can be written to, as any other


def _header(file: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject or any(n < 0 for n in shape):
        raise ValueError(f"an array of {dtype}{list(shape)!s:.80}")
    return dtype, shape, fortran
