"""Random strings in every mode give phones or one of our errors. `benchmarks/text/fuzz.py` runs many more."""

import random

import pytest

from sovits_runtime.errors import SovitsError
from sovits_runtime.text.pipeline import TextFrontend
from sovits_runtime.text.segment import MODES
from sovits_runtime.text.symbols import symbol_table

RANGES = (
    (0x20, 0x7E), (0x00, 0x1F), (0xA0, 0x24F), (0x4E00, 0x9FFF), (0x20000, 0x2A6DF), (0x3040, 0x30FF), (0xAC00, 0xD7A3),
    (0x1100, 0x11FF), (0x2000, 0x206F), (0x20A0, 0x23FF), (0x1F300, 0x1FAFF), (0xD800, 0xDFFF), (0x00, 0x10FFFF),
)  # fmt: skip
SIGNS = "0123456789.,:/-~%+×=元年月日℃$￥€ \n"


def random_text(draw):
    ranges = draw.sample(RANGES, draw.randint(1, 3))
    chars = (
        draw.choice(SIGNS) if draw.random() < 0.2 else chr(draw.randint(*draw.choice(ranges)))
        for _ in range(draw.randint(0, 40))
    )
    return "".join(chars)


@pytest.mark.parametrize("mode", MODES)
def test_random_strings_are_read_or_refused(mode):
    draw, frontend, read = random.Random(7), TextFrontend(), 0
    ids = len(symbol_table("v2"))
    for _ in range(15):
        text = random_text(draw)
        try:
            pieces = list(frontend.pieces(text, mode))
        except SovitsError as error:
            if "not installed" in str(error):
                pytest.skip(str(error))
            continue
        read += 1
        for piece in pieces:
            assert all(0 <= i < ids for i in piece.ids), repr(text)
            for part in piece.phones:
                assert part.word2ph is None or sum(part.word2ph) == len(part), repr(text)
    assert read
