"""ONNX Runtime with CUDA for the fake device: its sessions read and write where the device's streams get to.

Only what touches the device is fake. Session options, with their fixed sizes and shared weights, are ONNX Runtime's
own, and so is the CPU session that computes.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from fake_device import FakeDevice, view

from sovits_runtime.backends import onnxruntime as backend
from sovits_runtime.backends import onnxruntime_cuda
from sovits_runtime.gpu.dlpack import ManagedTensor

CUDA_FAILURE = (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:122 onnxruntime::CudaCall(ERRTYPE, const char*) "
    "[with ERRTYPE = cudaError; bool THRW = true] CUDA failure 2: out of memory ; GPU=0 ; hostname=a ; "
    "file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_allocator.cc ; line=66 ; expr=cudaMalloc(&p, size); "
)
"""As ONNX Runtime 1.26 words it."""


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class FakeOrt:
    """The module, as far as graphs on CUDA use it."""

    RunOptions = onnxruntime.RunOptions
    SessionOptions = onnxruntime.SessionOptions
    GraphOptimizationLevel = onnxruntime.GraphOptimizationLevel
    __version__ = onnxruntime.__version__

    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.sessions: list[_Session] = []
        self.providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        self.falls_back = False
        self.problem = ""
        self.OrtValue = SimpleNamespace(from_dlpack=self._view)
        self.lacks: set[str] = set()

    def get_available_providers(self) -> list[str]:
        return self.providers

    def _view(self, data: Any) -> Any:
        """A value of the real ONNX Runtime at the address told, which is that of the fake device."""
        assert data.__dlpack_device__() == (2, 0)
        told = ManagedTensor.from_address(_pointer(data.__dlpack__(), b"dltensor"))
        assert (told.device_type, told.device_id, told.lanes, told.strides) == (2, 0, 1, None)
        sizes = (ctypes.c_int64 * told.ndim).from_address(told.shape)
        dtype = np.dtype(f"{'iuf'[told.code]}{told.bits // 8}")
        content = view(self.device.at(told.data, tuple(sizes), dtype))
        shown = SimpleNamespace(dtype=data.dtype, __dlpack__=content.__dlpack__)
        return onnxruntime.OrtValue.from_dlpack(shown)

    def InferenceSession(  # noqa: N802
        self, path: str, options: Any, providers: list[Any], enable_fallback: int
    ) -> _Session:
        assert not enable_fallback, "ONNX Runtime would print, and go on with the CPU"
        ((provider, settings),) = providers
        assert provider == "CUDAExecutionProvider"
        assert options.get_session_config_entry("session.record_ep_graph_assignment_info") == "1"
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.sessions.append(_Session(self, session, settings))
        return self.sessions[-1]


def use(ort: FakeOrt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts it and its device in the place of the real ones, where a GPU is asked for."""
    monkeypatch.setattr(onnxruntime_cuda, "open_cuda", lambda: ort.device)
    for module in (onnxruntime_cuda, backend):
        monkeypatch.setattr(module, "import_onnxruntime", lambda _: ort)


class _Binding:
    def __init__(self) -> None:
        self.inputs: dict[str, tuple[int, tuple[int, ...], np.dtype[Any]]] = {}
        self.outputs: dict[str, tuple[int, tuple[int, ...], np.dtype[Any]]] = {}

    def bind_input(self, name, device_type, device_id, element_type, shape, buffer_ptr) -> None:
        assert (device_type, device_id) == ("cuda", 0)
        self.inputs[name] = (buffer_ptr, tuple(shape), np.dtype(element_type))

    def bind_output(self, name, device_type, device_id, element_type, shape, buffer_ptr) -> None:
        assert (device_type, device_id) == ("cuda", 0)
        self.outputs[name] = (buffer_ptr, tuple(shape), np.dtype(element_type))


class _Session:
    def __init__(self, ort: FakeOrt, session: Any, settings: dict[str, str]) -> None:
        self.ort = ort
        self.session = session
        self.settings = settings
        self.runs = 0

    def get_providers(self) -> list[str]:
        return self.ort.providers[self.ort.falls_back :]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        """Everything on the GPU, but for sizes and for what it is told to lack."""
        parts = []
        for part in self.session.get_provider_graph_assignment_info():
            (node,) = part.get_nodes()
            on_cpu = node.op_type == "Shape" or node.op_type in self.ort.lacks
            name = "CPUExecutionProvider" if on_cpu else "CUDAExecutionProvider"
            parts.append(SimpleNamespace(ep_name=name, get_nodes=part.get_nodes))
        return parts

    def io_binding(self) -> _Binding:
        return _Binding()

    def run(self, names, feeds, run_options) -> list[np.ndarray]:
        self.runs += 1
        return self.session.run(names, feeds)

    def run_with_iobinding(self, binding: _Binding, run_options: Any) -> None:
        if self.ort.problem:
            raise RuntimeError(self.ort.problem)
        assert run_options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        device = self.ort.device
        handle = int(self.settings["user_compute_stream"])
        stream = next(s for s in device.streams if s.handle == handle)
        inputs = {name: device.at(*place) for name, place in binding.inputs.items()}
        outputs = {name: device.at(*place) for name, place in binding.outputs.items()}

        def work() -> None:
            made = self.session.run(list(outputs), {name: view(a).copy() for name, a in inputs.items()})
            for array, value in zip(outputs.values(), made, strict=True):
                assert (array.shape, array.dtype) == (value.shape, value.dtype)
                view(array)[...] = value

        stream.push(work)
