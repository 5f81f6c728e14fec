"""Weights come back bit for bit, and what is no encoded file is refused within bounds."""

import io
import struct
import zlib

import numpy as np
import pytest

from sovits_runtime.bundle.planes import BLOCK, HALVES, RAW, SINGLES, decode, encode

RNG = np.random.default_rng(3)
HALF = RNG.normal(size=BLOCK // 2).astype("<f2").astype("<f4").tobytes()
SINGLE = RNG.normal(size=BLOCK // 4).astype("<f4").tobytes()
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, 2**-24, 65504.0], "<f4").tobytes()
CONTENTS = {
    "empty": b"",
    "one byte": b"x",
    "odd": RNG.bytes(BLOCK + 3),
    "halves": HALF,
    "singles": SINGLE,
    "mixed": HALF + SINGLE + b"tail",
    "special": SPECIAL * 100,
    "signalling": struct.pack("<I", 0x7F800001) * 500,
    "beyond float16": np.full(500, 65536.0, "<f4").tobytes(),
    "between float16": np.full(500, 1 + 2**-11, "<f4").tobytes(),
    "block": bytes(BLOCK),
    "block and one": bytes(BLOCK + 1),
}


def encoded(content):
    return b"".join(encode(io.BytesIO(content)))


def decoded(content):
    return b"".join(decode(io.BytesIO(content)))


@pytest.mark.parametrize("name", CONTENTS)
def test_every_bit_comes_back(name):
    assert decoded(encoded(CONTENTS[name])) == CONTENTS[name]


def test_float16_numbers_take_less_than_half_and_others_less_than_all():
    assert len(encoded(HALF)) < 0.47 * len(HALF)
    assert len(encoded(SINGLE)) < 0.92 * len(SINGLE)
    noise = CONTENTS["odd"]
    assert len(encoded(noise)) <= len(noise) + 2 * 9


@pytest.mark.parametrize(
    ("content", "kind"),
    [(HALF[:4000], HALVES), (SINGLE[:4000], SINGLES), (RNG.bytes(4000), RAW), (SPECIAL * 9, HALVES)],
)
def test_the_kind_follows_the_numbers(content, kind):
    assert encoded(content)[0] == kind


def test_one_number_that_is_no_float16_keeps_a_block_in_float32():
    numbers = np.frombuffer(HALF, "<f4").copy()
    numbers[5] = np.nextafter(numbers[5], np.float32(9), dtype=np.float32)
    assert encoded(numbers[: BLOCK // 4].tobytes())[0] == SINGLES
    assert decoded(encoded(numbers.tobytes())) == numbers.tobytes()


def block(kind, plane, rest):
    return struct.pack("<BII", kind, len(plane), len(rest)) + plane + rest


def deflated(content):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\0\0", "ends early"),
        (struct.pack("<BII", 0, 0, 10) + b"short", "ends early"),
        (block(7, b"", b""), "kind 7"),
        (block(RAW, b"x", b""), "kind 0"),
        (struct.pack("<BII", 0, 0, 1 << 31), "expected at most"),
        (struct.pack("<BII", 1, 1 << 31, 0), "expected at most"),
        (block(HALVES, b"\xff\xff", b"12"), "is damaged"),
        (block(HALVES, deflated(bytes(100 << 20)), b"12"), "other than 2 bytes"),
        (block(HALVES, deflated(b"1"), b"12"), "other than 2 bytes"),
        (block(HALVES, deflated(b"12") + b"more", b"12"), "other than 2 bytes"),
        (block(SINGLES, deflated(b"1"), b"12"), "no whole number"),
        (block(HALVES, deflated(bytes(BLOCK)), bytes(BLOCK)), "too many"),
    ],
)
def test_what_is_no_encoded_file_is_refused(content, said):
    with pytest.raises(ValueError, match=said):
        decoded(content)


def test_random_damage_never_gives_a_defect_nor_more_than_a_block_at_once():
    good = bytearray(encoded(CONTENTS["mixed"]))
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        bad = bytearray(good)
        bad[int(rng.integers(len(bad)))] ^= int(rng.integers(1, 256))
        try:
            assert all(len(part) <= BLOCK for part in decode(io.BytesIO(bytes(bad))))
        except ValueError:
            refused += 1
    assert refused > 0
