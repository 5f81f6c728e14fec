"""Compiles step_kernel.cu by NVRTC, caches the result, loads it on a GPU and launches it."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sovits_runtime.errors import BackendError, first_line
from sovits_runtime.gpu.cuda import CudaDevice
from sovits_runtime.gpu.device import DeviceArray, Stream
from sovits_runtime.gpu.kernel_cache import keep_code, read_code
from sovits_runtime.machine.cuda_lines import installed_line
from sovits_runtime.t2s.step_kernel import Launch, StepKernel

SOURCE = Path(__file__).with_name("step_kernel.cu")


def cuda_kernels(device: CudaDevice, folder: Path | None = None) -> Callable[[StepKernel], Launch]:
    """How `open_kernel_steps` makes the kernel ready on a GPU: compiled by NVRTC, or as it was compiled before.

    Args:
        folder: Where compiled kernels are kept; None: compiled in every process, which takes a second or two.
    """

    def make(kernel: StepKernel) -> Launch:
        from cuda.bindings import driver

        def call(doing: str, function: Callable[..., Any], *arguments: Any) -> Any:
            status, *values = function(*arguments)
            if int(status):
                device.fail(int(status), doing)
            return values[0] if values else None

        code = kept_cubin(kernel, device.capability, folder)
        device.call("open the GPU", device.cudart.cudaFree, 0)  # the driver wants the runtime's context
        module = call("load the kernel of the GPT's step", driver.cuModuleLoadData, code)
        function = call("find the kernel of the GPT's step", driver.cuModuleGetFunction, module, b"gpt_step")
        blocks = int(device.cudart.cudaGetDeviceProperties(0)[1].multiProcessorCount)

        def launch(stream: Stream, arrays: Sequence[DeviceArray], rows: int) -> None:
            request = (ctypes.c_uint64 * (len(arrays) + 1))(*(a.address for a in arrays), rows)
            parameters = (ctypes.c_void_p * 1)(ctypes.addressof(request))
            grid = (blocks, 1, 1, kernel.threads, 1, 1, 0)
            stream_and_request = (stream.handle, ctypes.addressof(parameters))
            # Cooperative: else blocks of two steps could each hold half of the GPU and wait for the rest for ever.
            call(
                "launch the GPT's step",
                driver.cuLaunchCooperativeKernel,
                function,
                *grid,
                *stream_and_request,
            )

        return launch

    return make


def kept_cubin(kernel: StepKernel, capability: tuple[int, int], folder: Path | None) -> bytes:
    """Returns the kernel's machine code, from `folder` where it lies there whole, else compiled and put there.

    Raises:
        BackendError: The kernel cannot be compiled; see `compile_step`.
    """
    if folder is None:
        return compile_step(kernel, capability)[0]
    key = hashlib.sha256(SOURCE.read_bytes() + repr(_options(kernel, capability)).encode())
    path = folder / f"gpt_step-{key.hexdigest()[:32]}.cubin"
    cubin = read_code(path)
    if cubin is None:
        cubin, _ = compile_step(kernel, capability)
        keep_code(path, cubin)
    return cubin


def compile_step(kernel: StepKernel, capability: tuple[int, int]) -> tuple[bytes, str]:
    """Compiles step_kernel.cu for GPUs of one compute capability; needs no GPU.

    Returns:
        The machine code, and what the compiler says of registers and memory.

    Raises:
        BackendError: NVRTC is missing, or refuses.
    """
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError) as error:  # RuntimeError: no such library
        raise BackendError(
            f"the GPT's CUDA kernel cannot be compiled: NVRTC is not installed or does not load "
            f"({first_line(error)}); {installed_line().install_nvrtc}"
        ) from error

    def text(size: Callable[..., Any], get: Callable[..., Any]) -> bytes:
        content = bytes(size(program)[1])  # written to by NVRTC
        get(program, content)
        return content

    program = nvrtc.nvrtcCreateProgram(SOURCE.read_bytes(), SOURCE.name.encode(), 0, [], [])[1]
    try:
        options = _options(kernel, capability)
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        log = (
            text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
            .decode(errors="replace")
            .strip("\0 \n")
        )
        if int(status):
            version = ".".join(map(str, nvrtc.nvrtcVersion()[1:]))
            install = installed_line().install_nvrtc
            raise BackendError(
                f"NVRTC {version} does not compile the GPT's step for compute capability "
                f"{capability[0]}.{capability[1]}: {log[:500] or status!r}; a newer one may: {install} --upgrade"
            )
        return text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN), log
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _options(kernel: StepKernel, capability: tuple[int, int]) -> list[bytes]:
    macros = (f"-D{name}={value}" for name, value in kernel.macros.items())
    target = f"--gpu-architecture=sm_{capability[0]}{capability[1]}"
    fixed = ("--std=c++17", "--device-as-default-execution-space", "--ptxas-options=-v")
    return [option.encode() for option in (target, *fixed, *macros)]
