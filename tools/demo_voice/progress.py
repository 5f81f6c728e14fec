"""What a training script prints while it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click
import numpy as np

EVERY = 50


class Progress:
    """Prints seconds, steps and the means of some figures, every fifty steps."""

    def __init__(self, figures: int) -> None:
        self._begin, self._step = time.time(), 0
        self._sums = np.zeros(figures)

    def add(self, figures: Sequence[float]) -> None:
        """Adds the figures of one step."""
        self._step += 1
        self._sums += figures
        if self._step % EVERY == 0:
            means = " ".join(f"{mean:.4f}" for mean in self._sums / EVERY)
            click.echo(f"{time.time() - self._begin:6.0f} s {self._step:6d} {means}")
            self._sums[:] = 0
