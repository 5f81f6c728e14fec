"""CUDA as a device, call by call, against a runtime that answers as told."""

# ruff: noqa: N815 - CUDA's names

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from sovits_runtime.errors import BackendError
from sovits_runtime.gpu import cuda
from sovits_runtime.gpu.cuda import CudaDevice, open_cuda
from sovits_runtime.gpu.cuda_errors import CudaError
from sovits_runtime.gpu.device import DeviceArray
from sovits_runtime.gpu.driver import driver_problem

NAMES = {
    2: b"cudaErrorMemoryAllocation",
    700: b"cudaErrorIllegalAddress",
    900: b"cudaErrorStreamCaptureUnsupported",
}


class Cudart:
    """Every function returns success and `values`, unless it is to `fail`; calls are noted."""

    cudaHostAllocPortable, cudaStreamNonBlocking, cudaEventDisableTiming = 1, 1, 2
    cudaMemcpyKind = SimpleNamespace(
        cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2, cudaMemcpyDeviceToDevice=3
    )
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaError_t = int
    values: ClassVar = {
        "cudaMalloc": 0x7000,
        "cudaDeviceGetStreamPriorityRange": (0, -5),
        "cudaStreamCreateWithPriority": 11,
        "cudaEventCreateWithFlags": 22,
        "cudaStreamEndCapture": 33,
        "cudaGraphInstantiate": 44,
        "cudaMemGetInfo": (3, 4),
        "cudaGetDeviceProperties": SimpleNamespace(name=b"Fake", major=8, minor=9),
    }

    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.fail: dict[str, int] = {}
        self.buffers: list = []

    def cudaGetErrorName(self, code):  # noqa: N802
        return 0, NAMES.get(code, b"cudaErrorUnknown")

    def cudaGetErrorString(self, code):  # noqa: N802
        return 0, b"what it means"

    def cudaHostAlloc(self, size, flags):  # noqa: N802
        self.buffers.append(ctypes.create_string_buffer(size))
        return 0, ctypes.addressof(self.buffers[-1])

    def __getattr__(self, name):
        def function(*arguments):
            self.note(name, arguments)
            code = self.fail.get(name, 0)
            value = self.values.get(name)
            values = value if isinstance(value, tuple) else () if value is None else (value,)
            return (code, *(None for _ in values)) if code else (0, *values)

        return function

    def note(self, name, arguments):
        self.calls.append((name, *arguments))

    def made(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


class CheckedCudart(Cudart):
    """The same, but the real bindings see every call first: they convert its arguments, then find no driver."""

    handles: ClassVar = {
        "cudaStreamCreateWithPriority": "cudaStream_t",
        "cudaEventCreateWithFlags": "cudaEvent_t",
        "cudaStreamEndCapture": "cudaGraph_t",
        "cudaGraphInstantiate": "cudaGraphExec_t",
    }

    def __init__(self) -> None:
        super().__init__()
        self.real = pytest.importorskip("cuda.bindings.runtime")
        self.values = dict(self.values)
        for name, kind in self.handles.items():
            self.values[name] = getattr(self.real, kind)(self.values[name])
        for name in (
            "cudaHostAllocPortable", "cudaStreamNonBlocking", "cudaEventDisableTiming",
            "cudaMemcpyKind", "cudaStreamCaptureMode", "cudaError_t",
        ):  # fmt: skip
            setattr(self, name, getattr(self.real, name))

    def cudaHostAlloc(self, size, flags):  # noqa: N802
        self.note("cudaHostAlloc", (size, flags))
        return super().cudaHostAlloc(size, flags)

    def note(self, name, arguments):
        status, *_ = getattr(self.real, name)(*arguments)
        assert name == "cudaGetLastError" or int(status) != 0, "a driver where there is none"
        super().note(name, tuple(a if isinstance(a, bytes) else int(a) for a in arguments))


@pytest.fixture(params=[Cudart, CheckedCudart], ids=["fake", "bindings"])
def cudart(request):
    if request.param is CheckedCudart and not driver_problem():
        pytest.skip("there is a driver, which would be given addresses of nothing")
    return request.param()


@pytest.fixture
def device(cudart):
    return CudaDevice(cudart)


def array(device, shape, dtype=np.float16, offset=0) -> DeviceArray:
    return DeviceArray(device.memory(1 << 20), offset, shape, np.dtype(dtype))


def test_errors_are_named_with_meaning_and_remedy(cudart, device):
    cudart.fail["cudaMalloc"] = 2
    with pytest.raises(CudaError) as caught:
        device.memory(3 << 20)
    assert str(caught.value) == (
        "CUDA could not allocate 3.0 MiB on Fake: cudaErrorMemoryAllocation (2), what it means; free GPU memory used "
        "by other programs, or load with fewer requests in flight or shorter caches"
    )
    assert not caught.value.lost
    assert cudart.made("cudaGetLastError")  # the next call must not report it again
    cudart.fail.clear()
    assert device.memory(5).address == 0x7000


def test_errors_that_corrupt_the_context_are_named_as_such(cudart, device):
    stream = device.stream()
    cudart.fail["cudaStreamSynchronize"] = 700
    with pytest.raises(
        CudaError, match=r"cudaErrorIllegalAddress .* lost; every request .* until the process is"
    ) as e:
        stream.synchronize()
    assert e.value.lost


def test_copies(cudart, device):
    stream = device.stream()
    source, target = array(device, (1, 4, 64, 16), offset=256), array(device, (1, 4, 96, 16))
    stream.copy_positions(target, source, 10)
    assert cudart.made("cudaMemcpy2DAsync") == [
        (0x7000, 96 * 32, 0x7100, 64 * 32, 10 * 32, 4, 3, 11)
    ]  # pitches are rows of 16 halves; one line a head
    host = device.pinned((4, 3), np.float32)
    host[...] = 2
    small = array(device, (4, 3), np.float32)
    stream.upload(small.row(1), host[1:2])
    stream.download(host, small)
    stream.copy(small.span(0, 3), small.span(3, 6))
    stream.upload(small.span(2, 2), host[:0])  # nothing to copy: no call
    assert cudart.made("cudaMemcpyAsync") == [
        (0x7000 + 12, host.ctypes.data + 12, 12, 1, 11),
        (host.ctypes.data, 0x7000, 48, 2, 11),
        (0x7000, 0x7000 + 12, 12, 3, 11),
    ]


def test_streams_of_tokens_go_first(cudart, device):
    device.stream()
    device.stream(urgent=True)
    assert cudart.made("cudaStreamCreateWithPriority") == [(1, 0), (1, -5)]


def test_memory_is_cleared_in_order(cudart, device):
    device.stream().clear(array(device, (4, 3), np.float32, offset=256))
    assert cudart.made("cudaMemsetAsync") == [(0x7100, 0, 48, 11)]


@pytest.mark.parametrize("ends_well", [True, False])
def test_no_garbage_is_collected_within_a_capture(device, ends_well):
    """It could free device memory, which no stream that captures allows."""
    seen = []

    def enqueue():
        seen.append(gc.isenabled())
        if not ends_well:
            raise BackendError("refused")

    with contextlib.nullcontext() if ends_well else pytest.raises(BackendError, match="refused"):
        device.stream().capture(enqueue)
    assert seen == [False]
    assert gc.isenabled()


def test_capture_and_replay(cudart, device):
    stream = device.stream()
    graph = stream.capture(lambda: stream.copy(array(device, (4,)), array(device, (4,), offset=256)))
    order = [c[0] for c in cudart.calls if "apture" in c[0] or "Graph" in c[0] or c[0] == "cudaMemcpyAsync"]
    assert order == [
        "cudaStreamBeginCapture",
        "cudaMemcpyAsync",
        "cudaStreamEndCapture",
        "cudaGraphInstantiate",
        "cudaGraphDestroy",
    ]
    stream.launch(graph)
    assert cudart.made("cudaGraphLaunch") == [(44, 11)]
    graph.free()
    assert cudart.made("cudaGraphExecDestroy") == [(44,)]


@pytest.mark.parametrize("where", ["cudaMemcpyAsync", "cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_a_capture_that_fails_ends(cudart, device, where):
    """Whatever refuses, the stream must not be left capturing."""
    stream = device.stream()
    pieces = array(device, (4,)), array(device, (4,), offset=256)
    cudart.fail[where] = 900
    with pytest.raises(CudaError, match=r"cudaErrorStreamCaptureUnsupported \(900\)"):
        stream.capture(lambda: stream.copy(*pieces))
    assert len(cudart.made("cudaStreamEndCapture")) == 1


def test_an_event_joins_two_streams(cudart, device):
    event = device.event()
    device.stream().record(event)
    device.stream().wait(event)
    event.synchronize()
    assert cudart.made("cudaEventRecord") == [(22, 11)]
    assert cudart.made("cudaStreamWaitEvent") == [(11, 22, 0)]
    assert cudart.made("cudaEventSynchronize") == [(22,)]
    assert cudart.made("cudaEventCreateWithFlags") == [(2,)]  # no timing, which would cost time


def test_memory_is_freed_once(cudart, device):
    memory = device.memory(10)
    memory.free()
    memory.free()
    assert cudart.made("cudaFree") == [(0x7000,)]
    assert device.free_bytes() == (3, 4)


def test_without_a_driver_nothing_of_cuda_is_touched():
    with pytest.raises(
        BackendError, match="device 'cuda' cannot be used: no NVIDIA driver is installed; see"
    ):
        open_cuda(lambda: "no NVIDIA driver is installed")


def test_the_real_bindings_have_every_name_and_know_the_errors():
    real = pytest.importorskip("cuda.bindings.runtime")
    source = Path(cuda.__file__).read_text(encoding="utf-8")
    names = set(re.findall(r"(?:cudart|_rt)\.(cuda\w+)", source)) | {"cudaGetErrorName"}
    assert len(names) > 25
    assert [name for name in sorted(names) if not hasattr(real, name)] == []
    device = object.__new__(CudaDevice)
    device.cudart = real
    with pytest.raises(
        CudaError, match=r"finish its work: cudaErrorIllegalAddress \(700\), an illegal memory access"
    ):
        device.fail(700, "finish its work")
    with pytest.raises(CudaError, match=r"unknown to cuda-bindings \(99999\)"):
        device.fail(99999, "finish its work")
