"""One sentence in a batch on a device: what was launched for it, what came back, and what was handed out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.t2s.generator import Noise, Step
from sovits_runtime.t2s.sampling import SamplingOptions

Given = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]
"""Phones [T], BERT features [T, W], prompt [P]."""


class DeviceRow:
    """One sentence in a batch on a device; see `t2s.rows.Row`.

    Args:
        prefill: Runs its prefill; `DeviceRows.prefill`.

    Attributes:
        given, options, noise: As in `RowMaker.open_row`.
        index: Where it lies in the table; None: nowhere yet, or no longer.
        made, arrived, taken: Tokens that were launched, that came back, and that were asked for.
        last: Number of the step that makes the last token that it may.
        tokens: That came back and nobody asked for yet; `STOPPED` after the last one.
        ended: Whether the model has ended.
        problem: What went wrong with it.
        closed: Whether it is to leave.
    """

    def __init__(
        self,
        prefill: Callable[[DeviceRow], Step],
        given: Given,
        *,
        options: SamplingOptions,
        noise: Noise,
        last: int,
    ) -> None:
        self.given, self.options, self.noise, self.last = given, options, noise, last
        self.prefilled = len(given[0]) + len(given[2])
        self.index: int | None = None
        self.made = self.arrived = self.taken = 0
        self.tokens: deque[int] = deque()
        self.ended = self.closed = False
        self.problem: Exception | None = None
        self._prefill = prefill

    @property
    def positions(self) -> int:
        """Positions of its caches that the steps launched so far fill."""
        return self.prefilled + self.made - 1

    @property
    def wants_steps(self) -> bool:
        """Whether steps should be launched for whoever asks it for a token."""
        return self.index is not None and not self.closed

    @property
    def settled(self) -> bool:
        """Whether its next token is there, or will never be."""
        over = self.ended or self.problem is not None
        return bool(self.tokens) or over or (not self.wants_steps and self.arrived >= self.made)

    def first(self) -> Step:
        """Runs the prefill and returns the first token."""
        return self._prefill(self)

    def close(self) -> None:
        """Leaves the batch; returns at once, whatever the device is doing. A second call does nothing."""
        self.closed = True
