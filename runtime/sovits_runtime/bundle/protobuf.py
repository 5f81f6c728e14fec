"""Messages of Protocol Buffers as they lie in a file: fields by their numbers, without the protobuf package."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def messages_of(message: bytes, field: int) -> Iterator[bytes]:
    """Yields what a field of strings, bytes or messages has, one by one."""
    return (content for number, content, _ in fields_of(message) if number == field)


def numbers_of(message: bytes, field: int) -> list[int]:
    """Values of a field of whole numbers, packed or one by one."""
    values = []
    for number, content, raw in fields_of(message):
        if number == field:
            at, end = (0, len(content)) if raw[0] & 7 == _BYTES else (1, len(raw))
            stretch = content if raw[0] & 7 == _BYTES else raw
            while at < end:
                value, at = _read_varint(stretch, at)
                values.append(value)
    return values


def floats_of(message: bytes, field: int) -> list[float]:
    """Values of a field of single floats, one by one."""
    return [struct.unpack("<f", raw[-4:])[0] for number, _, raw in fields_of(message) if number == field]


def field_with(number: int, content: bytes) -> bytes:
    """A field of a string, of bytes or of a message."""
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def fields_of(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yields number, content (of strings, bytes and messages) and the whole bytes of each field.

    Raises:
        ValueError: It is no such message, or ends in the middle of a field.
    """
    at = 0
    while at < len(message):
        start = at
        tag, at = _read_varint(message, at)
        content = b""
        wire = tag & 7
        if wire == _BYTES:
            length, at = _read_varint(message, at)
            content = message[at : at + length]
            at += length
        elif wire == _VARINT:
            _, at = _read_varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {start}; not an ONNX model")
        if at > len(message):
            raise ValueError(f"it ends in the middle of the field at byte {start}")
        yield tag >> 3, content, message[start:at]


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
