"""A GPT small enough to be written twice: as CUDA kernels and in NumPy, so that the scheduler can be proved on a GPU.

It has everything that the real one has for the scheduler: caches updated in place, noise by row, state that feeds
itself, an end that sticks. All arithmetic is in whole numbers or one addition, so both forms agree to the bit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.graph_spec import DimRange, GraphSpec, TensorSpec
from sovits_runtime.gpu.cuda import CudaDevice
from sovits_runtime.gpu.device import DeviceArray, Stream
from sovits_runtime.t2s.device_slot import GptEngines
from sovits_runtime.t2s.device_step import HISTORY, NOISE_ROWS, STOPPED, device_step_spec
from sovits_runtime.t2s.generator import Noise
from sovits_runtime.t2s.sampling import SamplingOptions

VOCAB = 64
WIDTH = 4
BERT_WIDTH = 8
_OPTIONS = (("top_k", "int64"), ("top_p", "float32"), ("temperature", "float32"))
_MORE_OPTIONS = (("repetition_penalty", "float32"), ("min_tokens", "int64"))

_SIZES = {"VOCAB": VOCAB, "WIDTH": WIDTH, "NOISE_ROWS": NOISE_ROWS, "HISTORY": HISTORY, "STOPPED": STOPPED}
_BODY = """
typedef long long i64; typedef unsigned char u8;

// The draw: a whole number from all rows so far, spread over the vocabulary, plus noise. One thread is enough.
static __device__ i64 draw(const float* k, const float* v, i64 rows, const float* noise, float* logits) {
  i64 sum = 0, best = 0;
  for (i64 r = 0; r < rows; ++r) sum += (i64)k[r * WIDTH] + (i64)v[r * WIDTH];
  for (i64 j = 0; j < VOCAB; ++j) {
    logits[j] = (float)((sum + 13 * j) % 29) + noise[j];
    if (logits[j] > logits[best]) best = j;
  }
  return best;
}

extern "C" __global__ void prefill(const i64* phones, i64 texts, const i64* prompt, i64 prompts, const u8* seen,
    const float* noise, const i64* min_tokens, i64* token, u8* stop, u8* next_seen, float* logits, float* k, float* v) {
  for (i64 r = 0; r < texts + prompts; ++r)
    for (int d = 0; d < WIDTH; ++d) {
      k[r * WIDTH + d] = (float)(r < texts ? phones[r] : prompt[r - texts]);
      v[r * WIDTH + d] = (float)r;
    }
  *token = draw(k, v, texts + prompts, noise, logits);
  *stop = *min_tokens <= 0 && *token == VOCAB - 1;
  for (i64 j = 0; j < VOCAB; ++j) next_seen[j] = seen[j] || j == *token;
}

extern "C" __global__ void step(const i64* token, const i64* step, const i64* text_len, const i64* prompt_len,
    const u8* seen, const float* noise, const i64* min_tokens, const u8* stopped, const i64* history, i64* next_token,
    i64* next_step, u8* next_stopped, u8* next_seen, i64* next_history, float* logits, float* k, float* v) {
  i64 row = *text_len + *prompt_len + *step - 1;
  for (int d = 0; d < WIDTH; ++d) { k[row * WIDTH + d] = (float)*token; v[row * WIDTH + d] = (float)row; }
  *next_token = draw(k, v, row + 1, noise + (*step % NOISE_ROWS) * VOCAB, logits);
  *next_stopped = *stopped || (*step >= *min_tokens && *next_token == VOCAB - 1);
  *next_step = *step + 1;
  for (i64 j = 0; j < VOCAB; ++j) next_seen[j] = seen[j] || j == *next_token;
  for (i64 i = 0; i < HISTORY; ++i)
    next_history[i] = i != *step ? history[i] : *next_stopped ? STOPPED : *next_token;
}
"""
KERNELS = "".join(f"#define {name} ({value})\n" for name, value in _SIZES.items()) + _BODY
STEP_ARGUMENTS = (
    "token", "step", "text_len", "prompt_len", "seen", "noise_block", "min_tokens", "stopped", "history", "next_token",
    "next_step", "next_stopped", "next_seen", "next_history", "logits", "k_cache_0", "v_cache_0",
)  # fmt: skip
PREFILL_ARGUMENTS = (
    "phones", "texts", "prompt", "prompts", "seen", "noise", "min_tokens", "next_token", "stop", "next_seen", "logits",
    "k_cache_0_out", "v_cache_0_out",
)  # fmt: skip


def step_spec(cache_length: int) -> GraphSpec:
    """Spec of the toy's step that feeds itself."""
    cache = ("batch", 1, "cache_size", WIDTH)
    inputs = [
        *(TensorSpec(name, "int64", ("batch",)) for name in ("token", "text_len", "prompt_len")),
        TensorSpec("seen", "bool", ("batch", VOCAB)),
        TensorSpec("step", "int64", ("batch",)),
        TensorSpec("noise", "float32", ("batch", VOCAB)),
        *(TensorSpec(name, dtype, ("batch",)) for name, dtype in (*_OPTIONS, *_MORE_OPTIONS)),
        *(TensorSpec(name, "float32", cache) for name in ("k_cache_0", "v_cache_0")),
    ]
    outputs = [
        TensorSpec("next_token", "int64", ("batch",)),
        TensorSpec("stop", "bool", ("batch",)),
        TensorSpec("next_seen", "bool", ("batch", VOCAB)),
        TensorSpec("logits", "float32", ("batch", VOCAB)),
        *(TensorSpec(f"{name}_out", "float32", cache) for name in ("k_cache_0", "v_cache_0")),
    ]
    plain = GraphSpec(
        "gpt_step",
        tuple(inputs),
        tuple(outputs),
        (DimRange("batch", 1, 1, 1), DimRange("cache_size", 1, 1, 4096)),
        tuple((name, f"{name}_out") for name in ("k_cache_0", "v_cache_0")),
    )
    return device_step_spec(plain, cache_length)


def prefill_spec() -> GraphSpec:
    """Spec of the toy's prefill, which outputs keys and values."""
    inputs = [
        TensorSpec("phones", "int64", (1, "phones")),
        TensorSpec("bert", "float32", (1, "phones", BERT_WIDTH)),
        TensorSpec("prompt", "int64", (1, "prompt")),
        TensorSpec("seen", "bool", (1, VOCAB)),
        TensorSpec("step", "int64", (1,)),
        TensorSpec("noise", "float32", (1, VOCAB)),
        *(TensorSpec(name, dtype, (1,)) for name, dtype in (*_OPTIONS, *_MORE_OPTIONS)),
    ]
    outputs = [
        TensorSpec("next_token", "int64", (1,)),
        TensorSpec("stop", "bool", (1,)),
        TensorSpec("next_seen", "bool", (1, VOCAB)),
        TensorSpec("logits", "float32", (1, VOCAB)),
        *(TensorSpec(f"{name}_out", "float32", (1, 1, "rows", WIDTH)) for name in ("k_cache_0", "v_cache_0")),
    ]
    dims = (DimRange("phones", 1, 10, 100), DimRange("prompt", 0, 10, 100))
    return GraphSpec("gpt_prefill", tuple(inputs), tuple(outputs), dims)


def expected_tokens(
    phones: NDArray[np.int64],
    prompt: NDArray[np.int64],
    *,
    options: SamplingOptions,
    noise: Noise,
    max_tokens: int,
) -> list[int]:
    """What the toy says, worked out on the host without any scheduler."""
    total = int(phones.sum() + prompt.sum()) + sum(range(len(phones) + len(prompt)))
    tokens: list[int] = []
    for step in range(max_tokens):
        whole = ((total + 13 * np.arange(VOCAB)) % 29).astype(np.float32)
        token = int(np.argmax(whole + noise(step)[0]))
        if step >= options.min_tokens and token == VOCAB - 1:
            break
        tokens.append(token)
        total += token + len(phones) + len(prompt) + step
    return tokens


def toy_engines(device: CudaDevice, lengths: tuple[int, ...]) -> GptEngines:
    """Compiles the kernels for this GPU and makes engines of them.

    Raises:
        BackendError: A CUDA call failed.
        RuntimeError: The kernels cannot be compiled: no NVRTC, or it refuses them.
    """
    functions = _load(device)
    prefill = ToyEngine(prefill_spec(), functions["prefill"], PREFILL_ARGUMENTS)
    steps = tuple(ToyEngine(step_spec(n), functions["step"], STEP_ARGUMENTS) for n in lengths)
    return GptEngines(prefill, steps)


class ToyEngine:
    """One kernel as an engine; see `sovits_runtime.gpu.device.Engine`."""

    provider = "toy kernels"
    scratch_bytes = 256

    def __init__(self, spec: GraphSpec, function: Any, arguments: tuple[str, ...]) -> None:
        self.spec = spec
        self.function = function
        self.arguments = arguments

    def context(self, scratch: DeviceArray) -> ToyContext:
        """A way to run it; see `Engine.context`."""
        return ToyContext(self)


class ToyContext:
    """The addresses that a kernel is launched with."""

    def __init__(self, engine: ToyEngine) -> None:
        self._engine = engine
        self._arrays: dict[str, DeviceArray] = {}

    def bind(self, arrays: Mapping[str, DeviceArray]) -> None:
        """Takes the arrays of later runs; see `Context.bind`."""
        self._arrays |= arrays

    def enqueue(self, stream: Stream) -> None:
        """Runs it once; see `Context.enqueue`."""
        from cuda.bindings import driver

        sizes = {"texts": "phones", "prompts": "prompt"}
        values, types = [], []
        for name in self._engine.arguments:
            size = sizes.get(name)
            values.append(self._arrays[size].shape[1] if size else self._arrays[name].address)
            types.append(ctypes.c_longlong if size else ctypes.c_void_p)
        launch = (self._engine.function, 1, 1, 1, 1, 1, 1, 0, stream.handle, (tuple(values), tuple(types)), 0)
        (status,) = driver.cuLaunchKernel(*launch)
        if int(status):
            raise RuntimeError(f"cuLaunchKernel gives {status!r}")


def compile_kernels(capability: tuple[int, int]) -> bytes:
    """Compiles the kernels to machine code, which no driver is too old to read; needs no GPU.

    Raises:
        RuntimeError: There is no NVRTC, or it refuses.
    """
    from cuda.bindings import nvrtc

    program = _checked(nvrtc.nvrtcCreateProgram(KERNELS.encode(), b"toy.cu", 0, [], []), "create a program")
    option = f"--gpu-architecture=sm_{capability[0]}{capability[1]}".encode()
    result = nvrtc.nvrtcCompileProgram(program, 1, [option])
    if int(result[0]):
        log = bytes(
            _checked(nvrtc.nvrtcGetProgramLogSize(program), "read the log's size")
        )  # NVRTC writes to it
        nvrtc.nvrtcGetProgramLog(program, log)
        raise RuntimeError(f"NVRTC refuses the kernels: {log.decode(errors='replace').strip()[:500]}")
    code = bytes(_checked(nvrtc.nvrtcGetCUBINSize(program), "read the size of the code"))
    _checked(nvrtc.nvrtcGetCUBIN(program, code), "read the code")
    return code


def _load(device: CudaDevice) -> dict[str, Any]:
    from cuda.bindings import driver

    code = compile_kernels(device.capability)
    device.call("open the GPU", device.cudart.cudaFree, 0)  # the driver wants the runtime's context
    module = _checked(driver.cuModuleLoadData(code), "load the code")
    return {
        name: _checked(driver.cuModuleGetFunction(module, name.encode()), f"find the kernel {name}")
        for name in ("prefill", "step")
    }


def _checked(result: tuple[Any, ...], doing: str) -> Any:
    status, *values = result
    if int(status):
        raise RuntimeError(f"{doing}: {status!r}")
    return values[0] if values else None
