"""The GPT's step as one CUDA kernel that stays on the GPU from the token to the draw; its source is step_kernel.cu.

A step through a graph of small kernels is bound by their starts and ends. This one waits five times a layer instead,
and reads weights in the fewest bytes that hold them exactly: float16 for official checkpoints, which are saved so. It
computes in float32 whatever the weights and caches are.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.gpt_weights import EMBEDDING, EPSILON, POSITION_SCALE, Floats, StepWeights
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.gpu.device import ALIGNMENT, Device, DeviceArray, Memory, Stream
from sovits_runtime.t2s.device_step import HISTORY, NOISE_ROWS, STEP, STOPPED, device_step_spec

THREADS = 512
"""Of a block; a multiple of 32."""
SPLITS = 8
"""Most blocks that share one head's cache."""
PRECISIONS = ("fp32", "fp16")
ARGUMENTS = (
    "token", "step", "text_len", "prompt_len", "seen", "noise_block", "top_k", "top_p", "temperature",
    "repetition_penalty", "min_tokens", "stopped", "history", "next_token", "next_step", "next_stopped", "next_seen",
    "next_history", "logits",
)  # fmt: skip
"""What the kernel takes before the caches, the weights, the scratch memory, the counter and the caches' rows."""

Launch = Callable[[Stream, Sequence[DeviceArray], int], None]
"""Gives one step to a stream: its arrays in the kernel's order, and the rows of the caches."""


@dataclass(frozen=True)
class StepKernel:
    """What a kernel is compiled for.

    Attributes:
        width: Of the residual row; the feed-forward is four times as wide.
        heads: Of attention.
        layers: Number of layers.
        vocab: Tokens; the last one ends speech.
        half_layers: Whether the layers' matrices are float16; else float32.
        half_head: The same of the last matrix, which gives the logits.
        half_caches: The same of keys and values.
        threads: Of a block.

    Raises:
        BackendError: The kernel does not take such sizes.
    """

    width: int
    heads: int
    layers: int
    vocab: int
    half_layers: bool
    half_head: bool
    half_caches: bool
    threads: int = THREADS

    def __post_init__(self) -> None:
        size, rest = divmod(self.width, self.heads)
        if self.width % 32 or rest or size not in (8, 16, 32, 64, 128):
            raise BackendError(
                f"CUDA kernels for a GPT of width {self.width} with {self.heads} heads: expected a width in 32s and "
                "heads 8, 16, 32, 64 or 128 wide; use TensorRT's engines"
            )

    @property
    def macros(self) -> dict[str, int]:
        """What step_kernel.cu wants to be defined."""
        sizes = {name.upper(): int(value) for name, value in asdict(self).items()}
        return {
            **sizes, "NOISE_ROWS": NOISE_ROWS, "HISTORY": HISTORY, "STOPPED": STOPPED, "SPLITS": SPLITS
        }  # fmt: skip

    @property
    def scratch_bytes(self) -> int:
        """Size of the source's `struct exchange`."""
        return 4 * (6 * self.width + SPLITS * (self.width + 2 * self.heads))


def open_kernel_steps(
    device: Device,
    bundle: Bundle,
    lengths: Sequence[int],
    make: Callable[[StepKernel], Launch],
    *,
    threads: int = THREADS,
) -> tuple[KernelStep, ...]:
    """Uploads a bundle's GPT once and gives a decode step for each cache length.

    Args:
        device: Where the weights go.
        bundle: In FP32, or FP16 for caches of half the size.
        lengths: Rows of the caches, shortest first.
        make: Makes the kernel ready; see `step_compile.cuda_kernels`.
        threads: Of a block; a multiple of 32.

    Raises:
        BackendError: The bundle is quantized, or of sizes that the kernel does not take; or the device fails.
        BundleError: The weights are damaged or not those of a GPT.
    """
    precision = bundle.manifest["graphs"][STEP]["precision"]
    if precision not in PRECISIONS:
        raise BackendError(
            f"{bundle.path}: its GPT is {precision}, CUDA kernels take {' and '.join(PRECISIONS)}; use the FP32 "
            "bundle it was made of"
        )
    spec = bundle.graph_spec(STEP)
    caches = sorted({spec.tensor(name).dtype for name, _ in spec.aliases})
    if caches not in (["float16"], ["float32"]):
        raise BackendError(
            f"{bundle.path}: its caches are {' and '.join(caches)}, CUDA kernels take one type; use the FP32 bundle"
        )
    weights = StepWeights(bundle.graph_path(STEP), spec)
    matrices = [weights.array(name, n, k) for name, n, k in weights.matrices()]
    half_layers, half_head = all(map(_is_half, matrices[:-1])), _is_half(matrices[-1])
    kernel = StepKernel(
        weights.width, weights.heads, weights.layers, weights.vocab, half_layers, half_head,
        half_caches=caches == ["float16"], threads=threads,
    )  # fmt: skip
    pieces = [
        *(m.astype(np.float16 if half_layers else np.float32) for m in matrices[:-1]),
        matrices[-1].astype(np.float16 if half_head else np.float32),
        *_vectors(weights),
    ]
    shared = _Shared(device, _upload(device, pieces), make(kernel), kernel)
    steps = tuple(KernelStep(shared, device_step_spec(spec, length)) for length in lengths)
    steps[0].weight_bytes = shared.weights.nbytes
    return steps


def _is_half(numbers: Floats) -> bool:
    with np.errstate(over="ignore"):
        return bool((numbers.astype(np.float16) == numbers).all())


def _vectors(weights: StepWeights) -> Iterator[Floats]:
    """What is not a matrix, in the order of the source's `struct weights`."""
    width = weights.width
    for i in range(weights.layers):
        layer = f"t2s.h.layers.{i}."
        yield weights.array(f"{layer}self_attn.in_proj_bias", 3 * width)
        yield weights.array(f"{layer}self_attn.out_proj.bias", width)
        yield weights.array(f"{layer}linear1.bias", 4 * width)
        for name in ("linear2.bias", "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            yield weights.array(f"{layer}{name}", width)
    yield weights.array(EMBEDDING, weights.vocab, width)
    yield weights.frequencies()
    yield weights.array(POSITION_SCALE, 1)
    yield np.array([EPSILON], np.float32)


def _upload(device: Device, pieces: Sequence[NDArray[Any]]) -> DeviceArray:
    """Copies arrays to the device, one behind the other."""
    nbytes = sum(piece.nbytes for piece in pieces)
    array = DeviceArray(device.memory(nbytes), 0, (nbytes,), np.dtype(np.uint8))
    staged = device.pinned((nbytes,), np.uint8)
    at = 0
    for piece in pieces:
        staged[at : at + piece.nbytes] = np.ascontiguousarray(piece).reshape(-1).view(np.uint8)
        at += piece.nbytes
    stream = device.stream()
    stream.upload(array, staged)
    stream.synchronize()
    return array


def _freed_with(owner: object, memory: Memory) -> None:
    weakref.finalize(
        owner, memory.free
    ).atexit = False  # the driver may be gone by then, and the memory with it


class _Shared:
    """What all cache lengths have in common."""

    def __init__(self, device: Device, weights: DeviceArray, launch: Launch, kernel: StepKernel) -> None:
        self.device = device
        self.weights = weights
        self.launch = launch
        self.kernel = kernel
        _freed_with(self, weights.memory)


class KernelStep:
    """The step for one cache length; see `sovits_runtime.gpu.device.Engine`.

    Attributes:
        weight_bytes: Of the weights that all lengths share, for the first of them; 0 for the others.
    """

    provider = "CUDA kernels"

    def __init__(self, shared: _Shared, spec: GraphSpec) -> None:
        self.spec: GraphSpec = spec
        self.weight_bytes = 0
        self.scratch_bytes = shared.kernel.scratch_bytes
        self.shared = shared

    def context(self, scratch: DeviceArray) -> KernelContext:
        """Makes a context; see `Engine.context`."""
        return KernelContext(self, scratch)


class KernelContext:
    """A step bound to arrays; see `sovits_runtime.gpu.device.Context`.

    Blocks meet at a counter that is the context's own: scratch memory is shared with engines that write all over it.
    """

    def __init__(self, engine: KernelStep, scratch: DeviceArray) -> None:
        self._engine = engine
        self._scratch = scratch
        self._arrivals = _upload(engine.shared.device, [np.zeros(ALIGNMENT, np.uint8)])
        _freed_with(self, self._arrivals.memory)
        self._arrays: dict[str, DeviceArray] = {}
        self._places: list[DeviceArray] = []

    def bind(self, arrays: Mapping[str, DeviceArray]) -> None:
        """Sets places; see `Context.bind`."""
        spec = self._engine.spec
        for name, array in arrays.items():
            t = spec.tensor(name)
            if array.shape != t.resolve({}) or array.dtype != t.dtype:
                raise ShapeError(
                    f"graph {spec.name}, {name}: expected {t.dtype}{list(t.shape)}, got "
                    f"{array.dtype}{list(array.shape)}"
                )
        self._arrays |= arrays
        self._places = []

    def enqueue(self, stream: Stream) -> None:
        """Gives one step to the stream; see `Context.enqueue`."""
        spec, shared = self._engine.spec, self._engine.shared
        self._places = self._places or self._bound()
        shared.launch(stream, self._places, self._arrays[spec.aliases[0][0]].shape[2])

    def _bound(self) -> list[DeviceArray]:
        """What the kernel takes, in its order."""
        engine, arrays = self._engine, self._arrays
        engine.spec.check_bound(arrays)
        for name, out in engine.spec.aliases:
            if arrays[name].address != arrays[out].address:
                raise BackendError(f"{engine.provider}: {name} and {out} must be the same array")
        caches = (arrays[name] for name, _ in engine.spec.aliases)
        own = engine.shared.weights, self._scratch, self._arrivals
        return [*(arrays[name] for name in ARGUMENTS), *caches, *own]
