"""What the schedulers need of a device and of an engine, and nothing more.

CUDA fulfils it in `sovits_runtime.gpu.cuda`; the tests fulfil it with NumPy and streams that run in a hostile order, so
that an event or a synchronisation that is missing here shows as a wrong result there.

Work on one stream runs in the order in which it was given; work on two streams in any order, unless an event joins
them. Everything returns at once, except what is called `synchronize`. A pinned array that a pending transfer reads or
writes must not be touched until that transfer is known to be over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import ShapeError

ALIGNMENT = 256
"""Alignment of every array in device memory, in bytes; TensorRT requires it of its tensors."""


class Memory(Protocol):
    """A piece of device memory."""

    address: int
    nbytes: int

    def free(self) -> None:
        """Gives it back; nothing that uses it may be pending."""


@dataclass(frozen=True)
class DeviceArray:
    """A contiguous array in device memory.

    Attributes:
        memory: Where it lies.
        offset: Its first byte there.
        shape: Its sizes.
        dtype: Its elements.
    """

    memory: Memory
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def address(self) -> int:
        """Device address of the first element."""
        return self.memory.address + self.offset

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def reshaped(self, shape: tuple[int, ...]) -> DeviceArray:
        """The same place read as another shape, which may be smaller.

        Raises:
            ShapeError: The shape needs more room than there is.
        """
        result = DeviceArray(self.memory, self.offset, shape, self.dtype)
        if result.nbytes > self.nbytes:
            raise ShapeError(f"an array of {list(shape)} does not fit where {list(self.shape)} was allocated")
        return result

    def row(self, index: int) -> DeviceArray:
        """Row `index` of the first axis, which is kept with size 1."""
        row = (1, *self.shape[1:])
        size = math.prod(row) * self.dtype.itemsize
        return DeviceArray(self.memory, self.offset + index * size, row, self.dtype)

    def span(self, start: int, stop: int) -> DeviceArray:
        """Elements `start` to `stop` of the flattened array."""
        return DeviceArray(
            self.memory, self.offset + start * self.dtype.itemsize, (stop - start,), self.dtype
        )


class Event(Protocol):
    """A point in a stream's work that others can wait for."""

    def synchronize(self) -> None:
        """Waits on the host until the work before the last `Stream.record` of this event is done.

        Raises:
            BackendError: Work on the device failed.
        """


class Graph(Protocol):
    """Captured work that can be launched again and again on the stream that captured it."""

    def free(self) -> None:
        """Gives it back; no launch may be pending."""


class Stream(Protocol):
    """An ordered queue of work. Used by one thread at a time.

    Attributes:
        handle: CUDA's.
        capturing: Whether work is recorded instead of run.
    """

    handle: int
    capturing: bool

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """Copies device memory; both have the same number of bytes."""

    def copy_positions(self, target: DeviceArray, source: DeviceArray, count: int) -> None:
        """Copies the first `count` positions between two caches [rows, H, S, D] that differ in S alone."""

    def clear(self, target: DeviceArray) -> None:
        """Sets every byte to zero."""

    def upload(self, target: DeviceArray, source: NDArray[Any]) -> None:
        """Copies a pinned array to the device."""

    def download(self, target: NDArray[Any], source: DeviceArray) -> None:
        """Copies from the device into a pinned array."""

    def record(self, event: Event) -> None:
        """Marks this point with an event."""

    def wait(self, event: Event) -> None:
        """Holds the work that follows until the event's last record so far is reached."""

    def synchronize(self) -> None:
        """Waits on the host until all work is done.

        Raises:
            BackendError: Work on the device failed.
        """

    def capture(self, enqueue: Callable[[], None]) -> Graph:
        """Records what `enqueue` gives to this stream, without running it.

        Raises:
            BackendError: Something in it cannot be captured; the stream can be used as before.
        """

    def launch(self, graph: Graph) -> None:
        """Gives captured work to the stream once more."""


class Device(Protocol):
    """One accelerator."""

    name: str

    def memory(self, nbytes: int) -> Memory:
        """Allocates device memory, content undefined.

        Raises:
            BackendError: There is not enough.
        """

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocates host memory that the device can reach while the host goes on; freed with the array."""

    def stream(self, *, urgent: bool = False) -> Stream:
        """Makes a stream; work on an urgent one starts before work that waits on others."""

    def event(self) -> Event:
        """Makes an event; waiting for one that was never recorded does not wait."""


class Context(Protocol):
    """An execution context of an engine, with its own addresses and scratch memory. Used by one stream at a time."""

    def bind(self, arrays: Mapping[str, DeviceArray]) -> None:
        """Sets place and shape of the inputs and outputs named; the others keep theirs.

        Raises:
            ShapeError: The engine does not take such a shape.
        """

    def enqueue(self, stream: Stream) -> None:
        """Gives one run to the stream. Every input and output is bound.

        Raises:
            BackendError: The engine refuses.
        """


class Engine(Protocol):
    """A graph ready for the device. Its weights are shared by all contexts. Safe to use from several threads.

    Attributes:
        spec: Its inputs and outputs; sizes of dimensions are bounded by their ranges.
        provider: What runs it, for reports.
        scratch_bytes: Device memory that a run needs beside inputs and outputs.
    """

    spec: GraphSpec
    provider: str
    scratch_bytes: int

    def context(self, scratch: DeviceArray) -> Context:
        """Makes a context whose runs use `scratch`, of at least `scratch_bytes`.

        Contexts that never overlap, such as those of one stream, may share it.
        """


class ShapedContext(Context, Protocol):
    """A context that knows the sizes of its outputs before it runs."""

    def output_shapes(self, inputs: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Returns the outputs' shapes for the shapes of all inputs.

        Raises:
            ShapeError: The engine does not take such shapes.
        """


class ShapedEngine(Engine, Protocol):
    """An engine that can tell its output sizes. The GPT's need not: their scheduler knows all sizes itself."""

    def context(self, scratch: DeviceArray) -> ShapedContext:
        """Makes a context; see `Engine.context`."""


class Layout:
    """Offsets of arrays in one piece of memory, collected before it is allocated."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._places: dict[str, tuple[int, tuple[int, ...], np.dtype[Any]]] = {}

    def add(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Adds an array."""
        if name in self._places:
            raise ShapeError(f"two arrays are called {name!r}")
        self._places[name] = (self.nbytes, shape, np.dtype(dtype))
        size = math.prod(shape) * np.dtype(dtype).itemsize
        self.nbytes += -(-max(size, 1) // ALIGNMENT) * ALIGNMENT

    def place(self, memory: Memory, offset: int = 0) -> dict[str, DeviceArray]:
        """Returns the arrays, laid into `memory` from `offset` on."""
        return {
            name: DeviceArray(memory, offset + start, shape, dtype)
            for name, (start, shape, dtype) in self._places.items()
        }
