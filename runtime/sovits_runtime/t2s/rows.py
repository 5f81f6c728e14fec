"""Sentences as rows of a batch: each steps when all do, joins and leaves between two tokens, and keeps its own state.

`t2s.host_loop.TextToSemantic` steps rows together where its step can, and one after the other where it cannot. A GPU
has `t2s.device_rows.DeviceRows` as its generator's `rows`, where the bundle or its engines have steps for batches. Any
other generator is driven by its token streams, row by row. Numbers of a row are those of the request alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import BackendError
from sovits_runtime.t2s.generator import MAX_NEW_TOKENS, Noise, SemanticGenerator, Step, TokenStream
from sovits_runtime.t2s.sampling import SamplingOptions


class Row(Protocol):
    """One sentence in a batch; used by one thread at a time."""

    def first(self) -> Step:
        """Runs the prefill and returns the first token."""

    def close(self) -> None:
        """Frees its state; a second call does nothing."""


class RowMaker(Protocol):
    """What rows are opened from, and step in. Safe to use from several threads, but for the rows of one call."""

    def open_row(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        noise: Noise,
    ) -> Row:
        """Opens a request as a row; arguments as in `SemanticGenerator.steps`."""

    def step_rows(self, rows: Sequence[Any], *, lean: bool = False) -> list[Step | Exception]:
        """Makes the next token of every row.

        Args:
            rows: Rows of this maker, after their `first`.
            lean: Whether to leave cores to something that runs beside.

        Returns:
            For each row its token, or what failed; that row is of no more use, others are.
        """


def row_maker(generator: SemanticGenerator) -> RowMaker:
    """A generator as a maker of rows."""
    own: RowMaker | None = getattr(generator, "rows", None)
    if own is not None:
        return own
    maker: RowMaker = generator if hasattr(generator, "open_row") else StreamRows(generator)  # type: ignore[assignment]
    return maker


class StreamRows:
    """Rows of a generator that knows streams alone: each steps by itself.

    Args:
        generator: Of the tokens.
    """

    def __init__(self, generator: SemanticGenerator) -> None:
        self._generator = generator

    def open_row(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        noise: Noise,
    ) -> StreamRow:
        """Opens a request as a row; see `RowMaker.open_row`."""
        tokens = self._generator.tokens(
            phones, bert, prompt, options=options, noise=noise, max_tokens=MAX_NEW_TOKENS
        )
        return StreamRow(tokens, self._generator.vocab)

    def step_rows(self, rows: Sequence[StreamRow], *, lean: bool = False) -> list[Step | Exception]:
        """Makes the next token of every row; see `RowMaker.step_rows`."""
        made: list[Step | Exception] = []
        for row in rows:
            try:
                made.append(row.first())
            except Exception as error:  # of this row alone
                made.append(error)
        return made


class StreamRow:
    """A token stream as a row."""

    def __init__(self, tokens: TokenStream, vocab: int) -> None:
        self._tokens = tokens
        self._each: Iterator[int] = iter(tokens)
        self._end = vocab - 1
        self._none = np.zeros(0, np.float32)

    def first(self) -> Step:
        """Takes the next token, the first one included."""
        token = next(self._each, None)
        if token is not None:
            return Step(token, False, self._none)
        if self._tokens.stop_reason != "eos":
            raise BackendError("a row was asked for more tokens than its stream has; end it at its limit")
        return Step(self._end, True, self._none)

    def close(self) -> None:
        """Frees its state."""
        self._tokens.close()
