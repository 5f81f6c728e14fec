"""What a batch of rows needs on the device: buffers for each row, contexts and captured steps for each number of rows.

A row lies at an index. A batch of n rows steps the first n of them, at the same addresses each time, so a captured step
serves whoever is there: rows come, move and go by copies between two steps. Indices where no row is are parked: their
step stands still, at a position that every cache has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import ShapeError
from sovits_runtime.gpu.device import Context, Device, DeviceArray, Engine, Event, Graph, Layout
from sovits_runtime.t2s.captured_step import StepCapture
from sovits_runtime.t2s.device_slot import OPTIONS, GptEngines
from sovits_runtime.t2s.device_step import BATCH_STEPS, FEEDBACK, batch_size
from sovits_runtime.t2s.row_prefill import RowPrefill

_ROW_INPUTS = ("text_len", "prompt_len", *OPTIONS, "last")
"""Inputs of a row that stay as they are until another row takes its index."""
_PARKED = {"token": 0, "step": 1, "stopped": True, "text_len": 1, "prompt_len": 0, "last": 1}


@dataclass
class _Step:
    """The step of one number of rows on one cache length."""

    context: Context
    graph: Graph | None = None
    warm: bool = False


@dataclass
class Block:
    """Host memory for one launch of steps; free again once `event` is reached.

    Attributes:
        noise: Pinned float32 [rows, BATCH_STEPS, V]: of step s at place s modulo BATCH_STEPS.
        history: Pinned int64 [rows, BATCH_STEPS]: the tokens that came back, at the same places.
        event: Reached when they did.
    """

    noise: NDArray[np.float32]
    history: NDArray[np.int64]
    event: Event


class RowTable:
    """Rows of one voice on the device. Used by one thread at a time; nothing here waits, but for a first capture.

    Args:
        engines: Prefill and steps, those for batches included.
        rows: How many rows it holds at least.
        capture: Whether to replay captured steps; otherwise each is enqueued.
        strict: Whether a step that cannot be captured is an error.

    Attributes:
        rows: How many rows it holds: as many as the largest batch has.
        sizes: Numbers of rows that are stepped together.
        nbytes: Device memory that it takes.
        stream: Everything that rows do after their prefill runs here.
        lengths: Cache lengths, shortest first.
        index: Of the length that the rows are in now.
        capturing: Captures steps, and knows why they are enqueued.
    """

    def __init__(
        self, device: Device, engines: GptEngines, *, rows: int, capture: bool, strict: bool
    ) -> None:
        self.rows, self.lengths, self.index = batch_size(rows), engines.lengths, 0
        self.sizes = tuple(size for size in engines.batches if size <= self.rows)
        self.capturing = StepCapture(capture=capture, strict=strict)
        self.nbytes = table_bytes(engines, rows)
        inputs, state, caches, scratch = _layouts(engines, rows)
        self._memory = device.memory(self.nbytes)
        self.arrays = inputs.place(self._memory)
        states = [inputs.nbytes, inputs.nbytes + state.nbytes]
        self._state, self._next_state = (
            DeviceArray(self._memory, start, (state.nbytes,), np.dtype(np.uint8)) for start in states
        )
        self.arrays |= state.place(self._memory, states[0])
        following = state.place(self._memory, states[1])
        self.arrays |= {f"next_{name}": array for name, array in following.items()}
        offset, self._caches = states[1] + state.nbytes, []
        for layout in caches:
            self._caches.append(layout.place(self._memory, offset))
            offset += layout.nbytes
        room = DeviceArray(self._memory, self.nbytes - scratch, (scratch,), np.dtype(np.uint8))
        self.stream = device.stream(urgent=True)
        self._steps: dict[tuple[int, int], _Step] = {}
        for size in self.sizes:
            for index, engine in enumerate(engines.batches[size]):
                context = engine.context(room)
                context.bind(self._bound(engine.spec, size, self._caches[index]))
                self._steps[size, index] = _Step(context)
        self._device, self._vocab = device, self.arrays["seen"].shape[1]
        self._pinned = _parked_values(device)
        self._places = device.pinned((self.rows,), np.int64)
        self._places[...] = BATCH_STEPS * np.arange(self.rows)

    def reset(self) -> None:
        """Parks all rows, and fills memory with what no step stumbles over. To be done before anything else."""
        for array in (
            *self.arrays.values(),
            *(cache for caches in self._caches for cache in caches.values()),
        ):
            self.stream.clear(array)
        self.stream.upload(self.arrays["noise_place"], self._places)
        for row in range(self.rows):
            self.park(row)
        self.index = 0

    def block(self) -> Block:
        """Makes host memory for a launch."""
        noise = self._device.pinned((self.rows, BATCH_STEPS, self._vocab), np.float32)
        noise[...] = 1
        history = self._device.pinned((self.rows, BATCH_STEPS), np.int64)
        return Block(noise, history, self._device.event())

    def join(self, row: int, prefill: RowPrefill, positions: int) -> None:
        """Takes what a prefill made as a row, whose first `positions` positions its keys and values are."""
        self.stream.wait(prefill.made)
        arrays, given = self.arrays, prefill.arrays
        for name in _ROW_INPUTS:
            self.stream.copy(arrays[name].row(row), given[name])
        for name in ("token", "seen", "stopped"):
            self.stream.copy(arrays[name].row(row), given[f"next_{name}"])
        self.stream.copy(arrays["step"].row(row), given["one"])
        for name, cache in self._caches[self.index].items():
            self.stream.clear(cache.row(row))
            self.stream.copy_positions(cache.row(row), prefill.keys_values[name], positions)
        self.stream.record(prefill.taken)

    def move(self, row: int, to: int, positions: int) -> None:
        """Puts a row, of which so many positions are filled, at another index; its old one is to be parked."""
        arrays = self.arrays
        for name in (*_ROW_INPUTS, *FEEDBACK):
            self.stream.copy(arrays[name].row(to), arrays[name].row(row))
        for cache in self._caches[self.index].values():
            self.stream.clear(cache.row(to))
            self.stream.copy_positions(cache.row(to), cache.row(row), positions)

    def park(self, row: int) -> None:
        """Makes a row stand still; what is captured may run over it."""
        for name, value in self._pinned.items():
            self.stream.upload(self.arrays[name].row(row), value)
            if name in FEEDBACK:  # else an older state would come back with that of the others
                self.stream.upload(self.arrays[f"next_{name}"].row(row), value)

    def use_length(self, index: int, rows: int, positions: int) -> None:
        """Moves the first rows, of which at most so many positions are filled, to the caches of another length."""
        if index == self.index:
            return
        for name, cache in self._caches[index].items():
            self.stream.clear(cache)
            if rows:
                source = self._caches[self.index][name]
                self.stream.copy_positions(_first(cache, rows), _first(source, rows), positions)
        self.index = index

    def launch(self, size: int, count: int, block: Block) -> None:
        """Enqueues `count` steps of the first `size` rows with the block's noise, and the copy of their tokens back."""
        arrays = self.arrays
        self.stream.upload(_first(arrays["noise_block"], size), block.noise[:size])
        step = self._steps[size, self.index]
        for _ in range(count):
            if step.graph is None and step.warm:
                step.graph = self.capturing.captured(self.stream, lambda: self._step(step))
            if step.graph is not None:
                self.stream.launch(step.graph)
            else:
                self._step(step)
                step.warm = True
        self.stream.download(block.history[:size], _first(arrays["history"], size))
        self.stream.record(block.event)

    def logits(self) -> NDArray[np.float32]:
        """Logits [rows, V] of the last step at each index, for checks; waits for the stream."""
        array = self.arrays["logits"]
        host = self._device.pinned(array.shape, np.float32)
        self.stream.download(host, array)
        self.stream.synchronize()
        return host

    def close(self) -> None:
        """Gives the memory back; no work may be pending."""
        for step in self._steps.values():
            if step.graph is not None:
                step.graph.free()
        self._memory.free()

    def _step(self, step: _Step) -> None:
        step.context.enqueue(self.stream)
        self.stream.copy(self._state, self._next_state)

    def _bound(self, spec: GraphSpec, size: int, caches: Mapping[str, DeviceArray]) -> dict[str, DeviceArray]:
        known = {**self.arrays, **caches, **{out: caches[name] for name, out in spec.aliases}}
        return {name: _first(known[name], size) for name in (*spec.input_names, *spec.output_names)}


def table_bytes(engines: GptEngines, rows: int) -> int:
    """Device memory that a table of so many rows takes."""
    inputs, state, caches, scratch = _layouts(engines, rows)
    return inputs.nbytes + 2 * state.nbytes + sum(layout.nbytes for layout in caches) + scratch


def _first(array: DeviceArray, rows: int) -> DeviceArray:
    return array.reshaped((rows, *array.shape[1:]))


def _layouts(engines: GptEngines, rows: int) -> tuple[Layout, Layout, tuple[Layout, ...], int]:
    """Inputs and outputs, the state that feeds itself, caches by length, scratch bytes."""
    held = batch_size(rows)
    if held not in engines.batches:
        raise ShapeError(f"rows of a batch: got {rows}, there are steps for {sorted(engines.batches)}")
    steps = engines.batches[held]
    spec = steps[-1].spec

    def size_of(spec: GraphSpec, name: str) -> tuple[int, ...]:
        shape = spec.tensor(name).shape
        return tuple(held if i == 0 else int(d) for i, d in enumerate(shape))

    inputs, state, caches = Layout(), Layout(), []
    for name in (*_ROW_INPUTS, "noise_block", "noise_place", "logits"):
        inputs.add(name, size_of(spec, name), spec.tensor(name).dtype)
    for name in FEEDBACK:
        state.add(name, size_of(spec, name), spec.tensor(name).dtype)
    for engine in steps:
        layout = Layout()
        for name, _ in engine.spec.aliases:
            layout.add(name, size_of(engine.spec, name), engine.spec.tensor(name).dtype)
        caches.append(layout)
    used: list[Engine] = [e for n, made in engines.batches.items() if n <= held for e in made]
    return inputs, state, tuple(caches), max(e.scratch_bytes for e in used)


def _parked_values(device: Device) -> dict[str, NDArray[Any]]:
    values = {}
    for name, value in _PARKED.items():
        values[name] = device.pinned((1,), np.bool_ if isinstance(value, bool) else np.int64)
        values[name][...] = value
    return values
