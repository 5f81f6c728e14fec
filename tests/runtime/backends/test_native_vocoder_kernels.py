"""The C vocoder alone, on small generators of odd sizes, against NumPy's float64, with every kind of kernel."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import subprocess
import sys
from ctypes import byref, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sovits_runtime.backends.native_structures import CConv, CVocoder

sovits_native = pytest.importorskip("sovits_native", reason="sovits-export-native is not installed")

F32, INT8, BF16 = 0, 2, 3
SLOPE, LAST_SLOPE = 0.1, 0.01
KERNELS = [
    "generic",
    "AVX2",
    "AVX-VNNI",
    "AVX-512 VNNI",
    "AVX-512 BF16",
    "AMX",
    "NEON",
    "dot product",
    "I8MM",
]
THREADS = (1, 2, 3)


@dataclass(frozen=True)
class Sizes:
    """A generator; `style` 0: it has no condition."""

    inputs: int
    style: int
    channels: tuple[int, ...]
    rates: tuple[int, ...]
    up_kernels: tuple[int, ...]
    kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)


GENERATORS = {
    "tiny": Sizes(4, 5, (16, 8, 4), (4, 2), (8, 2)),
    "odd": Sizes(7, 0, (24, 13, 5, 3), (5, 3, 2), (11, 3, 4)),
    "wide": Sizes(19, 6, (80, 72, 40), (3, 2), (7, 2)),
    "other kernels": Sizes(5, 0, (48, 20), (2,), (6,), (1, 5, 13), (2, 7)),
    "four stages": Sizes(8, 3, (128, 64, 32, 16, 8), (10, 8, 2, 2), (16, 16, 8, 2)),
    "long": Sizes(3, 0, (8, 20, 20), (8, 4), (16, 4), (3,), (1,)),  # of several tiles, and two chunks of fp32
}
FRAMES = {
    "tiny": (1, 2, 9, 150),
    "odd": (1, 7, 40),
    "wide": (1, 5, 67),
    "other kernels": (1, 3, 160),
    "four stages": (11,),
    "long": (2200,),
}


def leaky(x: Any, slope: float) -> Any:
    """Leaky ReLU."""
    return np.where(x > 0, x, x * np.asarray(slope, np.float32).astype(np.float64))


class Conv:
    """A convolution's weights, as C reads them, and the same in NumPy."""

    def __init__(
        self, rng: Any, inputs: int, outputs: int, kernel: int, *, dilation: int = 1, rate: int = 0
    ) -> None:
        self.sizes = (inputs, outputs, kernel, dilation, rate)
        shape = (inputs, outputs, kernel) if rate else (outputs, inputs, kernel)
        spread = (inputs * kernel / max(rate, 1)) ** -0.5
        self.weight = (spread * rng.standard_normal(shape)).astype(np.float32)
        self.bias = (0.1 * rng.standard_normal(outputs)).astype(np.float32)

    def packed(self, lib: Any, form: int) -> CConv:
        """The C structure; the arrays that it points to live as long as this object."""
        conv = CConv(form, *self.sizes, None, self.bias.ctypes.data)
        size = lib.sovits_conv_bytes(byref(conv))
        assert size > 0
        self.bytes = np.full(size + 64, 0x7F, np.uint8)
        start = -self.bytes.ctypes.data % 64
        assert lib.sovits_pack_conv(byref(conv), self.weight.ctypes.data, self.bytes.ctypes.data + start) == 0
        assert (self.bytes[start + size :] == 0x7F).all()
        conv.weight = self.bytes.ctypes.data + start
        return conv

    def __call__(self, x: Any) -> Any:
        """Maps float64 [inputs, T] to [outputs, T * rate]."""
        _, outputs, kernel, dilation, rate = self.sizes
        weight, length = self.weight.astype(np.float64), x.shape[1]
        if rate:
            full = np.zeros((outputs, (length - 1) * rate + kernel))
            for tap in range(kernel):
                full[:, tap : tap + (length - 1) * rate + 1 : rate] += weight[:, :, tap].T @ x
            start = (kernel - rate) // 2
            return full[:, start : start + length * rate] + self.bias[:, None].astype(np.float64)
        reach = kernel // 2 * dilation
        padded = np.pad(x, ((0, 0), (reach, reach)))
        taps = (weight[:, :, k] @ padded[:, k * dilation : k * dilation + length] for k in range(kernel))
        return sum(taps) + self.bias[:, None].astype(np.float64)


class Generator:
    """Random weights of the sizes; those of `pre` and `condition` may be numbers whose sums no float32 rounds."""

    def __init__(self, sizes: Sizes, *, whole: bool = False) -> None:
        rng = np.random.default_rng(len(sizes.channels) + sizes.inputs)
        c, self.sizes = sizes.channels, sizes
        self.pre = Conv(rng, sizes.inputs, c[0], 7)
        self.condition = Conv(rng, sizes.style, c[0], 1) if sizes.style else None
        self.up = [
            Conv(rng, c[i], c[i + 1], kernel, rate=rate)
            for i, (rate, kernel) in enumerate(zip(sizes.rates, sizes.up_kernels, strict=True))
        ]
        self.blocks = [
            [
                [(Conv(rng, n, n, k, dilation=d), Conv(rng, n, n, k)) for d in sizes.dilations]
                for k in sizes.kernels
            ]
            for n in c[1:]
        ]
        self.post = Conv(rng, c[-1], 1, 7)
        for conv in (self.pre, self.condition) if whole else ():
            if conv:
                conv.weight, conv.bias = np.round(16 * conv.weight) / 16, np.round(16 * conv.bias) / 16

    def convs(self) -> list[Conv]:
        """Those of the blocks, in C's order."""
        return [conv for stage in self.blocks for block in stage for pair in block for conv in pair]

    def __call__(self, z: Any, style: Any) -> Any:
        """Maps float64 z [inputs, F] and style [style] to a waveform."""
        x = self.pre(z)
        if self.condition:
            x = x + self.condition(style[:, None])
        for up, blocks in zip(self.up, self.blocks, strict=True):
            start, total = up(leaky(x, SLOPE)), 0
            for block in blocks:
                x = start
                for first, second in block:
                    x = x + second(leaky(first(leaky(x, SLOPE)), SLOPE))
                total = total + x
            x = total / len(blocks)
        return np.tanh(self.post(leaky(x, LAST_SLOPE)))[0]


def library() -> Any:
    """The compiled kernels, with what a vocoder needs declared."""
    lib = ctypes.CDLL(str(sovits_native.LIBRARY))
    lib.sovits_conv_bytes.restype = c_int64
    lib.sovits_conv_bytes.argtypes = [c_void_p]
    lib.sovits_pack_conv.argtypes = [c_void_p] * 3
    lib.sovits_pool_new.restype = c_void_p
    lib.sovits_pool_free.argtypes = [c_void_p]
    lib.sovits_vocode.argtypes = [c_void_p, c_void_p, c_int64, c_void_p, c_void_p, c_void_p]
    lib.sovits_kernels.restype = ctypes.c_char_p
    return lib


class Vocoder:
    """A generator packed in forms that take turns: of what comes up to a stage, its blocks, the next stage, ...

    Its ends may stay float32.
    """

    def __init__(
        self, lib: Any, generator: Generator, forms: tuple[int, ...], *, ends: int, post: int | None = None
    ) -> None:
        self.lib, self.generator = lib, generator
        up, convs = generator.up, generator.convs()
        turns = [forms[i % len(forms)] for i in range(2 * len(up))]
        stages = [turns[2 * (i * len(up) // len(convs)) + 1] for i in range(len(convs))]
        self.structure = CVocoder(
            len(up),
            len(generator.sizes.kernels),
            len(generator.sizes.dilations),
            0,
            SLOPE,
            LAST_SLOPE,
            generator.pre.packed(lib, ends),
            generator.condition.packed(lib, ends) if generator.condition else CConv(),
            generator.post.packed(lib, ends if post is None else post),
            (CConv * len(up))(*(conv.packed(lib, form) for conv, form in zip(up, turns[::2], strict=True))),
            (CConv * len(convs))(*(conv.packed(lib, form) for conv, form in zip(convs, stages, strict=True))),
        )

    def run(self, pool: Any, z: Any, style: Any) -> Any:
        """A waveform [F * hop]; nothing is written behind it."""
        frames = z.shape[1]
        wave = np.full(frames * int(np.prod(self.generator.sizes.rates)) + 1, 7, np.float32)
        done = self.lib.sovits_vocode(
            pool, byref(self.structure), frames, z.ctypes.data, style.ctypes.data, wave.ctypes.data
        )
        assert done == 0
        assert wave[-1] == 7
        return wave[:-1]


def decibels(wave: Any, wanted: Any) -> float:
    """Signal to error."""
    return float(10 * np.log10((wanted**2).sum() / max(((wave - wanted) ** 2).sum(), 1e-30)))


FORMS = {
    "fp32": ((F32,), F32),
    "bf16": ((BF16,), F32),
    "all bf16": ((BF16,), BF16),
    "int8": ((INT8,), F32),
    "int8 between others": ((INT8, F32, BF16, INT8, F32), BF16),
    "others between int8": ((F32, INT8, INT8, BF16), F32),
}
"""Forms that take turns, and that of both ends."""


def check(name: str) -> dict[str, Any]:
    """The least decibels of each form over all lengths; asserts that threads change no bit."""
    lib, generator = library(), Generator(GENERATORS[name])
    pools = [lib.sovits_pool_new(threads) for threads in THREADS]
    least: dict[str, float] = {}
    for label, (forms, ends) in FORMS.items():
        vocoder = Vocoder(lib, generator, forms, ends=ends)
        for frames in FRAMES[name]:
            rng = np.random.default_rng(frames)
            z = rng.standard_normal((generator.sizes.inputs, frames), dtype=np.float32)
            style = rng.standard_normal(max(generator.sizes.style, 1), dtype=np.float32)
            wanted = generator(z.astype(np.float64), style.astype(np.float64))
            first, *others = [vocoder.run(pool, z, style) for pool in pools]
            assert all(np.array_equal(first, other) for other in others)
            least[label] = min(least.get(label, 999), decibels(first, wanted))
    int8 = check_int8(lib, Generator(GENERATORS[name], whole=True), max(FRAMES[name]), pools)
    for pool in pools:
        lib.sovits_pool_free(pool)
    return {"kernels": lib.sovits_kernels().decode(), "decibels": least, "int8": int8}


REACH = 60
"""More frames than any generator here looks ahead or back."""


def check_int8(lib: Any, generator: Generator, frames: int, pools: list[Any]) -> str:
    """A digest of samples that are exact up to the first rows of int8; asserts that they depend on what they see alone.

    Whatever chunks and tiles they were made in, and whatever follows them.
    """
    vocoder, rng = Vocoder(lib, generator, (INT8,), ends=F32, post=INT8), np.random.default_rng(0)
    z = np.round(2 * rng.standard_normal((generator.sizes.inputs, frames))).astype(np.float32)
    style = np.round(2 * rng.standard_normal(max(generator.sizes.style, 1))).astype(np.float32)
    wave = vocoder.run(pools[0], z, style).reshape(frames, -1)
    for cut in range(REACH, frames - REACH, 1 + frames // 5):
        head = vocoder.run(pools[1], np.ascontiguousarray(z[:, : cut + 3]), style).reshape(cut + 3, -1)
        tail = vocoder.run(pools[2], np.ascontiguousarray(z[:, cut:]), style).reshape(frames - cut, -1)
        assert np.array_equal(head[: cut + 3 - REACH], wave[: cut + 3 - REACH])
        assert np.array_equal(tail[REACH:], wave[cut + REACH :])
    z[0, frames // 2] = np.nan
    assert np.isnan(vocoder.run(pools[0], z, style).reshape(frames, -1)[frames // 2]).all()
    return hashlib.sha256(wave.tobytes()).hexdigest()


SOUNDS: dict[str, str] = {}
"""Generator -> digest of its samples in int8, those of the first kind: all kinds round alike."""


@pytest.mark.parametrize("kind", KERNELS)
def test_every_kind_of_kernel_sounds_like_float64(kind):
    """Each in a process of its own, since they are chosen once."""
    env = {**os.environ, "SOVITS_NATIVE_KERNELS": kind, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__], check=False, env=env, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    if found[0]["kernels"] != kind:
        pytest.skip(f"this processor has no {kind}")
    assert len(found) == len(GENERATORS)
    for one in found:
        assert one["decibels"]["fp32"] > 105
        assert 38 < one["decibels"]["all bf16"] < 80
        assert 40 < one["decibels"]["bf16"] < 80
        assert all(25 < one["decibels"][form] < 60 for form in FORMS if "int8" in form)
        same = one["generator"]
        if same != "wide":  # whose first convolution is a fast one, which rounds
            assert SOUNDS.setdefault(same, one["int8"]) == one["int8"]


if __name__ == "__main__":
    for each in GENERATORS:
        print(json.dumps({"generator": each, **check(each)}))
    sys.exit(0)
