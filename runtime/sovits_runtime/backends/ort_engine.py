"""Graphs on ONNX Runtime's CUDA provider as `Engine`: they run on our streams, on our arrays, and do not wait.

A session of ONNX Runtime belongs to one stream for life, so every context opens one of its own. The weights lie on the
device once, and all sessions read them there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.backends.onnxruntime import operators_on_cpu
from sovits_runtime.bundle.external_weights import map_external
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.gpu.device import Device, DeviceArray, Layout, Memory, Stream
from sovits_runtime.gpu.dlpack import Exported
from sovits_runtime.machine.onnx_runtime import ort_errors

PROVIDER = "CUDAExecutionProvider"
NO_WAIT = ("disable_synchronize_execution_providers", "1")


class DeviceWeights:
    """Weights of graphs that read one file, each on the device once.

    They lie in memory of ours, and sessions get views: ONNX Runtime's own arena would take up to twice as much, and
    keep it until the process ends.

    Args:
        ort: The module `onnxruntime`.
        device: Where they lie.

    Attributes:
        nbytes: Device memory that they take.
    """

    def __init__(self, ort: Any, device: Device) -> None:
        self.ort = ort
        self.nbytes = 0
        self._device = device
        self._memories: list[Memory] = []
        self._values: dict[tuple[str, int], Any] = {}

    def of(self, path: Path) -> dict[str, Any]:
        """Returns the weights of a graph by name, as values on the device; they must not outlive this object's `free`.

        Args:
            path: The `.onnx` file, in the same folder as the others.

        Raises:
            BackendError: There is not enough memory.
        """
        weights = map_external(path)
        missing = {place: array for place, array in weights.values() if place not in self._values}
        if missing:
            self._upload(missing)
        return {name: self._values[place] for name, (place, _) in weights.items()}

    def free(self) -> None:
        """Gives the memory back; no session that reads it may run any more."""
        self._values.clear()
        while self._memories:
            self._memories.pop().free()
        self.nbytes = 0

    def _upload(self, arrays: Mapping[tuple[str, int], NDArray[Any]]) -> None:
        layout = Layout()
        for (file, offset), array in arrays.items():
            layout.add(f"{file} {offset}", array.shape, array.dtype)
        self._memories.append(self._device.memory(layout.nbytes))
        self.nbytes += layout.nbytes
        staged = self._device.pinned((max(a.nbytes for a in arrays.values()),), np.uint8)
        stream = self._device.stream()
        places = layout.place(self._memories[-1])
        for (place, array), target in zip(arrays.items(), places.values(), strict=True):
            part = staged[: array.nbytes].view(array.dtype).reshape(array.shape)
            part[...] = array
            stream.upload(target, part)
            stream.synchronize()
            self._values[place] = self.ort.OrtValue.from_dlpack(Exported(target))


class OrtEngine:
    """One graph; see `sovits_runtime.gpu.device.Engine`.

    Args:
        spec: Its inputs and outputs.
        open_session: Opens it as a session of ONNX Runtime that runs on a CUDA stream, given by its handle.
        run_options: ONNX Runtime's options of every run; they must not make it wait for the stream.
    """

    provider = PROVIDER
    scratch_bytes = 0  # in ONNX Runtime's own arena

    def __init__(self, spec: GraphSpec, open_session: Callable[[int], Any], run_options: Any) -> None:
        self.spec = spec
        self.open_session = open_session
        self.run_options = run_options

    def context(self, scratch: DeviceArray) -> OrtContext:
        """Makes a context; see `Engine.context`."""
        return OrtContext(self)


class OrtContext:
    """One session and what it is bound to; see `sovits_runtime.gpu.device.Context`."""

    def __init__(self, engine: OrtEngine) -> None:
        self._engine = engine
        self._stream = 0
        self._on_cpu = ""
        self._session: Any = None
        self._binding: Any = None
        self._arrays: dict[str, DeviceArray] = {}

    def bind(self, arrays: Mapping[str, DeviceArray]) -> None:
        """Sets places and shapes; see `Context.bind`."""
        spec = self._engine.spec
        for name, array in arrays.items():
            t = spec.tensor(name)
            if array.dtype != np.dtype(t.dtype) or len(array.shape) != len(t.shape):
                raise ShapeError(
                    f"graph {spec.name}, {name}: expected {t.dtype}{list(t.shape)}, got "
                    f"{array.dtype}{list(array.shape)}"
                )
        self._arrays.update(arrays)
        self._binding = None

    def enqueue(self, stream: Stream) -> None:
        """Gives one run to the stream; see `Context.enqueue`."""
        if self._session is None or stream.handle != self._stream:
            self._session, self._binding = self._engine.open_session(stream.handle), None
            self._stream, self._on_cpu = stream.handle, operators_on_cpu(self._session, sizes=True)
        if stream.capturing and self._on_cpu:  # what they compute now would be taken for every replay
            raise BackendError(
                f"graph {self._engine.spec.name}: ONNX Runtime runs {self._on_cpu} on the CPU, which a CUDA graph "
                "would not run again"
            )
        with ort_errors(f"graph {self._engine.spec.name}: ONNX Runtime failed"):
            if self._binding is None:
                self._binding = self._bound()
            self._session.run_with_iobinding(self._binding, self._engine.run_options)

    def _bound(self) -> Any:
        binding, spec = self._session.io_binding(), self._engine.spec
        spec.check_bound(self._arrays)
        for names, bind in ((spec.input_names, binding.bind_input), (spec.output_names, binding.bind_output)):
            for name in names:
                a = self._arrays[name]
                bind(name, "cuda", 0, a.dtype.type, list(a.shape), a.address)
        return binding
