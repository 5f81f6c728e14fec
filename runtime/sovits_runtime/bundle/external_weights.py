"""The weights of a `.onnx` file and where they lie, read and changed without the onnx package.

Only the fields on the way there are looked at, by their numbers in onnx.proto: ModelProto.graph,
GraphProto.initializer, TensorProto.dims, .data_type, .name, .raw_data and .external_data,
StringStringEntryProto.key and .value.
Everything else is copied as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.files import write_file
from sovits_runtime.bundle.protobuf import field_with, fields_of, messages_of, numbers_of

GRAPH, INITIALIZER, DIMS, DATA_TYPE, NAME, RAW_DATA, EXTERNAL_DATA, KEY, VALUE = 7, 5, 1, 2, 8, 9, 13, 1, 2
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"
}  # fmt: skip
"""Types of weights, by TensorProto.DataType; NumPy has no others of those that the exporter writes."""
ALIGNMENT = 4096  # of what is mapped into memory
_PREPACKED = "prepacked_"


@dataclass(frozen=True)
class Stretch:
    """A stretch of a weight file."""

    offset: int
    length: int


@dataclass(frozen=True)
class External:
    """Where one weight lies.

    Attributes:
        location: The file, beside the `.onnx` file.
        raw: The weight itself.
        packed: The copies that kernels read, by ONNX Runtime's key: which operator, and a hash of the content.
    """

    location: str
    raw: Stretch
    packed: Mapping[str, tuple[Stretch, ...]]

    @classmethod
    def from_entries(cls, entries: Mapping[str, str]) -> External:
        """Reads `external_data`. A copy is `key|offset;length;alignment|...`, a part after the other."""
        packed = {}
        for name, value in entries.items():
            if name.startswith(_PREPACKED):
                key, *parts = value.split("|")
                packed[key] = tuple(Stretch(*map(int, part.split(";")[:2])) for part in parts)
        return cls(entries["location"], Stretch(int(entries["offset"]), int(entries["length"])), packed)

    def to_entries(self) -> dict[str, str]:
        """Returns `external_data`."""
        entries = {"location": self.location, "offset": str(self.raw.offset), "length": str(self.raw.length)}
        for i, (key, parts) in enumerate(self.packed.items()):
            entries[f"{_PREPACKED}{i}"] = "|".join([key, *(f"{p.offset};{p.length};0" for p in parts)])
        return entries

    def stretches(self) -> Iterator[Stretch]:
        """All stretches: the weight, then its copies."""
        yield self.raw
        for parts in self.packed.values():
            yield from parts


def read_external(model: bytes) -> dict[str, External]:
    """Returns where the weights of a model lie, by name; those within the model are left out."""
    locations = {}
    for tensor in _initializers(model):
        entries = _entries(tensor)
        if entries:
            locations[_name(tensor)] = External.from_entries(entries)
    return locations


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """Maps the weights of a graph into memory, those within the model and those in files beside it.

    Args:
        path: The `.onnx` file.

    Returns:
        Name -> the weight in its own type and shape, read-only. Weights of types that NumPy lacks are left out, and
        those that the model spells out number by number.
    """
    return {name: array for name, _, array in _mapped(path)}


def map_external(path: Path) -> dict[str, tuple[tuple[str, int], NDArray[Any]]]:
    """Maps the weights of a graph that lie outside of it into memory.

    Args:
        path: The `.onnx` file.

    Returns:
        Name -> the file beside it with the weight's first byte there, and the weight as `read_weights` gives it.
    """
    return {
        name: ((place.location, place.raw.offset), array)
        for name, place, array in _mapped(path)
        if place is not None
    }


def change_external(model: bytes, change: Mapping[str, External]) -> bytes:
    """Returns the model with other places for its weights."""

    def tensor(message: bytes) -> bytes:
        if not _entries(message):
            return message
        unchanged = b"".join(raw for field, _, raw in fields_of(message) if field != EXTERNAL_DATA)
        entries = change[_name(message)].to_entries()
        return unchanged + b"".join(
            field_with(EXTERNAL_DATA, field_with(KEY, key.encode()) + field_with(VALUE, value.encode()))
            for key, value in entries.items()
        )

    return _changed(model, GRAPH, lambda graph: _changed(graph, INITIALIZER, tensor))


def share_weights(path: Path, other: Path) -> int:
    """Lets a graph take from another's weight file what both have, byte for byte; its own file keeps the rest.

    Args:
        path: The `.onnx` file to change, with its weights in a `.weights` file of the same name.
        other: The other, in the same folder.

    Returns:
        How many bytes of weights are shared, copies included.
    """
    model = path.read_bytes()
    theirs = read_external(other.read_bytes())
    own_file = path.with_suffix(".weights")
    places: dict[str, External] = {}
    shared = 0
    with (
        write_file(own_file) as rest,
        own_file.open("rb") as own,
        other.with_suffix(".weights").open("rb") as their,
    ):

        def same(a: Stretch, b: Stretch) -> bool:
            own.seek(a.offset)
            their.seek(b.offset)
            return a.length == b.length and own.read(a.length) == their.read(b.length)

        def copied(stretch: Stretch) -> Stretch:
            rest.write(bytes(-rest.tell() % ALIGNMENT))
            moved = replace(stretch, offset=rest.tell())
            own.seek(stretch.offset)
            rest.write(own.read(stretch.length))
            return moved

        for name, ours in read_external(model).items():
            match = theirs.get(name)
            if (
                match is not None
                and list(match.packed) == list(ours.packed)
                and len(list(match.stretches())) == len(list(ours.stretches()))
                and all(map(same, ours.stretches(), match.stretches()))
            ):
                places[name] = match
                shared += sum(stretch.length for stretch in match.stretches())
            else:
                packed = {key: tuple(map(copied, parts)) for key, parts in ours.packed.items()}
                places[name] = replace(ours, raw=copied(ours.raw), packed=packed)
    path.write_bytes(change_external(model, places))
    return shared


def _mapped(path: Path) -> Iterator[tuple[str, External | None, NDArray[Any]]]:
    """Yields the name of each weight, its place where that is another file, and the weight."""
    for tensor in _initializers(path.read_bytes()):
        (number,), shape = numbers_of(tensor, DATA_TYPE), tuple(numbers_of(tensor, DIMS))
        raw, entries = b"".join(messages_of(tensor, RAW_DATA)), _entries(tensor)
        if number not in DTYPES or not (raw or entries):
            continue
        dtype = np.dtype(DTYPES[number])
        if entries:
            place = External.from_entries(entries)
            file = path.with_name(place.location)
            yield _name(tensor), place, np.memmap(file, dtype, "r", place.raw.offset, shape)
        else:
            yield _name(tensor), None, np.frombuffer(raw, dtype).reshape(shape)


def _initializers(model: bytes) -> Iterator[bytes]:
    for graph in messages_of(model, GRAPH):
        yield from messages_of(graph, INITIALIZER)


def _name(tensor: bytes) -> str:
    return b"".join(messages_of(tensor, NAME)).decode()


def _entries(tensor: bytes) -> dict[str, str]:
    return {
        b"".join(messages_of(entry, KEY)).decode(): b"".join(messages_of(entry, VALUE)).decode()
        for entry in messages_of(tensor, EXTERNAL_DATA)
    }


def _changed(message: bytes, field: int, change: Callable[[bytes], bytes]) -> bytes:
    """Applies `change` to every message in a field."""
    return b"".join(
        field_with(field, change(content)) if number == field else raw
        for number, content, raw in fields_of(message)
    )
