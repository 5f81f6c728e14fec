"""TensorRT as the side under suspicion: an engine with its layers marked as outputs, built and run here.

Polygraphy's own loaders and runner serve one flavour a process, which an environment variable chooses before it is
imported, and for RTX they import a module that PyPI's packages do not bring. So engines are built by `builder.py` and
run by the runtime, as for speech; what Polygraphy is given are the arrays.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir

from sovits_calibration.observe import Feeds
from sovits_engines.builder import NO_FUSED_KERNEL, BuildOptions, EngineRefused, build_engine
from sovits_engines.passes import Pass, apply
from sovits_engines.passes.attention import decompose_attention
from sovits_engines.passes.cacheless_prefill import cacheless_prefill
from sovits_engines.passes.expose_outputs import expose_outputs
from sovits_engines.passes.fixed_sizes import fix_sizes
from sovits_engines.targets import BuildTarget, build_targets
from sovits_exporter.debugging.sides import Outputs, fed
from sovits_runtime.backends.tensorrt import Gpu, open_gpu
from sovits_runtime.backends.trt_engine import TrtEngine, TrtRuntime
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.engine_store import EngineRecord
from sovits_runtime.bundle.files import file_record
from sovits_runtime.bundle.graph_spec import Array, GraphSpec, TensorSpec
from sovits_runtime.bundle.names import PREFILL, STEP
from sovits_runtime.errors import BackendError
from sovits_runtime.gpu.device import ALIGNMENT, Device, DeviceArray, Layout
from sovits_runtime.t2s.device_step import CACHE_LENGTHS, fixed_spec, rows_spec, step_sizes


@dataclass(frozen=True)
class Bench:
    """A GPU and the TensorRT that builds for it.

    Attributes:
        target: What is built for, and with what.
        gpu: Where it runs.
    """

    target: BuildTarget
    gpu: Gpu

    @classmethod
    def open(cls, flavour: str | None) -> Bench:
        """Opens the first GPU.

        Args:
            flavour: `rtx` or `trt`; None: what `engine build` would take.

        Raises:
            BackendError: No TensorRT serves it, or it cannot be opened.
        """
        (target, *_) = build_targets(flavour=flavour)
        return cls(target, open_gpu())


@dataclass(frozen=True)
class EngineGraph:
    """A graph as engines take it: sizes of caches fixed, the prefill without caches.

    It differs from the copy for speech in one thing: the step gets its noise and its token from here, and does not feed
    itself. What it computes is the same.

    Attributes:
        spec: Its inputs and outputs.
        passes: What makes it of the bundle's graph.
        cache_len: Positions in the caches of a step; 0: there are none.
    """

    spec: GraphSpec
    passes: tuple[Pass, ...]
    cache_len: int = 0

    @classmethod
    def of(cls, bundle: Bundle, name: str, runs: Sequence[Feeds]) -> EngineGraph:
        """The graph of a bundle, with caches that the runs fit in."""
        spec = bundle.graph_spec(name)
        if name == PREFILL:
            return cls(rows_spec(spec), (partial(cacheless_prefill, spec=spec), decompose_attention))
        if name != STEP:
            return cls(spec, (decompose_attention,))
        filled = max((feeds[n].shape[2] for feeds in runs for n, _ in spec.aliases), default=1)
        cache_len = next((n for n in CACHE_LENGTHS if n >= filled), CACHE_LENGTHS[-1])
        sizes = step_sizes(cache_len)
        return cls(fixed_spec(spec, sizes), (partial(fix_sizes, sizes=sizes), decompose_attention), cache_len)

    def change(self, model: ir.Model) -> ir.Model:
        """Applies the passes."""
        apply(model, self.passes)
        return model

    def feeds(self, runs: Sequence[Feeds]) -> list[Feeds]:
        """The inputs, caches filled up with zeros."""
        caches = {name for name, _ in self.spec.aliases}
        return [
            {n: _filled_up(a, self.cache_len) if n in caches else a for n, a in feeds.items()}
            for feeds in runs
        ]


class EngineSide:
    """Builds an engine for each set of marked values, and runs it; see `sides.Side`.

    Args:
        bench: Where.
        graph: The graph's form.
        path: The graph's file, beside which its weights lie.
        build: Builds an engine; see `builder.build_engine`.
    """

    def __init__(
        self, bench: Bench, graph: EngineGraph, path: Path, *, build: Callable[..., object] = build_engine
    ) -> None:
        self.title = bench.target.api.title
        self.folder = path.parent
        self._bench, self._graph, self._path, self._build = bench, graph, path, build

    def run(self, model: ir.Model, names: Sequence[str], runs: Sequence[Feeds]) -> list[Outputs]:
        """See `Side.run`."""
        expose_outputs(model, values=names)
        spec = _spec_of(model, self._graph.spec)
        engine = load_plan(self._bench, self._plan(model, spec), spec, self._graph.cache_len)
        return [run_once(self._bench.gpu.device, engine, fed(model, feeds)) for feeds in runs]

    def _plan(self, model: ir.Model, spec: GraphSpec) -> bytes:
        """Builds; where a fused attention turns out to be missing, once more with attention written out."""
        try:
            return self._built(model, spec)
        except EngineRefused as error:
            if NO_FUSED_KERNEL not in str(error):
                raise
        decompose_attention(model, every=True)
        return self._built(model, spec)

    def _built(self, model: ir.Model, spec: GraphSpec) -> bytes:
        target = self._bench.target
        built = self._build(
            target.api,
            ir.to_proto(model),
            path=self._path,
            spec=spec,
            capability=target.target.capability,
            options=BuildOptions(),
        )
        return bytes(built.plan)  # type: ignore[attr-defined]


def load_plan(bench: Bench, content: bytes, spec: GraphSpec, cache_len: int = 0) -> TrtEngine:
    """Loads an engine that was built just now and is kept nowhere.

    Args:
        content: The serialized engine.
        spec: Its inputs and outputs.
        cache_len: Positions in its caches; 0: it has none.

    Raises:
        BackendError: TensorRT refuses it.
    """
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder, "marked.plan")
        plan.write_bytes(content)
        record = EngineRecord(
            name=spec.name,
            graph=spec.name,
            cache_size=cache_len,
            plan=plan,
            key_fields=bench.target.target.key_fields(),
            spec=spec,
            built={},
            **file_record(plan),
        )
        return TrtRuntime(bench.target.api).load(record)


def run_once(device: Device, engine: TrtEngine, feeds: Mapping[str, Array]) -> Outputs:
    """Runs an engine on arrays of its own, which are given back.

    Args:
        device: Where it is.
        engine: An engine.
        feeds: Its inputs, in its own types.
    """
    spec, stream = engine.spec, device.stream()
    scratch = device.memory(-(-max(engine.scratch_bytes, 1) // ALIGNMENT) * ALIGNMENT)
    context = engine.context(DeviceArray(scratch, 0, (scratch.nbytes,), np.dtype(np.uint8)))
    shapes = {name: feeds[name].shape for name in spec.input_names}
    shapes |= _known_shapes(spec, shapes) or context.output_shapes(shapes)
    source_of = {written: read for read, written in spec.aliases}
    layout = Layout()
    for t in (*spec.inputs, *spec.outputs):
        if t.name not in source_of:
            layout.add(t.name, shapes[t.name], t.dtype)
    memory = device.memory(layout.nbytes)
    try:
        arrays = layout.place(memory)
        arrays |= {written: arrays[read] for written, read in source_of.items()}
        host = {name: device.pinned(shapes[name], array.dtype) for name, array in arrays.items()}
        for name in spec.input_names:
            host[name][...] = feeds[name]
            if host[name].nbytes:
                stream.upload(arrays[name], host[name])
        context.bind(arrays)
        context.enqueue(stream)
        for name in spec.output_names:
            if host[name].nbytes:
                stream.download(host[name], arrays[name])
        stream.synchronize()
        return {name: host[name].copy() for name in spec.output_names}
    finally:
        memory.free()
        scratch.free()


def _known_shapes(spec: GraphSpec, inputs: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Shapes of all outputs, where they follow from those of the inputs by the names of dimensions; else none."""
    dims = {
        d: n for t in spec.inputs for d, n in zip(t.shape, inputs[t.name], strict=True) if isinstance(d, str)
    }
    if not all(isinstance(d, int) or d in dims for t in spec.outputs for d in t.shape):
        return {}
    return {t.name: t.resolve(dims) for t in spec.outputs}


def _spec_of(model: ir.Model, spec: GraphSpec) -> GraphSpec:
    """The spec with the types that the model has, and with the values that were made outputs."""
    types = {v.name: v.dtype.numpy().name for v in (*model.graph.inputs, *model.graph.outputs) if v.dtype}
    known = {t.name for t in spec.outputs}
    marked = tuple(
        TensorSpec(v.name or "", types[v.name], _shape(v)) for v in model.graph.outputs if v.name not in known
    )
    inputs = tuple(replace(t, dtype=types[t.name]) for t in spec.inputs)
    outputs = tuple(replace(t, dtype=types[t.name]) for t in spec.outputs)
    return replace(spec, inputs=inputs, outputs=(*outputs, *marked))


def _shape(value: ir.Value) -> tuple[int | str, ...]:
    assert value.shape is not None  # `layers_of` takes no others
    return tuple(d if isinstance(d, int) else str(d) for d in value.shape)


def _filled_up(cache: Array, length: int) -> Array:
    """A cache [B, H, S, D] with zeros up to a length."""
    missing = length - cache.shape[2]
    if missing < 0:
        raise BackendError(f"the recorded caches have {cache.shape[2]} positions, engines at most {length}")
    return np.pad(cache, ((0, 0), (0, 0), (0, missing), (0, 0)))
