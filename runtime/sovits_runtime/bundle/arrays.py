"""Recorded arrays of a bundle: `.npz` files that may come from anybody, so bounded and checked, and never pickles."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.errors import BundleError, first_line
from sovits_runtime.machine.json_file import open_regular

MOST_BYTES = 1 << 30
"""Of all arrays of a file in memory: ten times those of the longest request."""
HEADER_BYTES = 4096
"""More than any header of NumPy's has that describes numbers."""
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    OverflowError,
    RuntimeError,  # encrypted, or packed in a way that Python lacks
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged `.npz` file raises."""
Kinds = Mapping[str, tuple[str, int]]
"""Name -> dtype and number of axes."""


class Arrays(dict[str, Array]):
    """Arrays by name; one that is missing is an error of ours.

    Args:
        path: The file, for messages.
        arrays: What it holds.
        remedy: What to do where one is missing.
    """

    def __init__(self, path: Path, arrays: Mapping[str, Array], *, remedy: str) -> None:
        super().__init__(arrays)
        self._path, self._remedy = path, remedy

    def __missing__(self, name: str) -> Array:
        raise BundleError(f"{self._path}: holds no array {name!r}; {self._remedy}")


def read_arrays(path: Path, kinds: Kinds, *, remedy: str) -> Arrays:
    """Reads an `.npz` file.

    Args:
        path: The file.
        kinds: What arrays of these names have to be, where they are there; others are read as they are.
        remedy: What to do where something is wrong.

    Raises:
        BundleError: It cannot be read, is larger than it can be, or holds something else.
    """
    arrays, left = {}, MOST_BYTES
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.file_size > left:
                    raise ValueError(f"its arrays take more than {MOST_BYTES} bytes")
                left -= member.file_size
                name = member.filename.removesuffix(".npy")
                with archive.open(member) as content:
                    arrays[name] = _read_array(content, member.file_size)
                _check_kind(name, arrays[name], kinds)
    except UNREADABLE as error:
        raise BundleError(f"{path}: not recorded arrays ({first_line(error)}); {remedy}") from error
    return Arrays(path, arrays, remedy=remedy)


def read_header(content: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Reads what an `.npy` says of itself: shape, whether columns come first, and type.

    Raises:
        ValueError: It says nothing that can be read.
    """
    version = npy.read_magic(content)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"an array of format {version}")
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(content, max_header_size=HEADER_BYTES)
    return header


def _read_array(content: IO[bytes], size: int) -> Array:
    """Reads one `.npy` of `size` bytes, whose header has to say how much follows."""
    shape, fortran, dtype = read_header(content)
    if dtype.kind not in "biuf":
        raise ValueError(f"an array of {dtype}, expected numbers")
    data = content.read(size)
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array {list(shape)} of {dtype} with {len(data)} bytes")
    array: Array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array.copy()


def _check_kind(name: str, array: Array, kinds: Kinds) -> None:
    dtype, axes = kinds.get(name, (str(array.dtype), array.ndim))
    if array.dtype != dtype or array.ndim != axes:
        raise ValueError(f"{name} is {array.dtype}{list(array.shape)}, expected {dtype} of {axes} axes")
