"""The grid barrier of the GPT's kernel alone: cooperative launches in captured graphs, and what its fences let through.

The barrier is cut out of `step_kernel.cu`, so what is tried is what runs. In every round each block writes numbers of
its own; after the barrier each thread reads a number of another block. One that is old, or not there yet, is counted.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from typing import Any

from sovits_runtime.errors import BackendError
from sovits_runtime.gpu.device import Device, DeviceArray, Layout, Stream
from sovits_runtime.t2s.step_compile import SOURCE

THREADS = 128
ROUNDS = 2000
REPLAYS = 50

KERNEL = """
typedef unsigned long long u64;
enum { BLOCK = %(threads)d };
%(barrier)s
extern "C" __global__ void fences(u64 *arrivals, unsigned *cells, unsigned *wrong, unsigned rounds) {
    grid_barrier barrier(arrivals);
    unsigned bad = 0;
    for (unsigned round = 1; round <= rounds; round++) {
        cells[blockIdx.x * BLOCK + threadIdx.x] = round * 65536u + blockIdx.x;
        barrier.arrive();
        barrier.wait();
        unsigned other = (blockIdx.x + 1 + threadIdx.x %% (gridDim.x > 1 ? gridDim.x - 1 : 1)) %% gridDim.x;
        bad += cells[other * BLOCK + threadIdx.x] != round * 65536u + other;
        barrier.arrive();
        barrier.wait();
    }
    if (bad) atomicAdd(wrong, bad);
}
"""

Launch = Callable[[Stream, tuple[DeviceArray, ...], int], None]
"""Gives one launch of so many rounds to a stream."""


def kernel_source() -> str:
    """The kernel, with the barrier of the GPT's.

    Raises:
        ValueError: `step_kernel.cu` has no such barrier any more.
    """
    text = SOURCE.read_text(encoding="utf-8")
    found = [
        re.search(pattern, text, re.DOTALL | re.MULTILINE)
        for pattern in (
            r"^inline void add_release\(.*?^}$",
            r"^inline u64 load_acquire\(.*?^}$",
            r"^struct grid_barrier \{.*?^};$",
        )
    ]
    if not all(found):
        raise ValueError(f"{SOURCE.name} has no grid_barrier with add_release and load_acquire")
    return KERNEL % {"threads": THREADS, "barrier": "\n".join(part.group() for part in found if part)}


def compile_fences(capability: tuple[int, int]) -> bytes:
    """Compiles the kernel by NVRTC; needs no GPU.

    Raises:
        BackendError: NVRTC refuses it.
    """
    from cuda.bindings import nvrtc

    program = nvrtc.nvrtcCreateProgram(kernel_source().encode(), b"fences.cu", 0, [], [])[1]
    target = f"--gpu-architecture=sm_{capability[0]}{capability[1]}"
    options = [option.encode() for option in (target, "--std=c++17", "--device-as-default-execution-space")]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if int(status):
        log = bytes(nvrtc.nvrtcGetProgramLogSize(program)[1])
        nvrtc.nvrtcGetProgramLog(program, log)
        raise BackendError(f"NVRTC does not compile the fences: {log.decode(errors='replace')[:500]}")
    code = bytes(nvrtc.nvrtcGetCUBINSize(program)[1])
    nvrtc.nvrtcGetCUBIN(program, code)
    return code


def cuda_launch(device: Any) -> tuple[Launch, int]:
    """Loads the kernel on a GPU; returns how to launch it, and its number of blocks: one a multiprocessor."""
    from cuda.bindings import driver

    def call(doing: str, function: Callable[..., Any], *arguments: Any) -> Any:
        status, *values = function(*arguments)
        if int(status):
            device.fail(int(status), doing)
        return values[0] if values else None

    device.call("open the GPU", device.cudart.cudaFree, 0)
    module = call("load the fences", driver.cuModuleLoadData, compile_fences(device.capability))
    function = call("find the fences", driver.cuModuleGetFunction, module, b"fences")
    blocks = int(device.cudart.cudaGetDeviceProperties(0)[1].multiProcessorCount)

    def launch(stream: Stream, arrays: tuple[DeviceArray, ...], rounds: int) -> None:
        values = [*(ctypes.c_uint64(a.address) for a in arrays), ctypes.c_uint32(rounds)]
        parameters = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        grid = (blocks, 1, 1, THREADS, 1, 1, 0)
        to = (stream.handle, ctypes.addressof(parameters))
        call("launch the fences", driver.cuLaunchCooperativeKernel, function, *grid, *to)

    return launch, blocks


class Fences:
    """Memory for the kernel, and its launches on a stream of their own."""

    def __init__(self, device: Device, launch: Launch, blocks: int) -> None:
        layout = Layout()
        layout.add("arrivals", (1,), "uint64")
        layout.add("cells", (blocks * THREADS,), "uint32")
        layout.add("wrong", (1,), "uint32")
        self._memory = device.memory(layout.nbytes)
        self._arrays = layout.place(self._memory)
        self._device, self._launch, self.blocks = device, launch, blocks
        self.stream = device.stream()
        for array in self._arrays.values():
            self.stream.clear(array)

    def enqueue(self, rounds: int) -> None:
        """Gives one launch to the stream."""
        self._launch(self.stream, tuple(self._arrays.values()), rounds)

    def check(self, rounds: int) -> None:
        """Waits, and compares what was counted.

        Args:
            rounds: Of all launches together.

        Raises:
            AssertionError: A number was wrong, or a block did not arrive as often as it should.
        """
        host = {n: self._device.pinned(a.shape, a.dtype) for n, a in self._arrays.items()}
        for name in ("wrong", "arrivals"):
            self.stream.download(host[name], self._arrays[name])
        self.stream.synchronize()
        wrong, arrivals = int(host["wrong"][0]), int(host["arrivals"][0])
        if wrong or arrivals != 2 * rounds * self.blocks:
            raise AssertionError(
                f"{wrong} numbers of {rounds * self.blocks * THREADS} were old behind a grid barrier; "
                f"{arrivals} arrivals, expected {2 * rounds * self.blocks}"
            )

    def free(self) -> None:
        """Gives the memory back."""
        self._memory.free()


def try_capture(device: Device, launch: Launch, blocks: int) -> dict[str, Any]:
    """Captures a cooperative launch and replays it.

    Raises:
        AssertionError: It cannot be captured, or a replay gave wrong numbers.
    """
    fences = Fences(device, launch, blocks)
    try:
        graph = fences.stream.capture(lambda: fences.enqueue(10))
    except BackendError as error:
        raise AssertionError(f"a cooperative launch cannot be captured: {error}") from error
    for _ in range(REPLAYS):
        fences.stream.launch(graph)
    fences.check(10 * REPLAYS)
    graph.free()
    fences.free()
    return {
        "summary": f"{REPLAYS} replays of a cooperative launch of {blocks} blocks right",
        "blocks": blocks,
    }


def try_fences(device: Device, launch: Launch, blocks: int, *, rounds: int = ROUNDS) -> dict[str, Any]:
    """Runs many rounds.

    Raises:
        AssertionError: A number was old behind a barrier.
    """
    fences = Fences(device, launch, blocks)
    for _ in range(10):
        fences.enqueue(rounds)
    fences.check(10 * rounds)
    fences.free()
    count = 10 * rounds * blocks * THREADS
    return {
        "summary": f"{count} numbers right behind {20 * rounds} barriers of {blocks} blocks",
        "numbers": count,
    }
