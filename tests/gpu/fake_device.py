"""A device made of NumPy whose streams run as late and as unluckily as CUDA would allow.

Nothing runs when it is given; work runs only when the host waits for something, and then in an order that a policy
picks among everything that streams and events allow. Fresh memory holds rubbish. So a wait, an event or a
synchronisation that is missing gives a wrong result or an error, in every run and not only sometimes.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sovits_runtime.errors import BackendError
from sovits_runtime.gpu.device import DeviceArray

RUBBISH = 0xFF  # not a number, as float16 and as float32


class FakeMemory:
    _next = 0x1000

    def __init__(self, device: FakeDevice, nbytes: int) -> None:
        self.nbytes = nbytes
        self.content: np.ndarray | None = np.full(nbytes, RUBBISH, np.uint8)
        self.device = device
        self.address = FakeMemory._next
        FakeMemory._next += -(-nbytes // 0x1000) * 0x1000 + 0x1000  # aligned as CUDA's, nothing close behind

    def free(self) -> None:
        assert self.content is not None, "freed twice"
        self.content = None
        self.device.used -= self.nbytes


def view(array: DeviceArray) -> np.ndarray:
    """The array's content, to read and write."""
    content = array.memory.content  # type: ignore[attr-defined]
    if content is None:
        raise BackendError("cudaErrorIllegalAddress: freed memory was used")
    raw = content[array.offset : array.offset + array.nbytes]
    assert raw.nbytes == array.nbytes, "out of bounds"
    return raw.view(array.dtype).reshape(array.shape)


@dataclass
class FakeEvent:
    device: FakeDevice
    recorded: int = 0
    reached: int = 0

    def synchronize(self) -> None:
        goal = self.recorded
        self.device.run_until(lambda: self.reached >= goal)


@dataclass
class FakeGraph:
    stream: FakeStream
    work: list[Any]
    freed: bool = False

    def free(self) -> None:
        self.freed = True


@dataclass
class _Record:
    event: FakeEvent
    number: int


@dataclass
class _Wait:
    event: FakeEvent
    number: int


@dataclass(eq=False)
class FakeStream:
    device: FakeDevice
    handle: int
    queue: deque[Any] = field(default_factory=deque)
    recorded: list[Any] | None = None

    @property
    def capturing(self) -> bool:
        return self.recorded is not None

    def push(self, work: Any) -> None:
        with self.device.lock:
            if self.recorded is not None:
                if isinstance(work, (_Record, _Wait)):
                    raise BackendError("cudaErrorStreamCaptureUnsupported: events are not captured here")
                self.recorded.append(work)
            else:
                self.queue.append(work)

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        assert target.nbytes == source.nbytes

        def work() -> None:
            view(target).reshape(-1).view(np.uint8)[...] = view(source).reshape(-1).view(np.uint8)

        self.push(work)

    def copy_positions(self, target: DeviceArray, source: DeviceArray, count: int) -> None:
        def work() -> None:
            view(target)[:, :, :count] = view(source)[:, :, :count]

        self.push(work)

    def clear(self, target: DeviceArray) -> None:
        self.push(lambda: view(target).reshape(-1).view(np.uint8).fill(0))

    def upload(self, target: DeviceArray, source: np.ndarray) -> None:
        self._pinned(source)
        assert target.shape == source.shape or target.nbytes == source.nbytes
        assert target.dtype == source.dtype
        self.push(lambda: view(target).reshape(-1).__setitem__(..., source.reshape(-1)))

    def download(self, target: np.ndarray, source: DeviceArray) -> None:
        self._pinned(target)
        assert target.nbytes == source.nbytes
        assert target.dtype == source.dtype
        target.reshape(-1).view(np.uint8)[...] = RUBBISH
        self.push(lambda: target.reshape(-1).__setitem__(..., view(source).reshape(-1)))

    def record(self, event: FakeEvent) -> None:
        event.recorded += 1
        self.push(_Record(event, event.recorded))

    def wait(self, event: FakeEvent) -> None:
        self.push(_Wait(event, event.recorded))

    def synchronize(self) -> None:
        if self.capturing:
            raise BackendError("cudaErrorStreamCaptureUnsupported: a capturing stream was waited for")
        self.device.run_until(lambda: not self.queue)

    def capture(self, enqueue: Any) -> FakeGraph:
        if self.device.capture_problem:
            raise BackendError(self.device.capture_problem)
        if self.device.spoilt_captures:
            self.device.spoilt_captures -= 1
            raise BackendError("cudaErrorStreamCaptureInvalidated")
        self.recorded = work = []
        try:
            enqueue()
        finally:
            self.recorded = None
        self.device.captures += 1
        return FakeGraph(self, work)

    def launch(self, graph: FakeGraph) -> None:
        assert graph.stream is self
        assert not graph.freed
        for work in graph.work:
            self.push(work)
        self.device.launches += 1

    def _pinned(self, array: np.ndarray) -> None:
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        assert id(base) in self.device.pinned_ids, "transfers want pinned memory"
        assert array.flags.c_contiguous


class FakeDevice:
    """`policy`: "first" and "last" favour one stream as long as they can; "early" runs all that can run before it
    looks at what is waited for; a number seeds chance."""

    name = "fake"

    def __init__(self, policy: str | int = "first", capture_problem: str = "", limit: int = 1 << 40) -> None:
        self.policy = policy
        self.capture_problem = capture_problem
        self.limit = limit
        self.used = self.peak = 0
        self.captures = self.launches = 0
        self.spoilt_captures = 0  # by calls of others
        self.streams: list[FakeStream] = []
        self.memories: list[FakeMemory] = []
        self.lock = threading.RLock()
        self.pinned_ids: dict[int, np.ndarray] = {}
        self.fail_after: int | None = None
        self.problem = ""
        self._random = random.Random(policy if isinstance(policy, int) else 0)

    def memory(self, nbytes: int) -> FakeMemory:
        if self.used + nbytes > self.limit:
            raise BackendError(f"cudaErrorMemoryAllocation: {nbytes} bytes asked for")
        self.used += nbytes
        self.peak = max(self.peak, self.used)
        self.memories.append(FakeMemory(self, nbytes))
        return self.memories[-1]

    def at(self, address: int, shape: tuple[int, ...], dtype: Any) -> DeviceArray:
        """The array that a driver would see at an address."""
        for memory in self.memories:
            if memory.address <= address < memory.address + memory.nbytes:
                return DeviceArray(memory, address - memory.address, shape, np.dtype(dtype))
        raise BackendError(f"cudaErrorIllegalAddress: nothing was allocated at {address:#x}")

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8)[...] = RUBBISH
        self.pinned_ids[id(array)] = array
        return array

    def stream(self, *, urgent: bool = False) -> FakeStream:
        self.streams.append(FakeStream(self, len(self.streams) + 1))
        return self.streams[-1]

    def event(self) -> FakeEvent:
        return FakeEvent(self)

    def run_until(self, done: Any) -> None:
        with self.lock:
            if self.policy == "early":
                while (stream := self._pick()) is not None:
                    self._run(stream)
            while not done():
                stream = self._pick()
                if stream is None:
                    raise AssertionError("everything waits for an event that is never reached")
                self._run(stream)

    def _pick(self) -> FakeStream | None:
        ready = [s for s in self.streams if s.queue and not self._blocked(s.queue[0])]
        if not ready:
            return None
        return self._random.choice(ready) if isinstance(self.policy, int) else ready[-(self.policy == "last")]

    @staticmethod
    def _blocked(work: Any) -> bool:
        return isinstance(work, _Wait) and work.event.reached < work.number

    def _run(self, stream: FakeStream) -> None:
        work = stream.queue.popleft()
        if isinstance(work, _Record):
            work.event.reached = max(work.event.reached, work.number)
        elif not isinstance(work, _Wait):
            if self.fail_after is not None:
                self.fail_after -= 1
                if self.fail_after < 0:
                    self.fail_after = None
                    for s in self.streams:
                        s.queue.clear()
                    raise BackendError(
                        "cudaErrorIllegalAddress (700): an illegal memory access was encountered"
                    )
            work()
