"""Rows of a batch on a device: sentences join and leave between two launches, and nothing is captured anew for them.

Steps are launched a few at a time, ahead of the tokens that are asked for, as `t2s.device_loop` does for one sentence;
the tokens of all rows come back together. A prefill has a stream of its own, and its row joins at the next launch.

    lanes     first(c) ............  step_rows(a, b) step_rows(a, b, c) ...
    prefill   |  prefill of c     |
    steps     | a b | a b | a b |copies| a b c | a b c | ...

A row that ends stands still in the graph until the host sees it in the tokens. Then its index is free: the next row
takes it, or the last row moves there where that makes the batch smaller.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.gpu.device import Device
from sovits_runtime.t2s.device_row import DeviceRow
from sovits_runtime.t2s.device_slot import GptEngines
from sovits_runtime.t2s.device_step import BATCH_STEPS, STOPPED, batch_size
from sovits_runtime.t2s.generator import MAX_NEW_TOKENS, Noise, Step
from sovits_runtime.t2s.row_prefill import RowPrefill, prefill_bytes
from sovits_runtime.t2s.row_table import Block, RowTable, table_bytes
from sovits_runtime.t2s.sampling import SamplingOptions

logger = logging.getLogger(__name__)

AHEAD = 2
"""Launches in flight: while the host hands out the tokens of one, the device works on the other."""
WARM_STEPS = 3
_NO_LOGITS = np.zeros(0, np.float32)


@dataclass(frozen=True)
class _Part:
    """A row's share of a launch: which row, where it lay, its first step and how many."""

    row: DeviceRow
    index: int
    start: int
    count: int


@dataclass(frozen=True)
class _Launch:
    block: Block
    parts: tuple[_Part, ...]


class DeviceRows:
    """Rows of one voice on a device; see `t2s.rows.RowMaker`. Safe to use from several threads.

    Args:
        device: Where.
        engines: Prefill and steps, those for batches included.
        rows: Rows that may be open at once.
        check: Refuses phones and prompts that the engines do not take; returns the shortest cache length that does.
        poll_steps: Steps of a launch.
        capture: Whether to capture steps once and replay them.
        strict: Whether a step that cannot be captured is an error.

    Attributes:
        memory_bytes: Device memory that all of it takes; weights are apart.
        rows: As given.
    """

    def __init__(
        self,
        device: Device,
        engines: GptEngines,
        *,
        rows: int,
        check: Callable[[NDArray[np.int64], NDArray[np.int64]], int],
        poll_steps: int = BATCH_STEPS,
        capture: bool = True,
        strict: bool = False,
    ) -> None:
        self.rows = rows
        self.memory_bytes = table_bytes(engines, rows) + prefill_bytes(engines)
        self._check, self._engines, self._device = check, engines, device
        self._lengths, self._poll = engines.lengths, min(poll_steps, BATCH_STEPS)
        self._end = int(engines.prefill.spec.tensor("seen").shape[1]) - 1
        self._capture, self._strict = capture, strict
        self._slot: RowPrefill | None = None
        self._table: RowTable | None = None
        self._at: list[DeviceRow | None] = []
        self._blocks: list[Block] = []
        self._launched: deque[_Launch] = deque()
        self._broken = False
        self._turn = threading.Lock()  # held to enqueue; prefills and steps are waited for without it
        self._prefilling, self._stepping = threading.Lock(), threading.Lock()

    @property
    def fallback(self) -> str:
        """Why steps are enqueued instead of replayed; empty when they are replayed, or none ran yet."""
        return "" if self._table is None else self._table.capturing.fallback

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of rows that are stepped together."""
        return tuple(size for size in sorted(self._engines.batches) if size <= batch_size(self.rows))

    def warm(self) -> None:
        """Allocates everything and runs a few steps of every batch on every cache length; nothing may be open.

        Raises:
            BackendError: There is not enough memory, an engine fails, or a step cannot be captured and must be.
        """
        try:
            with self._turn:
                table = self._ready()
                for index in range(len(self._lengths)):
                    table.use_length(index, 0, 0)
                    for size in table.sizes:
                        table.launch(size, WARM_STEPS, self._blocks[0])
                table.use_length(0, 0, 0)
                table.stream.synchronize()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Frees everything; nothing may be running. A device that is lost is no reason to raise here."""
        parts = [part for part in (self._table, self._slot) if part is not None]
        self._table = self._slot = None
        self._launched.clear()
        for part in parts:
            try:
                part.stream.synchronize()
                part.close()
            except BackendError as error:
                logger.warning("device memory was not freed: %s", error)

    def _ready(self) -> RowTable:
        """The table, made when first needed, and made fit again after something went wrong."""
        if self._table is None:
            self._slot = RowPrefill(self._device, self._engines)
            self._table = RowTable(
                self._device, self._engines, rows=self.rows, capture=self._capture, strict=self._strict
            )
            self._broken = True
        if self._broken:
            assert self._slot is not None
            self._table.stream.synchronize()
            self._table.reset()
            self._table.stream.record(self._slot.taken)
            self._at = [None] * self._table.rows
            self._blocks = [self._table.block() for _ in range(AHEAD)]
            self._launched.clear()
            self._broken = False
        return self._table

    # --- rows ---------------------------------------------------------------------------------------------------------

    def open_row(
        self,
        phones: NDArray[np.int64],
        bert: NDArray[np.float32],
        prompt: NDArray[np.int64],
        *,
        options: SamplingOptions,
        noise: Noise,
    ) -> DeviceRow:
        """Opens a request as a row; see `RowMaker.open_row`.

        Raises:
            ShapeError: The engines do not take so many phones or such a prompt.
        """
        self._check(phones, prompt)
        room = self._lengths[-1] - len(phones) - len(prompt)
        last = min(MAX_NEW_TOKENS - 1, room)  # each step fills one position
        return DeviceRow(self.prefill, (phones, bert, prompt), options=options, noise=noise, last=last)

    def prefill(self, row: DeviceRow) -> Step:
        """Runs a row's prefill, and lets it join the batch unless the model ended at once."""
        with self._prefilling:
            with self._turn:
                self._ready()
            slot = self._slot
            assert slot is not None
            slot.stream.synchronize()
            token, stop = slot.run(row.given, options=row.options, noise=row.noise(0), last=row.last)
            row.made = row.arrived = row.taken = 1
            row.ended = stop
            if not stop:
                with self._turn:
                    self._join(row, slot)
        return Step(token, stop, _NO_LOGITS)

    def step_rows(self, rows: Sequence[DeviceRow], *, lean: bool = False) -> list[Step | Exception]:
        """Makes the next token of every row; see `RowMaker.step_rows`."""
        with self._stepping:
            try:
                self._wait_for(rows)
            except Exception as error:  # of the device or of its engines: whoever is in the batch has it
                with self._turn:
                    self._fail(error)
            return [self._next(row) for row in rows]

    def _next(self, row: DeviceRow) -> Step | Exception:
        if row.tokens:
            row.taken += 1
            token = row.tokens.popleft()
            return Step(self._end, True, _NO_LOGITS) if token == STOPPED else Step(token, False, _NO_LOGITS)
        if row.problem is not None:
            return row.problem
        if row.closed or row.ended or not row.made:
            return BackendError("a row was asked for a token before its first one, or after its end")
        return ShapeError(
            f"the model makes at most {MAX_NEW_TOKENS} tokens in one go; split the text"
            if row.made == MAX_NEW_TOKENS
            else f"the sentence needs more than the {self._lengths[-1]} cache rows of the longest engine; "
            "split the text, or build engines with a longer cache"
        )

    def logits(self, rows: Sequence[DeviceRow]) -> NDArray[np.float32]:
        """Logits [rows, V] of the last step that was launched for each, for checks; waits for the device."""
        with self._stepping, self._turn:
            made = self._ready().logits()
            return np.stack([made[row.index] for row in rows if row.index is not None])

    # --- launches: all of these with the turn held --------------------------------------------------------------------

    def _wait_for(self, rows: Sequence[DeviceRow]) -> None:
        """Waits until the next token of each row is there, or will never be."""
        while True:
            with self._turn:
                while len(self._launched) < AHEAD and any(
                    row.wants_steps and row.made - row.taken <= self._poll for row in rows
                ):
                    self._launch()
                if all(row.settled for row in rows):
                    return
                launch = self._launched[0]
            launch.block.event.synchronize()
            with self._turn:
                self._launched.popleft()
                self._blocks.append(launch.block)
                for part in launch.parts:
                    self._arrive(part, launch.block.history)

    def _launch(self) -> None:
        """Enqueues some steps of all rows."""
        table, drawn = self._ready(), self._drawn()
        live = list(drawn)
        if not live:
            return
        self._compact(live)
        self._fit([row.positions + len(noise) for row, noise in drawn.items()])
        block, parts = self._blocks.pop(), []
        for row, noise in drawn.items():
            assert row.index is not None
            for step, samples in enumerate(noise, row.made):
                block.noise[row.index, step % BATCH_STEPS] = samples
            parts.append(_Part(row, row.index, row.made, len(noise)))
        size = batch_size(max(part.index for part in parts) + 1)
        table.launch(size, max(part.count for part in parts), block)
        self._launched.append(_Launch(block, tuple(parts)))
        for part in parts:
            part.row.made += part.count
            if part.row.made > part.row.last:
                self._leave(part.row)

    def _drawn(self) -> dict[DeviceRow, list[NDArray[np.float32]]]:
        """The rows that are to step, each with noise for its steps."""
        drawn = {}
        for row in self._live():
            count = min(self._poll, row.last + 1 - row.made)
            try:
                drawn[row] = [row.noise(step)[0] for step in range(row.made, row.made + count)]
            except Exception as error:  # of this row alone
                row.problem = error
                self._leave(row)
        return drawn

    def _live(self) -> list[DeviceRow]:
        """The rows in the table, those that were closed left out and taken out."""
        for row in self._at:
            if row is not None and row.closed:
                self._leave(row)
        return [row for row in self._at if row is not None]

    def _join(self, row: DeviceRow, slot: RowPrefill) -> None:
        table, live = self._ready(), self._live()
        if len(live) >= self.rows:
            raise BackendError(
                f"all {self.rows} rows of the batch are taken; load the voice with more, or close a row first"
            )
        index = self._at.index(None)
        try:
            self._fit([*(other.positions for other in live), row.prefilled + 1])
            table.join(index, slot, row.prefilled)
        except Exception as error:  # who knows what of it was done
            self._fail(error)
            raise
        self._at[index], row.index = row, index

    def _leave(self, row: DeviceRow) -> None:
        """Frees a row's index; what was launched with it runs on, and its tokens count where it has not ended."""
        index, row.index = row.index, None
        if index is not None and self._table is not None:
            self._at[index] = None
            self._table.park(index)

    def _compact(self, live: Sequence[DeviceRow]) -> None:
        """Moves the last rows into gaps where that makes the batch smaller."""
        assert self._table is not None
        most = batch_size(len(live))
        for row in live:
            assert row.index is not None
            if row.index >= most:
                old, new = row.index, self._at.index(None)
                self._table.move(old, new, row.positions)
                self._table.park(old)
                self._at[old], self._at[new], row.index = None, row, new

    def _fit(self, positions: Sequence[int]) -> None:
        """Moves to the shortest caches that hold so many positions of each row."""
        assert self._table is not None
        index = next(i for i, length in enumerate(self._lengths) if length >= max(positions))
        live = [row for row in self._at if row is not None]
        rows = max((row.index + 1 for row in live if row.index is not None), default=0)
        self._table.use_length(index, rows, max((row.positions for row in live), default=0))

    def _arrive(self, part: _Part, history: NDArray[np.int64]) -> None:
        """Takes a row's tokens that came back."""
        row = part.row
        row.arrived += part.count
        if row.ended or row.problem is not None:
            return
        for step in range(part.start, part.start + part.count):
            token = int(history[part.index, step % BATCH_STEPS])
            row.tokens.append(token)
            if token == STOPPED:
                row.ended = True
                self._leave(row)
                return

    def _fail(self, error: Exception) -> None:
        """Ends all rows with an error; the table is made fit again before anybody joins."""
        for row in [row for row in self._at if row is not None] + [
            part.row for launch in self._launched for part in launch.parts
        ]:
            row.problem, row.index = row.problem or error, None
        self._at = [None] * len(self._at)
        self._launched.clear()
        self._broken = True
