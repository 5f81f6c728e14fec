"""Random numbers of speech: all are inputs, and come from a seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NormalNoise = Callable[[tuple[int, ...]], Floats]
"""Gives standard normal samples float32 of the asked shape [batch, channels, frames]; called once a decoder run."""


def seeded_normal(rng: np.random.Generator) -> NormalNoise:
    """Returns a source that samples frame by frame, so that a longer array begins with a shorter one."""

    def sample(shape: tuple[int, ...]) -> Floats:
        batch, channels, frames = shape
        rows = rng.standard_normal((batch, frames, channels), dtype=np.float32)
        return np.ascontiguousarray(rows.transpose(0, 2, 1))

    return sample


def seeded_generators(seed: int, attempt: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Returns the generators of the sampling noise and of the decoder's noise."""
    tokens_seed, decoder_seed = np.random.SeedSequence([seed, attempt - 1]).spawn(2)
    return np.random.default_rng(tokens_seed), np.random.default_rng(decoder_seed)
