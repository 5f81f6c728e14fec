"""PNG files from arrays, and the colours of spectrograms."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import ShapeError

_N_COLOURS = 224
"""With the greys of axes and text a picture stays within the 256 colours of an indexed PNG."""


def png_bytes(rgb: NDArray[np.uint8]) -> bytes:
    """Encodes a picture as PNG, with a palette when it has no more than 256 colours (a third of the size).

    Args:
        rgb: [height, width, 3] uint8.

    Returns:
        The content of a .png file.

    Raises:
        ShapeError: Another shape or type, or no pixels.
    """
    shape, dtype = np.shape(rgb), getattr(rgb, "dtype", type(rgb).__name__)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        raise ShapeError(f"picture: got shape {shape} and type {dtype}, expected [height, width, 3] uint8")
    height, width, _ = shape
    packed = rgb.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, index = np.unique(packed, return_inverse=True)
    indexed = len(colours) <= 256
    rows = index.reshape(height, width).astype(np.uint8) if indexed else rgb.reshape(height, width * 3)
    scanlines = np.pad(rows, ((0, 0), (1, 0)))
    header = struct.pack(">IIBBBBB", width, height, 8, 3 if indexed else 2, 0, 0, 0)
    chunks = [(b"IHDR", header)]
    if indexed:
        chunks.append((b"PLTE", b"".join(int(colour).to_bytes(3, "big") for colour in colours)))
    chunks += [(b"IDAT", zlib.compress(scanlines.tobytes(), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


@lru_cache(maxsize=1)
def colour_map() -> NDArray[np.uint8]:
    """Returns the spectrogram's colours [224, 3] uint8: near black, violet, orange, pale yellow.

    The path runs through OKLCh (Björn Ottosson's Oklab in polar form) with evenly rising lightness (within
    0.01 where sRGB ends), so that equal steps of level look equally large, in grey print too.
    """
    t = np.linspace(0.0, 1.0, _N_COLOURS)
    lightness = 0.11 + 0.87 * t
    chroma = 0.205 * np.sin(np.pi * np.clip(0.06 + 0.88 * t, 0, 1)) ** 0.8
    hue = np.deg2rad(285.0 + 175.0 * t**1.15)
    rgb = _srgb_from_oklab(lightness, chroma * np.cos(hue), chroma * np.sin(hue))
    colours: NDArray[np.uint8] = np.rint(255.0 * np.clip(rgb, 0.0, 1.0)).astype(np.uint8)
    colours.setflags(write=False)
    return colours


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _srgb_from_oklab(
    lightness: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Converts Oklab to gamma-coded sRGB [n, 3], nominally in [0, 1]."""
    lab = np.stack([lightness, a, b])
    cone_from_lab = [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
    rgb_from_cone = [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
    linear = np.clip(np.array(rgb_from_cone) @ (np.array(cone_from_lab) @ lab) ** 3, 0.0, 1.0)
    coded: NDArray[np.float64] = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    ).T
    return coded
