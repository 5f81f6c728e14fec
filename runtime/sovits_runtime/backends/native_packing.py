"""Matrices of the GPT's step in the order in which the native kernels read them, in memory or mapped from a file."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.gpt_weights import Floats, GptWeights, Linear
from sovits_runtime.bundle.memory_block import ALIGNMENT, MemoryBlock
from sovits_runtime.bundle.shape import each, fields, whole
from sovits_runtime.errors import BundleError
from sovits_runtime.machine.json_file import read_json

F32, F16, INT8, BF16 = 0, 1, 2, 3
FORMS = {"fp32": (F16, F32), "int8": (INT8,)}
"""Precision of a bundle's step -> forms of its layers; the first one that holds the weights is taken."""
INDEX = ".json"  # what is added to a file's name
_MOST_SIZE, _MOST_BYTES = 1 << 20, 1 << 50
_SHAPE = each(
    fields(
        {
            "form": whole(max(F32, F16, INT8)),
            **dict.fromkeys(("n", "k"), whole(_MOST_SIZE, least=1)),
            **dict.fromkeys(("weight", "scale", "total"), whole(_MOST_BYTES)),
        }
    )
)

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Packed:
    """One matrix.

    Attributes:
        form: `F32`, `F16` or `INT8`.
        n: Outputs.
        k: Inputs.
        weight: uint8 [bytes], as the kernels read it.
        scale: float32 [n], of int8.
        total: int32 [n], sum of each output's int8 weights.
    """

    form: int
    n: int
    k: int
    weight: Bytes
    scale: Floats
    total: NDArray[np.int32]


def pack(library: ctypes.CDLL, weights: GptWeights, precision: str) -> dict[str, Packed]:
    """Packs all matrices in memory, by name; the head's stays exact in every precision.

    Args:
        library: The kernels.
        weights: What to pack.
        precision: A key of `FORMS`.
    """
    packed, block = {}, MemoryBlock()
    for linear in weights.linears():
        exact = linear is weights.head
        packed[linear.name] = pack_linear(library, linear, "fp32" if exact else precision, block)
    return packed


def pack_linear(library: ctypes.CDLL, linear: Linear, precision: str, block: MemoryBlock) -> Packed:
    """Packs one matrix in a block of memory, in the first form of a precision that holds it."""
    n, k = linear.outputs, linear.inputs
    numbers = np.ascontiguousarray(linear.weight, np.float32)
    scale, total = np.zeros(n, np.float32), np.zeros(n, np.int32)
    for form in FORMS[precision]:
        weight = block.take(library.sovits_packed_bytes(form, n, k))
        arrays = (a.ctypes.data for a in (numbers, weight, scale, total))
        if library.sovits_pack(form, n, k, *arrays):
            return Packed(form, n, k, weight, scale, total)
        block.give_back()
    raise AssertionError(f"{precision} holds every matrix")


def append(file: BinaryIO, array: NDArray[Any]) -> int:
    """Writes an array where a cache line begins; returns where that is."""
    file.write(bytes(-file.tell() % ALIGNMENT))
    at = file.tell()
    file.write(array.tobytes())
    return at


def piece(content: Bytes, at: int, size: int, name: str) -> Bytes:
    """What `append` wrote.

    Raises:
        ValueError: It is not there; `name` says what is missing.
    """
    found = content[at : at + size]
    if len(found) != size or at % ALIGNMENT:
        raise ValueError(f"it ends before {name}, or has it in another place")
    return found


def save_packed(packed: Mapping[str, Packed], path: Path) -> None:
    """Writes packed matrices to a file that `load_packed` maps, and an index beside it."""
    index = {}
    with path.open("wb") as file:
        for name, matrix in packed.items():
            places = {}
            for field in ("weight", "scale", "total"):
                places[field] = append(file, getattr(matrix, field))
            index[name] = {"form": matrix.form, "n": matrix.n, "k": matrix.k, **places}
    path.with_name(path.name + INDEX).write_text(json.dumps(index), encoding="utf-8")


def load_packed(library: ctypes.CDLL, path: Path) -> dict[str, Packed]:
    """Maps what `save_packed` wrote.

    Raises:
        BundleError: The files are damaged.
    """
    try:
        content: Bytes = np.memmap(path, np.uint8, "r")
        packed = {}
        index = read_json(
            path.with_name(path.name + INDEX),
            what="an index of packed weights",
            error=BundleError,
            remedy="prepack the bundle again",
        )
        _SHAPE(index, "")
        for name, entry in index.items():
            form, n, k = (entry[field] for field in ("form", "n", "k"))
            sizes = {"weight": library.sovits_packed_bytes(form, n, k), "scale": 4 * n, "total": 4 * n}
            pieces = {field: piece(content, entry[field], size, name) for field, size in sizes.items()}
            packed[name] = Packed(
                form, n, k, pieces["weight"], pieces["scale"].view(np.float32), pieces["total"].view(np.int32)
            )
    except BundleError:
        raise
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is damaged ({error}); prepack the bundle again") from error
    return packed
