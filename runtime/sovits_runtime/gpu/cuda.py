"""CUDA as a `Device`, through the cuda-bindings package: a call for a call, with every status checked."""

from __future__ import annotations

import ctypes
import gc
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sovits_runtime.errors import BackendError
from sovits_runtime.gpu.cuda_errors import CudaError
from sovits_runtime.gpu.device import DeviceArray, Event, Graph
from sovits_runtime.gpu.driver import driver_problem
from sovits_runtime.machine.cuda_lines import installed_line


def open_cuda(problem: Callable[[], str] = driver_problem) -> CudaDevice:
    """Opens the first GPU that CUDA shows this process; CUDA_VISIBLE_DEVICES chooses among several.

    The driver is asked by ctypes first, so that no library meets a machine without one.

    Args:
        problem: Asks the driver; says what is wrong, or nothing.

    Raises:
        BackendError: No driver, no GPU, no cuda-bindings, or CUDA fails.
    """
    reason = problem()
    if reason:
        raise BackendError(
            f"device 'cuda' cannot be used: {reason}; see 'sovits-export doctor', or use device 'cpu'"
        )
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise BackendError(
            f"cuda-bindings is not installed or does not load ({error}); {installed_line().install_bindings}"
        ) from error
    return CudaDevice(runtime)


class CudaDevice:
    """The first GPU; see `sovits_runtime.gpu.device.Device`.

    Args:
        cudart: The module `cuda.bindings.runtime`.
    """

    def __init__(self, cudart: Any) -> None:
        self.cudart = cudart
        properties = self.call("read the GPU's properties", cudart.cudaGetDeviceProperties, 0)
        self.name = _text(properties.name)
        self.capability = (int(properties.major), int(properties.minor))

    def call(self, doing: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function of the CUDA runtime and returns what it gives beside its status.

        Raises:
            CudaError: The status is not success.
        """
        status, *values = function(*arguments)
        if int(status) != 0:
            self.fail(int(status), doing)
        return values[0] if len(values) == 1 else tuple(values) or None

    def fail(self, code: int, doing: str) -> NoReturn:
        """Raises `CudaError` for a status code."""
        self.cudart.cudaGetLastError()  # else the next call would report this error once more
        try:
            status = self.cudart.cudaError_t(code)
        except ValueError:
            raise CudaError(code, "unknown to cuda-bindings", "no description", doing=doing) from None
        name, meaning = self.cudart.cudaGetErrorName(status)[1], self.cudart.cudaGetErrorString(status)[1]
        raise CudaError(code, _text(name), _text(meaning), doing=doing)

    def memory(self, nbytes: int) -> CudaMemory:
        """Allocates device memory; see `Device.memory`."""
        doing = f"allocate {nbytes / 2**20:.1f} MiB on {self.name}"
        return CudaMemory(self, int(self.call(doing, self.cudart.cudaMalloc, max(nbytes, 1))), nbytes)

    def free_bytes(self) -> tuple[int, int]:
        """Device memory that is free, and all there is."""
        free, total = self.call("ask for free memory", self.cudart.cudaMemGetInfo)
        return int(free), int(total)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocates pinned host memory; see `Device.pinned`."""
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        flags = self.cudart.cudaHostAllocPortable
        doing = f"pin {nbytes / 2**20:.1f} MiB of host memory"
        address = int(self.call(doing, self.cudart.cudaHostAlloc, max(nbytes, 1), flags))
        buffer = (ctypes.c_uint8 * nbytes).from_address(address)
        weakref.finalize(buffer, self.cudart.cudaFreeHost, address)
        raw: NDArray[np.uint8] = np.ctypeslib.as_array(buffer)
        return raw.view(dtype).reshape(shape)

    def stream(self, *, urgent: bool = False) -> CudaStream:
        """Makes a stream that does not wait for the default stream; see `Device.stream`."""
        least, most = self.call("ask for priorities", self.cudart.cudaDeviceGetStreamPriorityRange)
        how = self.cudart.cudaStreamNonBlocking, int(most if urgent else least)
        return CudaStream(self, self.call("make a stream", self.cudart.cudaStreamCreateWithPriority, *how))

    def event(self) -> CudaEvent:
        """Makes an event, without a clock, which would cost time; see `Device.event`."""
        flags = self.cudart.cudaEventDisableTiming
        return CudaEvent(self, self.call("make an event", self.cudart.cudaEventCreateWithFlags, flags))


@dataclass
class CudaMemory:
    """A piece of device memory."""

    device: CudaDevice
    address: int
    nbytes: int

    def free(self) -> None:
        """Gives it back; see `Memory.free`."""
        address, self.address = self.address, 0
        if address:
            self.device.call("free device memory", self.device.cudart.cudaFree, address)


class CudaEvent:
    """A point in a stream's work."""

    def __init__(self, device: CudaDevice, handle: Any) -> None:
        self._device = device
        self.raw = handle
        weakref.finalize(self, device.cudart.cudaEventDestroy, handle)

    def synchronize(self) -> None:
        """Waits on the host; see `Event.synchronize`."""
        self._device.call("finish its work", self._device.cudart.cudaEventSynchronize, self.raw)


class CudaGraph:
    """Captured work."""

    def __init__(self, device: CudaDevice, handle: Any) -> None:
        self._device = device
        self.raw = handle

    def free(self) -> None:
        """Gives it back; see `Graph.free`."""
        self._device.call("free a graph", self._device.cudart.cudaGraphExecDestroy, self.raw)


class CudaStream:
    """A queue of work; see `sovits_runtime.gpu.device.Stream`."""

    def __init__(self, device: CudaDevice, raw: Any) -> None:
        self._device = device
        self._rt = device.cudart
        self._kinds = device.cudart.cudaMemcpyKind
        self.raw = raw
        self.handle = int(raw)
        self.capturing = False
        weakref.finalize(self, device.cudart.cudaStreamDestroy, raw)

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """Copies device memory; see `Stream.copy`."""
        self._copy(target.address, source.address, source.nbytes, self._kinds.cudaMemcpyDeviceToDevice)

    def copy_positions(self, target: DeviceArray, source: DeviceArray, count: int) -> None:
        """Copies the first positions of a cache; see `Stream.copy_positions`."""
        row = source.shape[3] * source.dtype.itemsize
        pitches = target.shape[2] * row, source.shape[2] * row
        self._device.call(
            "copy rows of a cache",
            self._rt.cudaMemcpy2DAsync,
            target.address,
            pitches[0],
            source.address,
            pitches[1],
            count * row,
            source.shape[0] * source.shape[1],
            self._kinds.cudaMemcpyDeviceToDevice,
            self.raw,
        )

    def clear(self, target: DeviceArray) -> None:
        """Sets every byte to zero; see `Stream.clear`."""
        place = target.address, 0, target.nbytes
        self._device.call("clear memory", self._rt.cudaMemsetAsync, *place, self.raw)

    def upload(self, target: DeviceArray, source: NDArray[Any]) -> None:
        """Copies a pinned array to the device; see `Stream.upload`."""
        self._copy(target.address, source.ctypes.data, source.nbytes, self._kinds.cudaMemcpyHostToDevice)

    def download(self, target: NDArray[Any], source: DeviceArray) -> None:
        """Copies into a pinned array; see `Stream.download`."""
        self._copy(target.ctypes.data, source.address, source.nbytes, self._kinds.cudaMemcpyDeviceToHost)

    def record(self, event: Event) -> None:
        """Marks this point; see `Stream.record`."""
        assert isinstance(event, CudaEvent)
        self._device.call("record an event", self._rt.cudaEventRecord, event.raw, self.raw)

    def wait(self, event: Event) -> None:
        """Holds what follows; see `Stream.wait`."""
        assert isinstance(event, CudaEvent)
        self._device.call("wait for an event", self._rt.cudaStreamWaitEvent, self.raw, event.raw, 0)

    def synchronize(self) -> None:
        """Waits on the host; see `Stream.synchronize`."""
        self._device.call("finish its work", self._rt.cudaStreamSynchronize, self.raw)

    def capture(self, enqueue: Callable[[], None]) -> CudaGraph:
        """Records work without running it; see `Stream.capture`."""
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._device.call("begin a capture", self._rt.cudaStreamBeginCapture, self.raw, mode)
        self.capturing = True
        collecting = gc.isenabled()
        gc.disable()  # what it frees could be device memory, which spoils a capture
        try:
            enqueue()
        except BaseException:
            # Back to normal; what this says is the error already raised.
            self._rt.cudaStreamEndCapture(self.raw)
            self._rt.cudaGetLastError()
            raise
        finally:
            self.capturing = False
            if collecting:
                gc.enable()
        graph = self._device.call("capture the work", self._rt.cudaStreamEndCapture, self.raw)
        try:
            raw = self._device.call("instantiate a graph", self._rt.cudaGraphInstantiate, graph, 0)
        finally:
            self._rt.cudaGraphDestroy(graph)
        return CudaGraph(self._device, raw)

    def launch(self, graph: Graph) -> None:
        """Gives captured work to the stream; see `Stream.launch`."""
        assert isinstance(graph, CudaGraph)
        self._device.call("launch a graph", self._rt.cudaGraphLaunch, graph.raw, self.raw)

    def _copy(self, target: int, source: int, nbytes: int, kind: Any) -> None:
        if nbytes:
            self._device.call("copy memory", self._rt.cudaMemcpyAsync, target, source, nbytes, kind, self.raw)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
