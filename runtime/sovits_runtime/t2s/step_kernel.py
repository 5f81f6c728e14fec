"""The GPT's step as one CUDA kernel, from the last token to the next one; its source is step_kernel.cu.

A step made of many small kernels is bound by their starts and ends. This one has five grid barriers a layer instead,
and reads weights in the fewest bytes that hold them exactly: float16 for official checkpoints, which are saved so. It
computes in float32 whatever the weights and caches are.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.gpt_weights import EPSILON, GptWeights, Linear, Norm, Stored
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.bundle.names import FP16, FP32, STEP
from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.gpu.device import ALIGNMENT, Device, DeviceArray, Memory, Stream
from sovits_runtime.t2s.device_step import HISTORY, NOISE_ROWS, STOPPED, device_step_spec

THREADS = 512
"""Of a block; a multiple of 32."""
KV_SPLITS = 8
"""Most blocks among which one head's cache is divided."""
PRECISIONS = (FP32, FP16)
ARGUMENTS = (
    "token", "step", "text_len", "prompt_len", "seen", "noise_block", "top_k", "top_p", "temperature",
    "repetition_penalty", "min_tokens", "stopped", "history", "next_token", "next_step", "next_stopped", "next_seen",
    "next_history", "logits",
)  # fmt: skip
"""The kernel's first parameters, in its order; the others are in `StepKernel.request_fields`."""

Launch = Callable[[Stream, Sequence[DeviceArray], int], None]
"""Gives one step to a stream: its arrays in the kernel's order, and the positions that the caches hold."""


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
        """The macros that step_kernel.cu needs."""
        return {
            **{name.upper(): int(value) for name, value in asdict(self).items()},
            "NOISE_ROWS": NOISE_ROWS,
            "HISTORY": HISTORY,
            "STOPPED": STOPPED,
            "KV_SPLITS": KV_SPLITS,
            "WEIGHT_BYTES": self.weights_layout.itemsize,
            "SCRATCH_BYTES": self.scratch_bytes,
            "REQUEST_BYTES": 8 * len(self.request_fields),
        }

    @property
    def weights_layout(self) -> np.dtype[np.void]:
        """The source's `struct weights`: the one table of what lies where.

        The source does not compile where its own structure has another size; tests compare every field's offset.
        """
        width, wide, vocab, f4 = self.width, 4 * self.width, self.vocab, np.float32
        layers_type = np.float16 if self.half_layers else f4
        matrices = [
            ("qkv", layers_type, (3 * width, width)),
            ("out", layers_type, (width, width)),
            ("up", layers_type, (wide, width)),
            ("down", layers_type, (width, wide)),
        ]
        vectors = [
            *(("qkv", f4, 3 * width), ("out", f4, width), ("up", f4, wide), ("down", f4, width)),
            *((f"{norm}_{part}", f4, width) for norm in ("norm1", "norm2") for part in ("weight", "bias")),
        ]
        return np.dtype(
            [
                ("matrix", matrices, self.layers),
                ("head", np.float16 if self.half_head else f4, (vocab, width)),
                ("vector", vectors, self.layers),
                ("embedding", f4, (vocab, width)),
                ("frequency", f4, width // 2),
                ("position_scale", f4),
                ("epsilon", f4),
            ]
        )

    @property
    def request_fields(self) -> tuple[str, ...]:
        """The source's `struct request`, 8 bytes a field; one field of every cache."""
        return (*ARGUMENTS, *["cache"] * (2 * self.layers), "weight", "scratch", "arrivals", "capacity")

    @property
    def scratch_bytes(self) -> int:
        """Size of the source's `struct scratch_memory`."""
        return 4 * (6 * self.width + KV_SPLITS * (self.width + 2 * self.heads))


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
        lengths: Positions that the caches hold, shortest first.
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
    weights = GptWeights.read(bundle.graph_path(STEP), spec)
    kernel = StepKernel(
        weights.width, weights.heads, len(weights.layers), weights.vocab,
        half_layers=all(_is_half(linear.weight) for layer in weights.layers for linear in layer.linears),
        half_head=_is_half(weights.head.weight), half_caches=caches == ["float16"], threads=threads,
    )  # fmt: skip
    launch = make(kernel)  # first, since it may be refused
    loaded = LoadedKernel(device, kernel, _upload(device, kernel, weights), launch)
    return tuple(KernelStep(loaded, device_step_spec(spec, length)) for length in lengths)


def _is_half(numbers: Stored) -> bool:
    with np.errstate(over="ignore"):
        return bool((numbers.astype(np.float16) == numbers).all())


def _upload(device: Device, kernel: StepKernel, weights: GptWeights) -> DeviceArray:
    """Copies the weights to the device as the kernel reads them."""
    layout = kernel.weights_layout
    staged = device.pinned((layout.itemsize,), np.uint8)
    place = staged.view(layout)
    for i, layer in enumerate(weights.layers):
        matrix, vector = place["matrix"][:, i], place["vector"][:, i]
        for name in ("qkv", "out", "up", "down"):
            linear: Linear = getattr(layer, name)
            matrix[name], vector[name] = linear.weight, linear.bias
        for name in ("norm1", "norm2"):
            norm: Norm = getattr(layer, name)
            vector[f"{name}_weight"], vector[f"{name}_bias"] = norm.weight, norm.bias
    place["head"], place["embedding"] = weights.head.weight, weights.embedding
    place["frequency"], place["position_scale"] = weights.frequencies(), weights.position_scale
    place["epsilon"] = EPSILON
    return _sent(device, staged)


def _sent(device: Device, staged: NDArray[np.uint8]) -> DeviceArray:
    """Copies pinned bytes into device memory of their own."""
    array = DeviceArray(device.memory(staged.nbytes), 0, staged.shape, staged.dtype)
    stream = device.stream()
    stream.upload(array, staged)
    stream.synchronize()
    return array


def _freed_with(owner: object, memory: Memory) -> None:
    weakref.finalize(
        owner, memory.free
    ).atexit = False  # the driver may be gone by then, and the memory with it


class LoadedKernel:
    """A kernel and its weights on the device, which the steps of all cache lengths share.

    Attributes:
        device: Where the weights lie.
        kernel: What it is compiled for.
        weights: uint8 [bytes].
        launch: Runs it.
    """

    def __init__(self, device: Device, kernel: StepKernel, weights: DeviceArray, launch: Launch) -> None:
        self.device = device
        self.kernel = kernel
        self.weights = weights
        self.launch = launch
        _freed_with(self, weights.memory)

    @property
    def weight_bytes(self) -> int:
        """Device memory that the weights take, once for all steps."""
        return self.weights.nbytes


class KernelStep:
    """The step for one cache length; see `sovits_runtime.gpu.device.Engine`.

    Attributes:
        shared: The kernel and its weights.
    """

    provider = "CUDA kernels"

    def __init__(self, shared: LoadedKernel, spec: GraphSpec) -> None:
        self.spec: GraphSpec = spec
        self.scratch_bytes = shared.kernel.scratch_bytes
        self.shared = shared

    def context(self, scratch: DeviceArray) -> KernelContext:
        """Makes a context; see `Engine.context`."""
        return KernelContext(self, scratch)


class KernelContext:
    """A step bound to arrays; see `sovits_runtime.gpu.device.Context`.

    Its barriers count in memory of its own: scratch memory is shared with engines that write all over it.
    """

    def __init__(self, engine: KernelStep, scratch: DeviceArray) -> None:
        self._engine = engine
        self._scratch = scratch
        zeros = engine.shared.device.pinned((ALIGNMENT,), np.uint8)
        zeros[...] = 0
        self._arrivals = _sent(engine.shared.device, zeros)
        _freed_with(self, self._arrivals.memory)
        self._arrays: dict[str, DeviceArray] = {}
        self._bound: list[DeviceArray] = []

    def bind(self, arrays: Mapping[str, DeviceArray]) -> None:
        """Sets addresses; see `Context.bind`."""
        spec = self._engine.spec
        for name, array in arrays.items():
            t = spec.tensor(name)
            if array.shape != t.resolve({}) or array.dtype != t.dtype:
                raise ShapeError(
                    f"graph {spec.name}, {name}: expected {t.dtype}{list(t.shape)}, got "
                    f"{array.dtype}{list(array.shape)}"
                )
        self._arrays |= arrays
        self._bound = []

    def enqueue(self, stream: Stream) -> None:
        """Gives one step to the stream; see `Context.enqueue`."""
        spec, shared = self._engine.spec, self._engine.shared
        self._bound = self._bound or self._arguments()
        shared.launch(stream, self._bound, self._arrays[spec.aliases[0][0]].shape[2])

    def _arguments(self) -> list[DeviceArray]:
        """The kernel's parameters, in its order."""
        engine, arrays = self._engine, self._arrays
        engine.spec.check_bound(arrays)
        for name, out in engine.spec.aliases:
            if arrays[name].address != arrays[out].address:
                raise BackendError(f"{engine.provider}: {name} and {out} must be the same array")
        caches = (arrays[name] for name, _ in engine.spec.aliases)
        own = engine.shared.weights, self._scratch, self._arrivals
        return [*(arrays[name] for name in ARGUMENTS), *caches, *own]
