"""Convolutions of a HiFi-GAN as the native kernels read them, in memory or mapped from a file."""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from ctypes import byref
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sovits_runtime.backends.native_packing import BF16, F32, INDEX, INT8, Bytes, append, piece
from sovits_runtime.backends.native_structures import CConv
from sovits_runtime.bundle.hifigan_weights import Conv, Floats, HifiganWeights
from sovits_runtime.bundle.memory_block import MemoryBlock
from sovits_runtime.bundle.shape import fields, nullable, number, rows, whole
from sovits_runtime.errors import BundleError
from sovits_runtime.machine.json_file import read_json

SIZES = ("inputs", "outputs", "kernel", "dilation", "rate")
LEAST_INT8 = 32
"""Channels; with fewer, int8 saves little time, and what it adds is heard first: noise where the sound has none."""
_MOST_CHANNELS, _MOST_KERNEL, _MOST_BYTES = 1 << 14, 1 << 10, 1 << 50
_CONV = fields(
    {
        "form": whole(max(F32, INT8, BF16)),
        **dict.fromkeys(("inputs", "outputs"), whole(_MOST_CHANNELS, least=1)),
        **dict.fromkeys(("kernel", "dilation"), whole(_MOST_KERNEL, least=1)),
        "rate": whole(_MOST_KERNEL),
        "weight": whole(_MOST_BYTES),
        "bias": nullable(whole(_MOST_BYTES)),
    }
)
_SHAPE = fields(
    {
        **dict.fromkeys(("pre", "post"), _CONV),
        "condition": nullable(_CONV),
        **dict.fromkeys(("ups", "convs"), rows(_CONV)),
        **dict.fromkeys(("blocks", "pairs"), whole(_MOST_KERNEL, least=1)),
        **dict.fromkeys(("slope", "last_slope"), number),
    }
)


@dataclass(frozen=True)
class PackedConv:
    """One convolution; see `hifigan_weights.Conv`.

    Attributes:
        form: `F32`, `BF16` or `INT8`.
        inputs: Channels that it reads.
        outputs: Channels that it gives.
        kernel: Frames that it reads for one.
        dilation: Distance of those.
        rate: 0: it keeps the length.
        weight: uint8 [bytes], as the kernels read it.
        bias: float32 [outputs]; None where there is none.
    """

    form: int
    inputs: int
    outputs: int
    kernel: int
    dilation: int
    rate: int
    weight: Bytes
    bias: Floats | None


@dataclass(frozen=True)
class PackedVocoder:
    """All convolutions of a HiFi-GAN; see `hifigan_weights.HifiganWeights`.

    Attributes:
        pre: From the latent to the first channels.
        condition: What is added to that; None: nothing is.
        post: To the waveform.
        ups: The transposed ones.
        convs: Those of the blocks, in the order in which they run.
        blocks: Of a stage.
        pairs: Of a block.
        slope: Of the leaky rectifiers.
        last_slope: Of that before `post`.
    """

    pre: PackedConv
    condition: PackedConv | None
    post: PackedConv
    ups: tuple[PackedConv, ...]
    convs: tuple[PackedConv, ...]
    blocks: int
    pairs: int
    slope: float
    last_slope: float

    @property
    def rate(self) -> int:
        """Samples for a frame."""
        return math.prod(up.rate for up in self.ups)

    def _plain(self) -> Iterator[PackedConv]:
        """Those that keep the length."""
        yield from (self.pre, *([self.condition] if self.condition else []), self.post, *self.convs)

    def problem(self) -> str:
        """Says what does not fit together, or "" where everything does."""
        widths = [self.pre.outputs, *(up.outputs for up in self.ups)]
        per_stage = 2 * self.blocks * self.pairs
        fits = (
            len(self.convs) == per_stage * len(self.ups)
            and all(up.rate and up.kernel >= up.rate and (up.kernel - up.rate) % 2 == 0 for up in self.ups)
            and all(up.inputs == before for up, (before, _) in zip(self.ups, pairwise(widths), strict=True))
            and all(c.inputs == c.outputs == widths[1 + i // per_stage] for i, c in enumerate(self.convs))
            and (self.condition is None or self.condition.outputs == widths[0])
            and (self.post.inputs, self.post.outputs) == (widths[-1], 1)
            and not any(c.rate or c.kernel % 2 == 0 for c in self._plain())
            and not any(c.form == INT8 for c in (self.pre, self.condition) if c)
        )
        return "" if fits and self.ups else "its convolutions do not fit together"


def pack_vocoder(
    library: ctypes.CDLL, weights: HifiganWeights, form: int, *, threads: int = 1
) -> PackedVocoder:
    """Packs all convolutions in memory; those at both ends stay exact in every form.

    Args:
        library: The kernels.
        weights: What to pack.
        form: `F32`, or `BF16` or `INT8` for rounded weights; int8 leaves those between few channels exact too.
        threads: How many pack.

    Raises:
        BundleError: The kernels do not take a convolution of such sizes.
    """
    block, residuals = MemoryBlock(), tuple(weights.residuals())
    ends = [weights.pre, weights.post, *([weights.condition] if weights.condition else [])]
    packed = [_room(library, conv, F32, block) for conv in ends]
    for conv in (*weights.ups, *residuals):
        narrow = form == INT8 and min(conv.inputs, conv.outputs) < LEAST_INT8
        packed.append(_room(library, conv, F32 if narrow else form, block))
    with ThreadPoolExecutor(threads) as pool:  # the kernels run without Python's lock
        for _ in pool.map(partial(_pack, library), (*ends, *weights.ups, *residuals), packed):
            pass
    pre, post, *others = packed
    condition = others.pop(0) if weights.condition else None
    return PackedVocoder(
        pre=pre,
        condition=condition,
        post=post,
        ups=tuple(others[: len(weights.ups)]),
        convs=tuple(others[len(weights.ups) :]),
        blocks=len(weights.blocks[0]),
        pairs=len(weights.blocks[0][0]),
        slope=weights.slope,
        last_slope=weights.last_slope,
    )


def _room(library: ctypes.CDLL, conv: Conv, form: int, block: MemoryBlock) -> PackedConv:
    """A convolution whose weights are yet to be packed."""
    sizes = {name: getattr(conv, name) for name in SIZES}
    count = _bytes(library, CConv(form=form, **sizes))
    if count < 0:
        raise BundleError(f"{conv.name}: the native kernels do not take a convolution of {sizes}")
    bias = None if conv.bias is None else np.array(conv.bias, np.float32)
    return PackedConv(form=form, **sizes, weight=block.take(count), bias=bias)


def _pack(library: ctypes.CDLL, conv: Conv, packed: PackedConv) -> None:
    about = CConv(form=packed.form, **{name: getattr(packed, name) for name in SIZES})
    numbers = np.ascontiguousarray(conv.weight, np.float32)
    code = library.sovits_pack_conv(byref(about), numbers.ctypes.data, packed.weight.ctypes.data)
    assert code == 0, f"{conv.name}: its size was taken"


def _bytes(library: ctypes.CDLL, conv: CConv) -> int:
    return int(library.sovits_conv_bytes(byref(conv)))


def save_vocoder(packed: PackedVocoder, path: Path) -> None:
    """Writes packed convolutions to a file that `load_vocoder` maps, and an index beside it."""
    with path.open("wb") as file:
        index = {
            "pre": _saved(packed.pre, file),
            "condition": _saved(packed.condition, file) if packed.condition else None,
            "post": _saved(packed.post, file),
            "ups": [_saved(conv, file) for conv in packed.ups],
            "convs": [_saved(conv, file) for conv in packed.convs],
            **{name: getattr(packed, name) for name in ("blocks", "pairs", "slope", "last_slope")},
        }
    path.with_name(path.name + INDEX).write_text(json.dumps(index), encoding="utf-8")


def _saved(conv: PackedConv, file: BinaryIO) -> dict[str, int | None]:
    return {
        **{name: getattr(conv, name) for name in ("form", *SIZES)},
        "weight": append(file, conv.weight),
        "bias": None if conv.bias is None else append(file, conv.bias),
    }


def load_vocoder(library: ctypes.CDLL, path: Path) -> PackedVocoder:
    """Maps what `save_vocoder` wrote.

    Raises:
        BundleError: The files are damaged.
    """
    try:
        content: Bytes = np.memmap(path, np.uint8, "r")
        index = read_json(
            path.with_name(path.name + INDEX),
            what="an index of packed weights",
            error=BundleError,
            remedy="prepack the bundle again",
        )
        _SHAPE(index, "")

        def loaded(entry: Mapping[str, Any]) -> PackedConv:
            return _loaded(library, content, entry)

        packed = PackedVocoder(
            pre=loaded(index["pre"]),
            condition=loaded(index["condition"]) if index["condition"] else None,
            post=loaded(index["post"]),
            ups=tuple(map(loaded, index["ups"])),
            convs=tuple(map(loaded, index["convs"])),
            blocks=index["blocks"],
            pairs=index["pairs"],
            slope=index["slope"],
            last_slope=index["last_slope"],
        )
        if problem := packed.problem():
            raise ValueError(problem)
    except BundleError:
        raise
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is damaged ({error}); prepack the bundle again") from error
    return packed


def _loaded(library: ctypes.CDLL, content: Bytes, entry: Mapping[str, Any]) -> PackedConv:
    sizes = {name: entry[name] for name in ("form", *SIZES)}
    weight = piece(content, entry["weight"], _bytes(library, CConv(**sizes)), "a convolution")
    bias = None
    if entry["bias"] is not None:
        bias = piece(content, entry["bias"], 4 * entry["outputs"], "a bias").view(np.float32)
    return PackedConv(**sizes, weight=weight, bias=bias)
