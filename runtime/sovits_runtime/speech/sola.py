"""Joins waveforms that overlap, where they fit best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import ShapeError

SEARCH = 320
"""How far, in samples, a piece may be moved."""

Floats = NDArray[np.float32]


def sola_join(pieces: Sequence[Floats], overlap: int) -> Floats:
    """Joins pieces end to end: each is moved to where its start is most like the end before it, and faded in.

    Moving drops up to 320 samples of a piece's start, so the result is that much shorter.

    Source: GPT-SoVITS, TTS_infer_pack/TTS.py, TTS.sola_algorithm.

    Args:
        pieces: float32 [n] each.
        overlap: Samples that the end of a piece and the start of the next have in common.

    Returns:
        float32 [n].

    Raises:
        ShapeError: No pieces, or one shorter than overlap and search together.
    """
    if not pieces:
        raise ShapeError("no pieces to join; expected at least one waveform")
    if len(pieces) > 1 and min(map(len, pieces)) < overlap + SEARCH:
        raise ShapeError(
            f"pieces to join: the shortest has {min(map(len, pieces))} samples, expected at least {overlap + SEARCH} "
            f"(an overlap of {overlap} and a search of {SEARCH})"
        )
    rising = 0.5 - 0.5 * np.cos(np.arange(overlap, dtype=np.float64) * np.pi / max(overlap, 1))
    fade_in = rising.astype(np.float32)
    joined = [pieces[0]]
    for piece in pieces[1:]:
        tail = joined[-1][len(joined[-1]) - overlap :]
        moved = piece[best_offset(tail, piece[: overlap + SEARCH]) :].copy()
        moved[:overlap] = fade_in * moved[:overlap] + (np.float32(1) - fade_in) * tail
        joined[-1] = joined[-1][: len(joined[-1]) - overlap]
        joined.append(moved)
    return np.concatenate(joined)


def best_offset(tail: Floats, start: Floats) -> int:
    """Returns the offset in `start` at which it is most like `tail`, by correlation over the root of its energy."""
    likeness = np.correlate(start.astype(np.float64), tail.astype(np.float64), "valid")
    energy = np.correlate(np.square(start.astype(np.float64)), np.ones(len(tail)), "valid")
    return int(np.argmax(likeness / np.sqrt(energy + 1e-8)))
