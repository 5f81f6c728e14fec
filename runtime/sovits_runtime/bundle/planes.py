"""Weights in about half the bytes, and every bit of them back.

A file becomes blocks. In each, the bytes are looked at as float32:

    RAW      the bytes as they are: anything that is no smaller otherwise
    HALVES   every number is a float16 number, as the weights of official checkpoints are: stored as float16
    SINGLES  other float32

Of floats the byte with sign and exponent repeats a lot, and the rest looks random. So that byte of all numbers of a
block is deflated, by Huffman codes alone, which is fast; the rest is stored. A block is encoded, decoded and compared
by itself, so files of any size take a few hundred kilobytes of memory.

    block = kind (1 byte), length of the deflated plane, length of the rest (4 bytes each, little-endian), both
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 18
RAW, HALVES, SINGLES = 0, 1, 2
_HEAD = struct.Struct("<BII")
_SINGLE_BYTES, _HALF_BYTES = 4, 2


def encode(source: IO[bytes]) -> Iterator[bytes]:
    """Yields the encoded blocks of a file.

    Args:
        source: The file, open for reading.
    """
    while block := source.read(BLOCK):
        yield encode_block(block)


def decode(source: IO[bytes]) -> Iterator[bytes]:
    """Yields the blocks of a file that was encoded; each is at most `BLOCK` bytes, whatever the source holds.

    Args:
        source: What `encode` gave, one block after the other.

    Raises:
        ValueError: It is not that.
    """
    while head := source.read(_HEAD.size):
        if len(head) < _HEAD.size:
            raise ValueError("a block ends early")
        kind, first, second = _HEAD.unpack(head)
        if first > BLOCK + _HEAD.size or second > BLOCK:
            raise ValueError(f"a block of {first + second} bytes, expected at most {BLOCK}")
        content = source.read(first + second)
        if len(content) != first + second:
            raise ValueError("a block ends early")
        yield _decode_block(kind, content[:first], content[first:])


def encode_block(block: bytes) -> bytes:
    """Encodes at most `BLOCK` bytes, in the shortest of the three ways."""
    shortest = (RAW, b"", block)
    if len(block) % _SINGLE_BYTES == 0:
        kind, plane, rest = _planes(np.frombuffer(block, "<f4"))
        if len(plane) + len(rest) < len(block):
            shortest = (kind, plane, rest)
    kind, plane, rest = shortest
    return _HEAD.pack(kind, len(plane), len(rest)) + plane + rest


def _planes(numbers: NDArray[np.float32]) -> tuple[int, bytes, bytes]:
    """Kind, deflated plane, and the rest of float32 [n]."""
    with np.errstate(all="ignore"):
        halves = numbers.astype("<f2")
        exact = np.array_equal(halves.astype("<f4").view("<u4"), numbers.view("<u4"))
    columns = (halves if exact else numbers).view(np.uint8).reshape(len(numbers), -1)
    return (
        HALVES if exact else SINGLES,
        _deflated(columns[:, -1].tobytes()),
        columns[:, :-1].tobytes(),
    )


def _decode_block(kind: int, plane: bytes, rest: bytes) -> bytes:
    if kind == RAW and not plane:
        return rest
    if kind not in (HALVES, SINGLES):
        raise ValueError(f"a block of kind {kind}, expected {RAW}, {HALVES} or {SINGLES}")
    width = _HALF_BYTES if kind == HALVES else _SINGLE_BYTES
    count, odd = divmod(len(rest), width - 1)
    if odd or count * _SINGLE_BYTES > BLOCK:
        raise ValueError(f"a block of {len(rest)} bytes is no whole number of floats, or too many")
    columns = np.empty((count, width), np.uint8)
    columns[:, :-1] = np.frombuffer(rest, np.uint8).reshape(count, width - 1)
    columns[:, -1] = np.frombuffer(_inflated(plane, count), np.uint8)
    if kind == HALVES:
        with np.errstate(all="ignore"):
            return columns.view("<f2").astype("<f4").tobytes()
    return columns.tobytes()


def _deflated(plane: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_HUFFMAN_ONLY)
    return packer.compress(plane) + packer.flush()


def _inflated(plane: bytes, size: int) -> bytes:
    """The plane, whose size is known: nothing beyond it is unpacked.

    Raises:
        ValueError: It has another size, or is damaged.
    """
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(plane, size + 1)
    except zlib.error as error:
        raise ValueError(f"a block is damaged ({error})") from error
    if len(content) != size or not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"a block unpacks to other than {size} bytes")
    return content
