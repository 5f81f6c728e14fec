"""Hostile checkpoints and model folders, each to make its reader slow, fill its memory, crash it, or run something."""

from __future__ import annotations

import itertools
import json
import os
import random
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import hostile_pickles
import torch

HUBERT = {"model_type": "hubert", "conv_dim": [8] * 7, "num_hidden_layers": 1, "intermediate_size": 8}
BERT = {
    "model_type": "bert",
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "num_hidden_layers": 3,
    "vocab_size": 10,
}
EXTREMES = (
    0,
    -1,
    10**6,
    10**9,
    10**19,
    10**30,
    10**400,
    1.5,
    float("inf"),
    float("nan"),
    True,
    None,
    "x" * 10**6,
    [],
    {},
    [[]],
)


@dataclass(frozen=True)
class Case:
    """One hostile file or folder.

    Attributes:
        name: What it tries.
        reader: Who reads it: `gpt`, `sovits`, `speaker`, `vocoder`, `hubert` or `bert`.
        write: Writes it to a path.
    """

    name: str
    reader: str
    write: Callable[[Path], None]


def cases(marker: Path, *, scale: int, mutations: int, seed: int) -> Iterator[Case]:
    """All of them; the same for the same arguments.

    Args:
        marker: A folder that appears where a payload ran.
        scale: How many items, copies or bytes the largest have.
        mutations: How many randomly changed pickles.
        seed: Of the changes.
    """
    readers = itertools.cycle(("gpt", "sovits", "speaker", "vocoder"))
    forms = itertools.cycle((write_zip, write_old, write_zip, write_bare))
    for name, program in hostile_pickles.programs(marker, scale=scale):
        yield Case(name, next(readers), partial(next(forms), program))
    for name, program in hostile_pickles.mutations(mutations, seed):
        yield Case(name, next(readers), partial(next(forms), program))
    yield from _zips()
    yield from _things()
    yield from _folders(marker, scale, seed)


def write_zip(program: bytes, path: Path, header: bytes = b"PK") -> None:
    """A zip as torch.save writes it."""
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", program)
        z.writestr("archive/byteorder", b"little")
        z.writestr("archive/data/0", bytes(8))
    with path.open("r+b") as f:
        f.write(header)


def write_old(program: bytes, path: Path) -> None:
    """A file as torch.save wrote it before 1.6."""
    magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
    end = b"\x80\x02]" + hostile_pickles.text("0") + b"a."
    path.write_bytes(
        magic + b"\x80\x02M\xe9\x03." + b"\x80\x02}." + program + end + struct.pack("<q", 2) + bytes(8)
    )


def write_bare(program: bytes, path: Path) -> None:
    """A pickle without anything around it."""
    path.write_bytes(program)


def _zips() -> Iterator[Case]:
    def many_entries(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as z:
            for i in range(3000):
                z.writestr(f"archive/{i}", b"")
            z.writestr("archive/data.pkl", hostile_pickles.content())
        data = path.read_bytes()
        at = data.rindex(b"PK\x05\x06")
        path.write_bytes(data[: at + 12] + struct.pack("<I", 1 << 30) + data[at + 16 :])

    def bomb(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("archive/data.pkl", bytes(200 << 20))

    def twice(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as z:
            for root in ("a", "b"):
                z.writestr(f"{root}/data.pkl", hostile_pickles.content())

    def claims(field: int, value: int, path: Path) -> None:
        write_zip(hostile_pickles.content(), path)
        data = bytearray(path.read_bytes())
        struct.pack_into("<I", data, data.index(b"PK\x01\x02") + field, value)
        path.write_bytes(data)

    yield Case("a list of records of 1 GB", "gpt", many_entries)
    yield Case("a compressed bomb", "gpt", bomb)
    yield Case("two pickles", "gpt", twice)
    for field, value in itertools.product(
        (16, 20, 24, 28, 30, 42), (1, 1 << 16, (1 << 31) - 1, (1 << 32) - 1)
    ):
        yield Case(f"a zip whose field {field} says {value}", "gpt", partial(claims, field, value))
    rng = random.Random(0)
    for i in range(40):
        yield Case(f"a changed zip {i}", "sovits", partial(_changed, rng.randrange(1 << 30)))


def _changed(seed: int, path: Path) -> None:
    rng = random.Random(seed)
    write_zip(hostile_pickles.content(), path, rng.choice([b"PK", b"03", b"06", b"zz"]))
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 20)):
        data[rng.randrange(2, len(data))] = rng.randrange(256)
    path.write_bytes(data[: rng.choice([None, len(data) // 2, 100])])


def _things() -> Iterator[Case]:
    for reader in ("gpt", "sovits", "speaker", "vocoder", "hubert", "bert"):
        yield Case("a pipe that nobody writes to", reader, os.mkfifo)
        yield Case("a link to itself", reader, lambda path: path.symlink_to(path))
        yield Case("an endless device", reader, lambda path: path.symlink_to("/dev/zero"))
        yield Case("nothing", reader, lambda path: None)


def _folders(marker: Path, scale: int, seed: int) -> Iterator[Case]:
    bases: dict[str, dict[str, Any]] = {"hubert": HUBERT, "bert": BERT}
    fields = {
        "hubert": ("conv_dim", "conv_kernel", "conv_stride", "num_conv_pos_embeddings", "feat_extract_norm"),
        "bert": ("vocab_size", "max_position_embeddings", "type_vocab_size"),
    }
    widths = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    for reader, config in bases.items():
        for field, value in itertools.product(
            (*widths, "layer_norm_eps", "model_type", *fields[reader]), EXTREMES
        ):
            is_list = field.startswith("conv_") and not isinstance(value, str)
            words = json.dumps(config | {field: [value] * 7 if is_list else value})
            yield Case(
                f"{field} of {str(value)[:20]}", reader, partial(write_folder, words, write_one_tensor)
            )
        for label, words in {
            "deep": "[" * 10**5,
            "long": '{"a": "' + "x" * (2 << 20) + '"}',
            "wide": "{" + ",".join(f'"{i}": 1' for i in range(50_000)) + "}",
            "a long number": '{"hidden_size": ' + "9" * 10**5 + "}",
            "escapes": json.dumps(config | {"model_type": "\x1b[2J\nerror: all good"}),
        }.items():
            yield Case(f"a config that is {label}", reader, partial(write_folder, words, write_one_tensor))
        for label, write in _weight_files(marker, scale, seed):
            yield Case(label, reader, partial(write_folder, json.dumps(config), write))


def write_folder(config: str, write: Callable[[Path], None], path: Path) -> None:
    """A model folder with this config, and what `write` puts beside it."""
    path.mkdir()
    (path / "config.json").write_text(config, encoding="utf-8")
    write(path)


def write_one_tensor(folder: Path) -> None:
    """Weights that fit no config."""
    torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")


def _weight_files(marker: Path, scale: int, seed: int) -> Iterator[tuple[str, Callable[[Path], None]]]:
    def saved(value: object, folder: Path, **options: Any) -> None:
        torch.save(value, folder / "pytorch_model.bin", **options)

    half = torch.zeros(1, dtype=torch.float16)
    for bits in (30, 32, 33, 40):
        yield f"one number shown 2^{bits} times", partial(saved, {"a": half.expand(1 << bits)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)
    yield "quantized numbers", partial(saved, {"a": quantized})
    yield "a name that clears the screen", partial(saved, {"\x1b[2J\nerror: all good": half})
    yield "a name of 5 MB", partial(saved, {"x" * (5 << 20): half})
    yield "a payload", partial(saved, {"a": hostile_pickles.Payload(marker)})
    yield (
        "a payload in an old file",
        partial(saved, {"a": hostile_pickles.Payload(marker)}, _use_new_zipfile_serialization=False),
    )
    for index, (label, program) in enumerate(hostile_pickles.programs(marker, scale=scale)):
        if index % 9 == 0:
            form = write_old if index % 2 else write_zip
            yield (
                label,
                lambda folder, form=form, program=program: form(program, folder / "pytorch_model.bin"),
            )
    for label, header in {
        "a header of 2^62 bytes": struct.pack("<Q", 1 << 62) + b"{",
        "a header that is deep": struct.pack("<Q", 10**5) + b"[" * 10**5,
        "a tensor of 2^60 numbers": _safetensors(
            {"a": {"dtype": "F32", "shape": [1 << 60], "data_offsets": [0, 4]}}
        ),
        "a tensor of nothing": _safetensors(
            {"a": {"dtype": "F32", "shape": [0, 1 << 62], "data_offsets": [0, 0]}}
        ),
        "tensors that overlap": _safetensors(
            {str(i): {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for i in range(1000)}
        ),
    }.items():
        yield label, lambda folder, header=header: (folder / "model.safetensors").write_bytes(header)


def _safetensors(header: dict[str, Any]) -> bytes:
    words = json.dumps(header).encode()
    return struct.pack("<Q", len(words)) + words + bytes(4)
