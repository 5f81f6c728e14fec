"""Runs graphs on a device with NumPy arrays as inputs and outputs: all graphs but the GPT's.

A request takes an `ExecutionSlot`: a CUDA stream with an execution context and buffers for each engine. Each slot has a
stream of its own, so the decoder runs while the next tokens are generated on another stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.errors import ShapeError
from sovits_runtime.gpu.device import (
    ALIGNMENT,
    Device,
    DeviceArray,
    Layout,
    Memory,
    ShapedContext,
    ShapedEngine,
)
from sovits_runtime.gpu.pool import SlotPool


@dataclass
class _EngineContext:
    """One engine's execution context, with device and pinned host buffers for its largest sizes."""

    spec: GraphSpec
    context: ShapedContext
    memory: Memory
    arrays: dict[str, DeviceArray]
    host: dict[str, NDArray[Any]]


class ExecutionSlot:
    """A stream with an execution context and buffers for each engine, allocated once.

    One request uses it at a time. Its contexts run one after the other on the stream, so they share scratch memory.
    """

    def __init__(self, device: Device, engines: Mapping[str, ShapedEngine]) -> None:
        self.stream = device.stream()
        scratch = max((e.scratch_bytes for e in engines.values()), default=0)
        self._scratch = device.memory(-(-max(scratch, 1) // ALIGNMENT) * ALIGNMENT)
        self._contexts: dict[str, _EngineContext] = {}
        self.nbytes = self._scratch.nbytes
        shared = DeviceArray(self._scratch, 0, (self._scratch.nbytes,), np.dtype(np.uint8))
        try:
            for name, engine in engines.items():
                self._contexts[name] = _create_context(device, engine, shared)
                self.nbytes += self._contexts[name].memory.nbytes
        except BaseException:
            self.close()
            raise

    def run(self, name: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs one engine and waits for its outputs."""
        engine = self._contexts[name]
        bound = {}
        for key, value in feeds.items():
            staged = engine.host[key].reshape(-1)[: value.size].reshape(value.shape)
            staged[...] = value
            bound[key] = engine.arrays[key].reshaped(value.shape)
            self.stream.upload(bound[key], staged)
        shapes = engine.context.output_shapes({key: value.shape for key, value in feeds.items()})
        outputs = {key: engine.arrays[key].reshaped(shape) for key, shape in shapes.items()}
        engine.context.bind({**bound, **outputs})
        engine.context.enqueue(self.stream)
        for key, array in outputs.items():
            self.stream.download(_part(engine.host[key], array.shape), array)
        self.stream.synchronize()
        return {key: _part(engine.host[key], array.shape).copy() for key, array in outputs.items()}

    def warm(self) -> None:
        """Runs every engine once, so that no request pays for what the first run of each sets up."""
        for name, engine in self._contexts.items():
            self.run(name, engine.spec.zeros())

    def close(self) -> None:
        """Gives the memory back; no work may be pending."""
        for engine in self._contexts.values():
            engine.memory.free()
        self._scratch.free()


class DeviceGraph:
    """A graph that runs in whichever slot is free; see `sovits_runtime.bundle.session.Session`."""

    def __init__(self, engine: ShapedEngine, slots: SlotPool[ExecutionSlot], name: str) -> None:
        self.spec = engine.spec
        self.provider = engine.provider
        self._slots = slots
        self._name = name

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph on NumPy arrays; see `Session.run`."""
        sizes = self.spec.check(feeds)
        for dim, size in sizes.items():
            if size > self.spec.dim_ranges[dim].max:
                raise ShapeError(
                    f"graph {self.spec.name}: {dim} is {size}, the engine takes at most "
                    f"{self.spec.dim_ranges[dim].max}; split the input, or build engines with a wider range"
                )
        with self._slots.slot() as slot:
            return slot.run(self._name, feeds)


def _create_context(device: Device, engine: ShapedEngine, scratch: DeviceArray) -> _EngineContext:
    spec, context = engine.spec, engine.context(scratch)
    largest = {name: r.max for name, r in spec.dim_ranges.items()}
    shapes = {t.name: t.resolve(largest) for t in spec.inputs}
    shapes |= context.output_shapes(shapes)
    layout = Layout()
    for t in (*spec.inputs, *spec.outputs):
        layout.add(t.name, shapes[t.name], t.dtype)
    memory = device.memory(layout.nbytes)
    host = {t.name: device.pinned(shapes[t.name], t.dtype) for t in (*spec.inputs, *spec.outputs)}
    return _EngineContext(spec, context, memory, layout.place(memory), host)


def _part(host: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return host.reshape(-1)[: int(np.prod(shape))].reshape(shape)
