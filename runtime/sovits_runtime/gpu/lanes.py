"""Graphs on a device that take NumPy arrays and give NumPy arrays: all but the token steps.

They run in lanes, each with a stream of its own, so that sound is made while the next tokens decode on another stream.
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
class _Place:
    """One engine's place in a lane: buffers for its largest sizes."""

    spec: GraphSpec
    context: ShapedContext
    memory: Memory
    arrays: dict[str, DeviceArray]
    host: dict[str, NDArray[Any]]


class Lane:
    """A stream, scratch memory, and a context with buffers for each engine; allocated once.

    Contexts of a lane never overlap, so they share the scratch memory.
    """

    def __init__(self, device: Device, engines: Mapping[str, ShapedEngine]) -> None:
        self.stream = device.stream()
        scratch = max((e.scratch_bytes for e in engines.values()), default=0)
        self._scratch = device.memory(-(-max(scratch, 1) // ALIGNMENT) * ALIGNMENT)
        self._places: dict[str, _Place] = {}
        self.nbytes = self._scratch.nbytes
        shared = DeviceArray(self._scratch, 0, (self._scratch.nbytes,), np.dtype(np.uint8))
        try:
            for name, engine in engines.items():
                self._places[name] = _place(device, engine, shared)
                self.nbytes += self._places[name].memory.nbytes
        except BaseException:
            self.close()
            raise

    def run(self, name: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs one engine and waits for its outputs."""
        place = self._places[name]
        bound = {}
        for key, value in feeds.items():
            staged = place.host[key].reshape(-1)[: value.size].reshape(value.shape)
            staged[...] = value
            bound[key] = place.arrays[key].reshaped(value.shape)
            self.stream.upload(bound[key], staged)
        shapes = place.context.output_shapes({key: value.shape for key, value in feeds.items()})
        outputs = {key: place.arrays[key].reshaped(shape) for key, shape in shapes.items()}
        place.context.bind({**bound, **outputs})
        place.context.enqueue(self.stream)
        for key, array in outputs.items():
            self.stream.download(_part(place.host[key], array.shape), array)
        self.stream.synchronize()
        return {key: _part(place.host[key], array.shape).copy() for key, array in outputs.items()}

    def warm(self) -> None:
        """Runs every engine once, so that no request pays for what the first run of each sets up."""
        for name, place in self._places.items():
            self.run(name, place.spec.zeros())

    def close(self) -> None:
        """Gives the memory back; no work may be pending."""
        for place in self._places.values():
            place.memory.free()
        self._scratch.free()


class DeviceGraph:
    """One graph of the lanes, as the runtime calls graphs; see `sovits_runtime.bundle.session.Session`."""

    def __init__(self, engine: ShapedEngine, lanes: SlotPool[Lane], name: str) -> None:
        self.spec = engine.spec
        self.provider = engine.provider
        self._lanes = lanes
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
        with self._lanes.slot() as lane:
            return lane.run(self._name, feeds)


def _place(device: Device, engine: ShapedEngine, scratch: DeviceArray) -> _Place:
    spec, context = engine.spec, engine.context(scratch)
    largest = {name: r.max for name, r in spec.dim_ranges.items()}
    shapes = {t.name: t.resolve(largest) for t in spec.inputs}
    shapes |= context.output_shapes(shapes)
    layout = Layout()
    for t in (*spec.inputs, *spec.outputs):
        layout.add(t.name, shapes[t.name], t.dtype)
    memory = device.memory(layout.nbytes)
    host = {t.name: device.pinned(shapes[t.name], t.dtype) for t in (*spec.inputs, *spec.outputs)}
    return _Place(spec, context, memory, layout.place(memory), host)


def _part(host: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return host.reshape(-1)[: int(np.prod(shape))].reshape(shape)
