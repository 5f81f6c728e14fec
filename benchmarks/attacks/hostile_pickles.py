"""Pickles written by hand, each to make its reader slow, fill its memory, crash it, or run something."""

from __future__ import annotations

import os
import pickle
import random
import struct
from collections.abc import Iterator
from pathlib import Path

MERSENNE = (1 << 61) - 1
"""Integers that are a multiple of it have one hash value in Python."""

DICT, LIST, SET, TUPLE, NONE, MARK, STOP = b"}", b"]", b"\x8f", b")", b"N", b"(", b"."
SETITEMS, APPENDS, BUILD, REDUCE, MAKE = b"u", b"e", b"b", b"R", b"\x81"


class Payload:
    """Makes a folder when it is unpickled by anything that runs pickles."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.marker),)


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return (
        b"\x8a" + bytes([len(data)]) + data
        if len(data) < 256
        else b"\x8b" + struct.pack("<i", len(data)) + data
    )


def put(index: int) -> bytes:
    return b"r" + struct.pack("<I", index)


def get(index: int) -> bytes:
    return b"j" + struct.pack("<I", index)


def name(full: str) -> bytes:
    module, _, last = full.rpartition(".")
    return f"c{module}\n{last}\n".encode()


def tensor(
    shape: tuple[int, ...], stride: tuple[int, ...], *, stored: int, offset: int = 0, kind: str = "Float"
) -> bytes:
    sizes = (MARK + b"".join(map(integer, part)) + b"t" for part in (shape, stride))
    storage = (
        MARK
        + text("storage")
        + name(f"torch.{kind}Storage")
        + text("0")
        + text("cpu")
        + integer(stored)
        + b"tQ"
    )
    body = (
        storage
        + integer(offset)
        + b"".join(sizes)
        + b"\x89"
        + name("collections.OrderedDict")
        + TUPLE
        + REDUCE
    )
    return name("torch._utils._rebuild_tensor_v2") + MARK + body + b"t" + REDUCE


def mapping(items: dict[str, bytes]) -> bytes:
    return DICT + MARK + b"".join(text(key) + value for key, value in items.items()) + SETITEMS


GOOD = tensor((2,), (1,), stored=2)


def content(**parts: bytes) -> bytes:
    """A checkpoint whose parts are the given programs."""
    good = {"weight": mapping({"model.bert_proj.bias": GOOD}), "config": DICT, "info": text("x")}
    return b"\x80\x02" + mapping(good | parts) + STOP


def everywhere(label: str, program: bytes) -> Iterator[tuple[str, bytes]]:
    """The program as the whole content, and in every place of a checkpoint."""
    yield f"{label}, alone", b"\x80\x02" + program + STOP
    for place in ("weight", "config", "info", "lora_rank", "optimizer_states"):
        yield f"{label}, as {place}", content(**{place: program})
    yield f"{label}, as a weight", content(weight=mapping({"model.bert_proj.bias": program}))
    yield f"{label}, as a size", content(config=mapping({"model": mapping({"embedding_dim": program})}))


def programs(marker: Path, *, scale: int) -> Iterator[tuple[str, bytes]]:
    """Pickles by what they try.

    Args:
        marker: A folder that appears where a payload ran.
        scale: How many items, copies or bytes the largest have.
    """
    for label, program in (
        *_collisions(scale),
        *_copies(scale),
        *_deep(scale),
        *_words(scale),
        *_floods(scale),
    ):
        yield from everywhere(label, program)
    for label, program in _shapes():
        yield label, content(weight=mapping({"model.bert_proj.bias": program}))
    yield from _payloads(marker)


def _collisions(scale: int) -> Iterator[tuple[str, bytes]]:
    keys = b"".join(integer(k * MERSENNE) + NONE for k in range(1, scale // 20))
    yield "keys of one hash value", DICT + MARK + keys + SETITEMS
    yield (
        "members of one hash value",
        SET + MARK + b"".join(integer(k * MERSENNE) for k in range(scale // 20)) + b"\x90",
    )
    memo = b"".join(b"p%d\n" % (k * MERSENNE) for k in range(scale // 20))
    yield "memo of one hash value", NONE + memo


def _copies(scale: int) -> Iterator[tuple[str, bytes]]:
    pairs = (
        MARK
        + b"".join(b"(" + text(str(k)) + NONE + b"t" for k in range(scale // 20))
        + b"l"
        + put(1)
        + b"\x85"
    )
    copy = name("collections.OrderedDict") + get(2) + REDUCE
    yield "dicts copied by a call", pairs + put(2) + b"0" + LIST + MARK + copy * (scale // 200) + APPENDS
    state = DICT + MARK + b"".join(text(str(k)) + NONE for k in range(scale // 20)) + SETITEMS + put(1)
    copy = name("utils.HParams") + TUPLE + MAKE + get(1) + BUILD
    yield "dicts copied as a state", state + b"0" + LIST + MARK + copy * (scale // 200) + APPENDS
    one = MARK + b"(" + text("k") + NONE + b"tl" + b"\x85" + put(2) + b"0"
    copy = name("collections.OrderedDict") + get(2) + REDUCE
    yield "dicts of one key copied", one + LIST + MARK + copy * (scale // 20) + APPENDS
    items = LIST + put(1) + MARK + NONE * (scale // 20) + APPENDS
    yield "a list added to many times", items + (MARK + NONE * 100 + APPENDS) * (scale // 200)


def nested(levels: int) -> bytes:
    """A list of ten times a list of ten times a list: 10^levels in all, from a few bytes."""
    level = LIST + put(1) + MARK + get(0) * 10 + APPENDS + put(0) + b"0"
    return LIST + put(0) + b"0" + level * levels + get(0)


def _deep(scale: int) -> Iterator[tuple[str, bytes]]:
    for levels in (8, 12, 100):
        yield f"lists in lists, 10^{levels} in all", nested(levels)
    start = NONE + put(0) + b"0"
    yield "lists in lists, one each", LIST * (scale // 10) + b"a" * (scale // 10 - 1)
    yield "tuples in tuples", TUPLE + b"\x85" * (scale // 10)
    yield (
        "dicts in dicts",
        start + (DICT + text("a") + get(0) + b"s" + put(0) + b"0") * (scale // 100) + get(0),
    )
    yield "a list in itself", LIST + put(0) + get(0) + b"a"
    yield "a dict in itself", DICT + put(0) + text("a") + get(0) + b"s"
    placed = name("a.B") + get(0) + b"\x85" + REDUCE + put(0) + b"0"
    yield "placeholders in placeholders", start + placed * (scale // 100) + get(0)


def _words(scale: int) -> Iterator[tuple[str, bytes]]:
    word = text("x" * scale) + put(0)
    yield "one long word many times", LIST + MARK + word + get(0) * (scale // 200) + APPENDS
    yield (
        "long names many times",
        LIST + MARK + word + b"0" + (get(0) + get(0) + b"\x93") * (scale // 200) + APPENDS,
    )
    yield "a long word", text("\x1b[2J\nerror: all good\n" * (scale // 20))
    yield "a long number", integer((1 << 8 * min(scale, 1 << 20)) - 1)
    yield "a long number in decimals", b"L" + b"9" * min(scale, 1 << 20) + b"L\n"
    yield "a word of wide letters", text("x" * scale + "\U0001f600")
    yield "a number that is none", b"G" + struct.pack(">d", float("nan"))


def _floods(scale: int) -> Iterator[tuple[str, bytes]]:
    for label, opcode in {"dicts": DICT, "lists": LIST, "sets": SET, "nones": NONE, "marks": MARK}.items():
        yield f"{label} without end", opcode * (8 * scale)
    yield "copies of the top without end", NONE + b"2" * (8 * scale)
    ref = GOOD[:-1]  # the arguments lie below, the call is repeated
    yield (
        "tensors without end",
        ref + put(1) + b"0" + (name("torch._utils._rebuild_tensor_v2") + get(1) + REDUCE) * (scale // 30),
    )


def _shapes() -> Iterator[tuple[str, bytes]]:
    for size in (1 << 30, 1 << 40, 1 << 47, 1 << 62, 1 << 70, -1, 10**4000):
        yield f"a tensor of {size.bit_length()} bits from one number", tensor((size,), (0,), stored=1)
        yield f"a storage of {size.bit_length()} bits", tensor((size,), (1,), stored=size)
        yield f"a stride of {size.bit_length()} bits", tensor((2,), (size,), stored=2)
        yield f"an offset of {size.bit_length()} bits", tensor((2,), (1,), stored=2, offset=size)
    yield "nine axes", tensor((1,) * 9, (1,) * 9, stored=1)
    yield "a hundred thousand axes", tensor((1,) * 100_000, (1,) * 100_000, stored=1)
    yield "no axes", tensor((), (), stored=1)
    yield "fewer strides than sizes", tensor((2, 2), (1,), stored=4)
    for kind in ("QInt8", "ComplexFloat", "Bool", "Untyped", "Long", "No"):
        yield f"numbers of {kind}", tensor((2,), (1,), stored=2, kind=kind)


def _payloads(marker: Path) -> Iterator[tuple[str, bytes]]:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for place in ("weight", "config", "info"):
            yield (
                f"a payload as {place}, protocol {protocol}",
                pickle.dumps({"weight": {}, "config": {}, "info": "", place: Payload(marker)}, protocol),
            )
    command = text(f"mkdir {marker}") + b"\x85" + REDUCE
    chain = (
        name("__builtin__.getattr") + b"(" + name("torch.serialization") + text("os") + b"tR" + put(0) + b"0"
    )
    chain += name("__builtin__.getattr") + b"(" + get(0) + text("system") + b"tR"
    for label, program in {
        "system": name("os.system") + command,
        "eval": name("builtins.eval") + text(f"__import__('os').mkdir({str(marker)!r})") + b"\x85" + REDUCE,
        "through another module": name("torch.serialization.os.system") + command,
        "through getattr": b"0".join(
            [chain, name("__builtin__.getattr") + b"(" + NONE + text("system") + b"tR"]
        )
        + command,
        "by an old instance": b"(" + text(f"mkdir {marker}") + b"ios\nsystem\n",
        "by a state": name("builtins.object")
        + TUPLE
        + MAKE
        + mapping({"__class__": name("os.system")})
        + BUILD,
    }.items():
        yield from everywhere(f"a payload {label}", program)


def mutations(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """A good pickle with some bytes changed."""
    rng, data = random.Random(seed), content(config=mapping({"model": mapping({"head": integer(2)})}))
    for i in range(count):
        changed = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        yield f"a changed pickle {i}", bytes(changed)
