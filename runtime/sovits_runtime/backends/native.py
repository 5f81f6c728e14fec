"""The GPT's step by `sovits-export-native`: compiled kernels that read weights in half the bytes, or a quarter.

A step is bound by reading weights. Official checkpoints are saved in float16, so that float16 holds their weights
exactly, and the kernels read those and compute in float32: the same numbers as FP32's, half the bytes. For an int8
bundle they quantize the FP32 weights that its prefill keeps, by the same rule as the bundle's own step.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from ctypes import POINTER, byref, c_char_p, c_int32, c_int64, c_void_p, pointer
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sovits_runtime.backends.native_packing import F16, F32, FORMS, Packed, load_packed, pack
from sovits_runtime.backends.native_pool import StepPool
from sovits_runtime.backends.native_structures import (
    INPUTS,
    OUTPUTS,
    STRUCTURES,
    CConv,
    CGpt,
    CLayer,
    CLinear,
    CPrompt,
    CRequest,
    CVocoder,
)
from sovits_runtime.backends.voice import GptSteps
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.gpt_weights import EPSILON, GptWeights, LayerWeights, Linear
from sovits_runtime.bundle.graph_spec import Array, GraphSpec, TensorSpec
from sovits_runtime.bundle.names import PREFILL, STEP
from sovits_runtime.bundle.session import CPU_CACHE_QUANTUM, BindableSession, caches_in_memory
from sovits_runtime.errors import BackendError, BundleError, ShapeError
from sovits_runtime.machine import usable_cores

PACKAGE = "sovits-export-native"
ABI = 6
GENERIC = "generic"
"""Kernels for whatever processor: right, but not faster than ONNX Runtime's own."""
_OUT_OF_MEMORY = -1
MOST_ROWS = 64
"""Of one call, as `gpt_step.h` says."""


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """Loads the kernels; None where `sovits-export-native` is not installed.

    Raises:
        BackendError: They are of another version, or cannot be loaded.
    """
    try:
        import sovits_native

        lib = ctypes.CDLL(str(sovits_native.LIBRARY))
        abi = lib.sovits_abi()
        if abi == ABI:
            _declare(lib)
    except ImportError:
        return None
    except StopIteration as error:  # what looked for the library found none
        raise BackendError(
            f"{PACKAGE} is installed without its library; install it again or remove it"
        ) from error
    except (OSError, AttributeError) as error:
        raise BackendError(f"{PACKAGE} cannot be loaded ({error}); install it again or remove it") from error
    if abi != ABI:
        raise BackendError(
            f"{PACKAGE} is of another version (interface {abi}, expected {ABI}); "
            "install the one that came with this version of sovits-export"
        )
    _check_structures(lib)
    return lib


def _declare(lib: ctypes.CDLL) -> None:
    """Says what the functions take and give.

    Raises:
        AttributeError: One is missing.
    """
    lib.sovits_kernels.restype = c_char_p
    lib.sovits_packed_bytes.restype = c_int64
    lib.sovits_pack.argtypes = [c_int32, c_int32, c_int32, c_void_p, c_void_p, c_void_p, c_void_p]
    lib.sovits_pool_new.restype = c_void_p
    lib.sovits_pool_free.argtypes = [c_void_p]
    lib.sovits_step.argtypes = [c_void_p, POINTER(CGpt), POINTER(POINTER(CRequest)), c_int32]
    lib.sovits_prefill.argtypes = [c_void_p, POINTER(CGpt), POINTER(CRequest), POINTER(CPrompt)]
    lib.sovits_conv_bytes.restype = c_int64
    lib.sovits_conv_bytes.argtypes = [POINTER(CConv)]
    lib.sovits_pack_conv.argtypes = [POINTER(CConv), c_void_p, c_void_p]
    lib.sovits_vocode.argtypes = [c_void_p, POINTER(CVocoder), c_int64, c_void_p, c_void_p, c_void_p]
    lib.sovits_struct_sizes.restype = None


def _check_structures(lib: ctypes.CDLL) -> None:
    sizes = (c_int64 * len(STRUCTURES))()
    lib.sovits_struct_sizes(sizes)
    for structure, size in zip(STRUCTURES, sizes, strict=True):
        if ctypes.sizeof(structure) != size:
            raise BackendError(
                f"{PACKAGE} is of another version (its {structure.__name__[1:].lower()} has {size} bytes, "
                f"expected {ctypes.sizeof(structure)}); install the one that came with this version of sovits-export"
            )


def kernels(lib: ctypes.CDLL) -> str:
    """Which kernels run on this processor."""
    return str(lib.sovits_kernels().decode())


def library_for(bundle: Bundle, gpt_steps: GptSteps) -> ctypes.CDLL | None:
    """Returns the kernels if they are to run a bundle's step on the CPU.

    Args:
        gpt_steps: "native": they must; "onnxruntime": they must not; "auto": where they are installed, fit, and are
            fast.

    Raises:
        BackendError: They must, and cannot.
    """
    if gpt_steps == "onnxruntime":
        return None
    lib, precision = library(), bundle.manifest["graphs"][STEP]["precision"]
    problem = ""
    if lib is None:
        problem = f"{PACKAGE} is not installed; 'sovits-export doctor' says how to get it"
    elif precision not in FORMS:
        problem = f"the bundle's GPT is {precision}, native kernels take {' and '.join(FORMS)}"
    elif kernels(lib) == GENERIC and gpt_steps == "auto":
        return None
    if problem and gpt_steps == "native":
        raise BackendError(problem)
    return None if problem else lib


def open_step(
    lib: ctypes.CDLL,
    bundle: Bundle,
    packed: Path | None,
    threads: int | None,
    *,
    precision: str | None = None,
    half_caches: bool = False,
) -> NativeStep:
    """Opens the step of a bundle.

    Args:
        lib: The kernels, from `library_for`.
        packed: What `save_packed` wrote, to be mapped; None: packed again, in memory of this process.
        threads: How many run it; None: as many as there are cores.
        precision: A key of `FORMS`; None: that of the bundle's own step.
        half_caches: Whether caches are float16, half of what further rows cost; only beside a native prefill.

    Raises:
        BundleError: The weights are damaged or not those of a GPT.
        BackendError: No threads can be started.
    """
    weights = _weights(bundle)
    matrices = load_packed(lib, packed) if packed else _packed(lib, bundle, weights, precision)
    spec = bundle.graph_spec(STEP)
    spec = with_half_caches(spec) if half_caches else spec
    return NativeStep(lib, spec, weights, matrices, threads=threads or usable_cores())


def with_half_caches(spec: GraphSpec) -> GraphSpec:
    """The same inputs and outputs, caches in float16."""
    names = {name for pair in spec.aliases for name in pair}

    def halved(tensors: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
        return tuple(replace(t, dtype="float16") if t.name in names else t for t in tensors)

    return replace(spec, inputs=halved(spec.inputs), outputs=halved(spec.outputs))


def pack_step(lib: ctypes.CDLL, bundle: Bundle, precision: str | None = None) -> dict[str, Packed]:
    """Packs the matrices of a bundle's step in memory; see `pack`.

    Args:
        precision: A key of `FORMS`; None: that of the bundle's own step.
    """
    return _packed(lib, bundle, _weights(bundle), precision)


def _packed(
    lib: ctypes.CDLL, bundle: Bundle, weights: GptWeights, precision: str | None
) -> dict[str, Packed]:
    return pack(lib, weights, precision or bundle.manifest["graphs"][STEP]["precision"])


def _weights(bundle: Bundle) -> GptWeights:
    return GptWeights.read(bundle.graph_path(PREFILL), bundle.graph_spec(STEP))


class NativeStep:
    """The step of a GPT, to be bound as the graph `gpt_step` is; see `BindableSession`.

    Args:
        lib: The kernels, from `library`.
        spec: Of the graph; caches may be float16, see `with_half_caches`.
        weights: Those that are not matrices.
        packed: The matrices, by name.
        threads: How many threads run a step.

    Attributes:
        half_caches: Whether caches are float16.
        weight_bytes: What a step reads of the matrices.

    Raises:
        BundleError: The weights are not those of a GPT as the exporter writes it.
        BackendError: No threads can be started.
    """

    cache_quantum = CPU_CACHE_QUANTUM

    def __init__(
        self,
        lib: ctypes.CDLL,
        spec: GraphSpec,
        weights: GptWeights,
        packed: Mapping[str, Packed],
        *,
        threads: int,
    ) -> None:
        self.spec = spec
        self.half_caches = spec.tensor(spec.aliases[0][0]).dtype == "float16"
        self.provider = f"native ({kernels(lib)})"
        self._lib = lib
        for linear in weights.linears():
            matrix, size = packed.get(linear.name), linear.weight.shape
            if matrix is None or (matrix.n, matrix.k) != size:
                raise BundleError(f"{linear.name}: not packed as {list(size)}; prepack the bundle again")
        self._kept: list[Any] = []  # what the structures point to
        self.weight_bytes = sum(matrix.weight.nbytes for matrix in packed.values())
        layers = (CLayer * len(weights.layers))(*(self._layer(layer, packed) for layer in weights.layers))
        self._gpt = CGpt(
            width=weights.width,
            heads=weights.heads,
            layers=len(weights.layers),
            vocab=weights.vocab,
            eos=weights.vocab - 1,  # which the original asserts
            cache_form=F16 if self.half_caches else F32,
            layer=layers,
            head=self._linear(weights.head, packed),
            embedding=self._keep(weights.embedding),
            frequency=self._keep(weights.frequencies()),
            position_scale=weights.position_scale,
            epsilon=EPSILON,
        )
        self._pool = StepPool(lib, threads)
        self._lean_pool: StepPool | None = None  # of half the threads, when first needed
        self._threads = threads

    def _keep(self, array: Array) -> int:
        array = np.ascontiguousarray(array)
        self._kept.append(array)
        return int(array.ctypes.data)

    def _linear(self, linear: Linear, packed: Mapping[str, Packed]) -> CLinear:
        return self.linear(linear, packed[linear.name])

    def linear(self, linear: Linear, m: Packed) -> CLinear:
        """A matrix as the kernels take it; what it points to is kept as long as the step."""
        return CLinear(
            form=m.form,
            n=m.n,
            k=m.k,
            weight=self._keep(m.weight),
            bias=None if linear.bias is None else self._keep(linear.bias),
            scale=self._keep(m.scale),
            sum=self._keep(m.total),
        )

    def _layer(self, layer: LayerWeights, packed: Mapping[str, Packed]) -> CLayer:
        return CLayer(
            qkv=self._linear(layer.qkv, packed),
            out=self._linear(layer.out, packed),
            up=self._linear(layer.up, packed),
            down=self._linear(layer.down, packed),
            norm1_weight=self._keep(layer.norm1.weight),
            norm1_bias=self._keep(layer.norm1.bias),
            norm2_weight=self._keep(layer.norm2.weight),
            norm2_bias=self._keep(layer.norm2.bias),
        )

    def grown_caches(self, capacity: int, *, old: Mapping[str, Array], rows: int) -> dict[str, Array]:
        """Makes all caches; see `BindableSession.grown_caches`."""
        return caches_in_memory(self.spec, capacity, old=old, rows=rows)

    def bind(self, arrays: Mapping[str, Any]) -> NativeBinding:
        """Binds inputs, outputs and caches, which are updated in place; see `BindableSession.bind`."""
        return NativeBinding(self, arrays)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the step on NumPy arrays, for one request; see `Session.run`."""
        return run_bound(self, feeds)

    def run_together(self, bindings: Sequence[NativeBinding], *, lean: bool = False) -> None:
        """Runs the step of several requests: weights are read once for all, numbers are those of each alone.

        Args:
            bindings: Of this step; no two share an array.
            lean: Whether to leave half of the threads to something that runs beside.

        Raises:
            BackendError: There is no memory.
            ShapeError: A token or row is out of range; with one binding it is named.
        """
        pool = self._pool_of_half() if lean and self._threads > 1 else self._pool
        for first in range(0, len(bindings), MOST_ROWS):
            some = bindings[first : first + MOST_ROWS]
            requests = (POINTER(CRequest) * len(some))(*(binding.pointer for binding in some))
            code = self._lib.sovits_step(pool.handle(), byref(self._gpt), requests, len(some))
            if code == _OUT_OF_MEMORY:
                raise BackendError("no memory for the GPT's step")
            if code:
                raise ShapeError("; ".join(binding.describe() for binding in some))

    def run_prompt(self, request: CRequest, prompt: CPrompt) -> None:
        """Runs the prefill of one request on the step's threads; see `native_prefill`.

        Raises:
            BackendError: There is no memory.
            ShapeError: The caches have too few rows.
        """
        code = self._lib.sovits_prefill(self._pool.handle(), byref(self._gpt), byref(request), byref(prompt))
        if code == _OUT_OF_MEMORY:
            raise BackendError("no memory for the GPT's prefill")
        if code:
            raise ShapeError(
                f"{prompt.rows} rows of text and prompt do not fit caches of {request.capacity} rows"
            )

    def close(self) -> None:
        """Ends its threads and lets go of its weights; no step runs, and none may come. A second call does nothing."""
        for pool in (self._pool, self._lean_pool):
            if pool is not None:
                pool.close()
        self._kept.clear()  # files that are mapped cannot be removed on Windows

    def _pool_of_half(self) -> StepPool:
        if self._lean_pool is None:
            self._lean_pool = StepPool(self._lib, self._threads // 2)
        return self._lean_pool


class NativeBinding:
    """The step bound to arrays."""

    def __init__(self, step: NativeStep, arrays: Mapping[str, Any]) -> None:
        spec = step.spec
        spec.check_bound(arrays)
        dims = spec.check({name: arrays[name] for name in spec.input_names})
        if dims["batch"] != 1:
            raise ShapeError(
                f"graph {spec.name}: native kernels take one request a call, got {dims['batch']}"
            )
        for t in spec.outputs:
            a = arrays[t.name]
            if a.dtype != np.dtype(t.dtype) or a.shape != t.resolve(dims):
                raise ShapeError(
                    f"graph {spec.name}, output {t.name}: expected {t.dtype}{list(t.resolve(dims))}, "
                    f"got {a.dtype}{list(a.shape)}"
                )
        for name, out in spec.aliases:
            if arrays[name] is not arrays[out]:
                raise ShapeError(f"graph {spec.name}: {name} and {out} must be the same array")
        caches = [arrays[name] for name, _ in spec.aliases]
        pointers = (c_void_p * len(caches))(*(pointer_to(cache) for cache in caches))
        named = {name: pointer_to(arrays[name]) for name in (*INPUTS, *OUTPUTS)}
        self._request = CRequest(cache=pointers, capacity=dims["cache_size"], **named)
        self.pointer = pointer(self._request)
        self._step = step
        self._arrays = dict(arrays)

    def run(self) -> None:
        """Runs the step; see `Binding.run`."""
        self._step.run_together((self,))

    def describe(self) -> str:
        """Where it stands, for messages of what is out of range."""
        a = self._arrays
        row = sum(int(a[name][0]) for name in ("text_len", "prompt_len", "step")) - 1
        return (
            f"graph {self._step.spec.name}: token {a['token'][0]} at row {row} does not fit a vocabulary of "
            f"{a['seen'].shape[1]} and caches of {self._request.capacity} rows"
        )


def run_bound(session: BindableSession, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Runs a session on NumPy arrays by binding it to copies of the caches; see `Session.run`."""
    spec = session.spec
    dims = spec.check(feeds)
    aliases = {out: name for name, out in spec.aliases}
    arrays = dict(feeds)
    for t in spec.outputs:
        source = aliases.get(t.name)
        arrays[t.name] = feeds[source].copy() if source else np.empty(t.resolve(dims), t.dtype)
    for out, name in aliases.items():
        arrays[name] = arrays[out]
    session.bind(arrays).run()
    return {name: arrays[name] for name in spec.output_names}


def pointer_to(array: Array) -> int:
    """Address of a contiguous array.

    Raises:
        ShapeError: It is not contiguous.
    """
    if not array.flags.c_contiguous:
        raise ShapeError("native kernels take contiguous arrays only")
    return int(array.ctypes.data)
