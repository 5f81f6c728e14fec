"""Weights of the GPT's step in the order in which the native kernels read them, in memory or mapped from a file."""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.external_weights import read_floats
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.bundle.memory_block import ALIGNMENT, MemoryBlock
from sovits_runtime.errors import BundleError

F32, F16, INT8 = 0, 1, 2
FORMS = {"fp32": (F16, F32), "int8": (INT8,)}
"""Precision of a bundle's step -> forms of its layers; the first one that holds the weights is taken."""
HEAD, EMBEDDING = "t2s.ar_predict_layer.weight", "t2s.ar_audio_embedding.word_embeddings.weight"
POSITION_SCALE = "t2s.ar_audio_position.alpha"
EPSILON = 1e-5  # of the norms, as PyTorch's
INDEX = ".json"  # what is added to a file's name

Floats = NDArray[np.float32]
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


class StepWeights:
    """The weights of a GPT by their official names (with the prefix `t2s.`), mapped from a graph's file.

    Args:
        path: The `.onnx` file of the prefill or the step, in FP32 or FP16.
        spec: Of the step; gives the sizes.
    """

    def __init__(self, path: Path, spec: GraphSpec) -> None:
        cache = spec.tensor("k_cache_0").shape
        self.heads, self.width = int(cache[1]), int(cache[1]) * int(cache[3])
        self.layers = len(spec.aliases) // 2
        self.vocab = int(spec.tensor("seen").shape[1])
        self._path, self._floats = path, read_floats(path)

    def array(self, name: str, *shape: int) -> Floats:
        """Returns a weight as float32.

        Raises:
            BundleError: There is none of this name and size.
        """
        array, size = self._floats.get(name), math.prod(shape)
        if array is not None and 2 * array.size == size:
            array = array.view(np.float16).astype(np.float32)
        if array is None or array.size != size:
            found = "no such weight" if array is None else f"{array.size} numbers"
            raise BundleError(
                f"{self._path}: {name}: {found}, expected float32 {list(shape)}; build it again"
            )
        return array.reshape(shape)

    def frequencies(self) -> Floats:
        """Angles per position of the sine positions, float32 [width / 2]."""
        columns = np.arange(0, self.width, 2, dtype=np.float32)
        angles: Floats = np.exp(columns * np.float32(-np.log(10000.0) / self.width)).astype(np.float32)
        return angles

    def matrices(self) -> Iterator[tuple[str, int, int]]:
        """Name, outputs and inputs of every matrix."""
        for i in range(self.layers):
            layer = f"t2s.h.layers.{i}."
            yield f"{layer}self_attn.in_proj_weight", 3 * self.width, self.width
            yield f"{layer}self_attn.out_proj.weight", self.width, self.width
            yield f"{layer}linear1.weight", 4 * self.width, self.width
            yield f"{layer}linear2.weight", self.width, 4 * self.width
        yield HEAD, self.vocab, self.width


def pack(library: ctypes.CDLL, weights: StepWeights, precision: str) -> dict[str, Packed]:
    """Packs all matrices in memory; the head's stays exact in every precision.

    Args:
        library: The kernels.
        weights: What to pack.
        precision: A key of `FORMS`.

    Raises:
        BundleError: A weight is missing.
    """
    packed, block = {}, MemoryBlock()
    for name, n, k in weights.matrices():
        numbers = np.ascontiguousarray(weights.array(name, n, k))
        scale, total = np.zeros(n, np.float32), np.zeros(n, np.int32)
        for form in FORMS["fp32" if name == HEAD else precision]:
            weight = block.take(library.sovits_packed_bytes(form, n, k))
            arrays = (a.ctypes.data for a in (numbers, weight, scale, total))
            if library.sovits_pack(form, n, k, *arrays):
                packed[name] = Packed(form, n, k, weight, scale, total)
                break
            block.give_back()
    return packed


def save_packed(packed: Mapping[str, Packed], path: Path) -> None:
    """Writes packed matrices to a file that `load_packed` maps, and an index beside it."""
    index = {}
    with path.open("wb") as file:
        for name, matrix in packed.items():
            places = {}
            for field in ("weight", "scale", "total"):
                file.write(bytes(-file.tell() % ALIGNMENT))
                places[field] = file.tell()
                file.write(getattr(matrix, field).tobytes())
            index[name] = {"form": matrix.form, "n": matrix.n, "k": matrix.k, **places}
    path.with_name(path.name + INDEX).write_text(json.dumps(index), encoding="utf-8")


def load_packed(library: ctypes.CDLL, path: Path) -> dict[str, Packed]:
    """Maps what `save_packed` wrote.

    Raises:
        BundleError: The files are damaged.
    """
    try:
        whole: Bytes = np.memmap(path, np.uint8, "r")
        packed = {}
        for name, entry in json.loads(path.with_name(path.name + INDEX).read_text(encoding="utf-8")).items():
            form, n, k = (int(entry[field]) for field in ("form", "n", "k"))
            sizes = {"weight": library.sovits_packed_bytes(form, n, k), "scale": 4 * n, "total": 4 * n}
            pieces = {field: whole[entry[field] : entry[field] + size] for field, size in sizes.items()}
            if any(len(pieces[field]) != size for field, size in sizes.items()):
                raise ValueError(f"it ends before {name}")
            packed[name] = Packed(
                form, n, k, pieces["weight"], pieces["scale"].view(np.float32), pieces["total"].view(np.int32)
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} is damaged ({error}); prepack the bundle again") from error
    return packed
