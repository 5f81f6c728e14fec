"""A HiFi-GAN by `sovits-export-native`: the graph that makes sound, at any length, without an operator in between.

In FP32 it gives the numbers of the graph up to rounding. In bfloat16 its weights, and what convolutions read, are
rounded, and sums are not; that is for processors that multiply in bfloat16. In int8 likewise, for processors with
products of int8: weights have a scale for each output, and what a convolution reads has one for each position, found
while it is written. So nothing is calibrated, and samples do not depend on what else is in a sentence.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ctypes import byref
from pathlib import Path
from typing import Any

import numpy as np

from sovits_runtime.backends.native import PACKAGE, kernels, library
from sovits_runtime.backends.native_packing import BF16, F32, INT8
from sovits_runtime.backends.native_pool import StepPool
from sovits_runtime.backends.native_structures import CConv, CVocoder
from sovits_runtime.backends.native_vocoder_packing import (
    PackedConv,
    PackedVocoder,
    load_vocoder,
    pack_vocoder,
)
from sovits_runtime.backends.processor import KERNEL_FEATURES
from sovits_runtime.backends.voice import VocoderEngine
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.bundle.hifigan_weights import find_hifigan
from sovits_runtime.bundle.names import FP16, FP32, VOCODERS
from sovits_runtime.errors import BackendError, BundleError
from sovits_runtime.machine import usable_cores

FASTER = frozenset(KERNEL_FEATURES)
"""Kernels that are known to make sound faster than ONNX Runtime: those for x86. On Arm `tune` finds out."""
INT8_KERNELS = frozenset({*KERNEL_FEATURES, "dot product", "I8MM"} - {"AVX2"})
"""Kernels that multiply int8 and add in 32 bits by one instruction."""
_NAMES = {F32: "", BF16: ", bfloat16", INT8: ", int8"}
_OUT_OF_MEMORY = -1


def may_be_native(bundle: Bundle, name: str) -> bool:
    """Whether a graph is a HiFi-GAN whose weights the kernels hold exactly, as far as the manifest says.

    `packed_vocoder` looks at the graph itself.
    """
    flow = bundle.spec.flow
    return (
        name in VOCODERS
        and name in bundle.graph_names
        and (flow is None or flow.vocoder == "hifigan")
        and bundle.graph_precision(name) in (FP32, FP16)
    )


def native_vocoder(bundle: Bundle, asked: VocoderEngine) -> tuple[str, ctypes.CDLL] | None:
    """Returns the graph of a bundle that the kernels are to run instead of ONNX Runtime, and the kernels.

    Args:
        asked: See `vocoder_library`.

    Raises:
        BackendError: They must, and cannot.
    """
    for name in VOCODERS & set(bundle.graph_names):
        if (lib := vocoder_library(bundle, name, asked)) is not None:
            return name, lib
    return None


def vocoder_library(bundle: Bundle, name: str, asked: VocoderEngine) -> ctypes.CDLL | None:
    """Returns the kernels if they are to run a graph.

    Args:
        asked: "native": they must; "onnxruntime": they must not; "auto": where they are installed, fit, and are known
            to be faster.

    Raises:
        BackendError: They must, and cannot.
    """
    if asked == "onnxruntime" or name not in VOCODERS:
        return None
    lib, problem = library(), ""
    if lib is None:
        problem = f"{PACKAGE} is not installed; 'sovits-export doctor' says how to get it"
    elif not may_be_native(bundle, name):
        network = bundle.spec.flow.vocoder if bundle.spec.flow else "hifigan"
        problem = (
            f"the bundle's {name} is a {network} in {bundle.graph_precision(name)}, native kernels take a hifigan in "
            f"{FP32} or {FP16}"
        )
    elif asked == "auto" and kernels(lib) not in FASTER:
        return None
    if problem and asked == "native":
        raise BackendError(problem)
    return None if problem else lib


def packed_vocoder(
    lib: ctypes.CDLL, bundle: Bundle, name: str, *, form: int = F32, threads: int | None = None
) -> PackedVocoder | None:
    """Packs the weights of a graph in memory; None where it is no HiFi-GAN after all.

    Args:
        lib: The kernels.
        form: `F32`, `BF16` or `INT8`.
        threads: How many pack; None: as many as there are cores.

    Raises:
        BundleError: The weights are damaged, or do not fit together.
    """
    spec = bundle.graph_spec(name)
    if any(t.dtype != "float32" for t in (*spec.inputs, *spec.outputs)):
        return None
    weights = find_hifigan(bundle.graph_path(name), spec)
    if weights is None:
        return None
    packed = pack_vocoder(lib, weights, form, threads=threads or usable_cores())
    if problem := packed.problem():
        raise BundleError(f"{bundle.graph_path(name)}: is damaged ({problem}); build the voice again")
    return packed


def open_vocoder(
    lib: ctypes.CDLL,
    bundle: Bundle,
    name: str,
    *,
    packed: Path | None,
    threads: int | None,
    form: int = F32,
) -> NativeVocoder | None:
    """Opens a graph; None where it is no HiFi-GAN after all.

    Args:
        lib: The kernels, from `vocoder_library`.
        packed: What `save_vocoder` wrote, to be mapped; None: packed in memory of this process.
        threads: How many run it; None: as many as there are cores.
        form: `F32`, `BF16` or `INT8`, where it is packed.

    Raises:
        BundleError: The weights are damaged, or do not fit the graph.
        BackendError: No threads can be started.
    """
    if packed:
        weights: PackedVocoder | None = load_vocoder(lib, packed)
    else:
        weights = packed_vocoder(lib, bundle, name, form=form, threads=threads)
    if weights is None:
        return None
    return NativeVocoder(lib, bundle.graph_spec(name), weights, threads=threads or usable_cores())


class NativeVocoder:
    """A HiFi-GAN; see `Session`. It has threads of its own, so that steps can run while it does.

    Args:
        lib: The kernels.
        spec: Of the graph.
        packed: Its weights.
        threads: How many threads run it.

    Raises:
        BundleError: The weights do not fit the graph.
        BackendError: No threads can be started.
    """

    def __init__(self, lib: ctypes.CDLL, spec: GraphSpec, packed: PackedVocoder, *, threads: int) -> None:
        self.spec = spec
        forms = {conv.form for conv in (*packed.ups, *packed.convs)}
        self.provider = f"native ({kernels(lib)})" + _NAMES[max(forms - {F32}, default=F32)]
        self._lib = lib
        self._rate = packed.rate
        self._frames, self._style = _inputs(spec, packed)
        self._kept: list[Any] = [packed]  # what the structures point to
        self._vocoder = CVocoder(
            stages=len(packed.ups),
            blocks=packed.blocks,
            pairs=packed.pairs,
            slope=packed.slope,
            last_slope=packed.last_slope,
            pre=_structure(packed.pre),
            condition=_structure(packed.condition) if packed.condition else CConv(),
            post=_structure(packed.post),
            up=(CConv * len(packed.ups))(*map(_structure, packed.ups)),
            convs=(CConv * len(packed.convs))(*map(_structure, packed.convs)),
        )
        self._pool = StepPool(lib, threads)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Makes sound; see `Session.run`. Those who call it at once take turns.

        Raises:
            BackendError: There is no memory.
        """
        self.spec.check(feeds)
        z = np.ascontiguousarray(feeds[self._frames])
        style = None if self._style is None else np.ascontiguousarray(feeds[self._style])
        frames = int(z.shape[-1])
        wave = np.empty((1, frames * self._rate), np.float32)
        code = self._lib.sovits_vocode(
            self._pool.handle(),
            byref(self._vocoder),
            frames,
            z.ctypes.data,
            None if style is None else style.ctypes.data,
            wave.ctypes.data,
        )
        if code == _OUT_OF_MEMORY:
            raise BackendError(f"graph {self.spec.name}: no memory for {frames} frames")
        if code:
            raise BackendError(f"graph {self.spec.name}: the native kernels do not take its sizes ({code})")
        return {self.spec.output_names[0]: wave}

    def close(self) -> None:
        """Ends its threads and lets go of its weights; nothing runs, and none may come. A second call does nothing."""
        self._pool.close()
        self._kept.clear()  # files that are mapped cannot be removed on Windows


def _structure(conv: PackedConv) -> CConv:
    return CConv(
        form=conv.form,
        inputs=conv.inputs,
        outputs=conv.outputs,
        kernel=conv.kernel,
        dilation=conv.dilation,
        rate=conv.rate,
        weight=conv.weight.ctypes.data,
        bias=None if conv.bias is None else conv.bias.ctypes.data,
    )


def _inputs(spec: GraphSpec, packed: PackedVocoder) -> tuple[str, str | None]:
    """Names of the input with frames, and of the style."""
    named = {isinstance(t.shape[-1], str): t for t in spec.inputs}
    frames, style = named[True], named.get(False)
    sizes = [frames.shape[1], style.shape[1] if style else None]
    expected = [packed.pre.inputs, packed.condition.inputs if packed.condition else None]
    if sizes != expected or len(named) != len(spec.inputs):
        raise BundleError(f"graph {spec.name}: its weights are for inputs of {expected}, expected {sizes}")
    return frames.name, style.name if style else None
