"""The interface through which the runtime runs a graph, whatever the backend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.bundle.memory_block import ALIGNMENT, MemoryBlock


@dataclass(frozen=True)
class SessionOptions:
    """How to open a graph.

    Attributes:
        device: Where it runs, "cpu", "cuda" or "webgpu".
        threads: Threads within one operator; None: the physical cores that this process may use, see `usable_cores`.
        prepack: Whether weights may be copied to a layout that runs faster. Without it they stay memory-mapped: the
            graph loads at once and shares its weights with other sessions and processes.
        keep_buffers: Whether memory of intermediate results is kept for the next run. Without it, it goes back to the
            system after each run: worth it for graphs that run for long and seldom. On the CPU only.
        optimized: Whether the file holds the graph as this backend optimized it, see `backends.prepacked`.
        strict: Whether whatever cannot run as requested is an error.
        tf32: On a GPU, whether products may be rounded as tensor cores do it; for graphs in FP16.
    """

    device: str = "cpu"
    threads: int | None = None
    prepack: bool = True
    keep_buffers: bool = True
    optimized: bool = False
    strict: bool = False
    tf32: bool = False


class Binding(Protocol):
    """One graph bound to arrays that outlive a call, for loops that change a few numbers a step."""

    def run(self) -> None:
        """Runs the graph on what the bound input arrays hold now and fills the bound output arrays."""


class Session(Protocol):
    """One graph, ready to run. Safe to use from several threads at once."""

    spec: GraphSpec
    provider: str

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph on NumPy arrays.

        Raises:
            ShapeError: An input has the wrong name, dtype or shape.
            BackendError: The backend failed.
        """


class BindableSession(Session, Protocol):
    """A graph that can also be bound to arrays.

    Attributes:
        cache_quantum: Number of positions by which its caches should grow.
    """

    cache_quantum: int

    def grown_caches(self, capacity: int, *, old: Mapping[str, Array], rows: int) -> dict[str, Array]:
        """Makes all caches.

        Args:
            capacity: Positions in the new caches; those that are not copied are zeros.
            old: Earlier caches, by name, whose first positions are copied.
            rows: How many positions are copied.
        """

    def bind(self, arrays: Mapping[str, Array]) -> Binding:
        """Binds every input and output to an array.

        A pair of `spec.aliases` may share one and is updated in place.

        Raises:
            ShapeError: An array is missing or has the wrong dtype or shape.
        """


CPU_CACHE_QUANTUM = 128
"""Positions by which caches grow on the CPU, where a step should read little more than it needs."""


def caches_in_memory(
    spec: GraphSpec, capacity: int, *, old: Mapping[str, Array], rows: int
) -> dict[str, Array]:
    """Makes caches as arrays in one block of memory; see `BindableSession.grown_caches`."""
    tensors = [spec.tensor(name) for name, _ in spec.aliases]
    shapes = [t.resolve({"batch": 1, "cache_size": capacity}) for t in tensors]
    sizes = [math.prod(shape) * np.dtype(t.dtype).itemsize for t, shape in zip(tensors, shapes, strict=True)]
    block, caches = MemoryBlock(sum(sizes) + ALIGNMENT * len(sizes)), {}
    for t, shape, size in zip(tensors, shapes, sizes, strict=True):
        cache = block.take(size).view(t.dtype).reshape(shape)
        cache[:, :, rows:] = 0
        if rows:
            cache[:, :, :rows] = old[t.name][:, :, :rows]
        caches[t.name] = cache
    return caches
