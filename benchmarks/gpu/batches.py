"""What further rows of a batch cost on a GPU: one step of the GPT with 1 to 32 rows, on ONNX Runtime and on TensorRT.

The runtime steps one row at a time so far; this says what a batch would give. Rows are at different positions, each
with a cache of its own, and every row is compared with itself alone before anything is timed.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from sovits_engines.builder import BuildOptions, build_engine
from sovits_engines.passes.attention import decompose_attention
from sovits_engines.passes.cuda_ops import IR_VERSION, OPSET
from sovits_engines.passes.edits import constant, take_place
from sovits_engines.passes.fixed_sizes import fix_sizes
from sovits_exporter.debugging.engine_side import Bench, load_plan
from sovits_runtime.backends.onnxruntime import CUDA_OPTIONS, import_onnxruntime, open_raw, ort_options
from sovits_runtime.backends.ort_engine import NO_WAIT, DeviceWeights, OrtEngine
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import DimRange, GraphSpec
from sovits_runtime.bundle.names import FP32, STEP
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.gpu.device import ALIGNMENT, Device, DeviceArray, Engine, Layout
from sovits_runtime.t2s.device_step import CACHE_DIM, fixed_spec
from sovits_runtime.t2s.sampling import SamplingOptions

COUNTS = (1, 2, 4, 8, 16, 32)
CACHE_LEN = 512
POSITION, SPREAD = 300, 4
"""Of the first row, and from row to row."""
BATCH = "batch"
LIMITS = {True: 1e-4, False: 2e-2}
"""What a row's logits may differ from the row alone, as a fraction of the largest, by whether the voice is FP32."""


def row(spec: GraphSpec, seed: int) -> dict[str, Any]:
    """Inputs of a step of one row."""
    rng, vocab = np.random.default_rng(seed), spec.tensor("seen").resolve({BATCH: 1})[1]
    position = POSITION + SPREAD * seed
    arrays: dict[str, Any] = {
        "token": rng.integers(0, vocab - 1, 1),
        "text_len": np.array([1]),
        "prompt_len": np.array([1]),
        "step": np.array([position - 2]),
        "seen": rng.random((1, vocab)) < 0.1,
        "noise": rng.standard_exponential((1, vocab), dtype=np.float32),
        **SamplingOptions().arrays(vocab),
    }
    caches = {name for name, _ in spec.aliases}
    for t in spec.inputs:
        if t.name in caches:
            shape = t.resolve({BATCH: 1, CACHE_DIM: CACHE_LEN})
            arrays[t.name] = (0.5 * rng.standard_normal(shape)).astype(t.dtype)
    return {t.name: np.asarray(arrays[t.name]).astype(t.dtype) for t in spec.inputs}


def batch(spec: GraphSpec, count: int) -> dict[str, Any]:
    """Inputs of the first rows together."""
    rows = [row(spec, i) for i in range(count)]
    return {
        t.name: np.concatenate([r[t.name] for r in rows]) if BATCH in t.shape else rows[0][t.name]
        for t in spec.inputs
    }


class Bound:
    """An engine with inputs in device memory, ready to be run again and again."""

    def __init__(self, device: Device, engine: Engine, spec: GraphSpec, feeds: Mapping[str, Any]) -> None:
        count = len(feeds["token"])
        source_of = {written: read for read, written in spec.aliases}
        layout = Layout()
        for t in (*spec.inputs, *spec.outputs):
            if t.name not in source_of:
                layout.add(t.name, t.resolve({BATCH: count, CACHE_DIM: CACHE_LEN}), t.dtype)
        self._device = device
        self._scratch = device.memory(-(-max(engine.scratch_bytes, 1) // ALIGNMENT) * ALIGNMENT)
        self._memory, self.stream = device.memory(layout.nbytes), device.stream()
        self.arrays = layout.place(self._memory)
        self.arrays |= {written: self.arrays[read] for written, read in source_of.items()}
        self._host = {
            name: device.pinned(self.arrays[name].shape, value.dtype) for name, value in feeds.items()
        }
        for name, value in feeds.items():
            self._host[name][...] = value
            self.stream.upload(self.arrays[name], self._host[name])
        self.context = engine.context(
            DeviceArray(self._scratch, 0, (self._scratch.nbytes,), np.dtype(np.uint8))
        )
        self.context.bind(self.arrays)

    def logits(self) -> Any:
        """Runs once and gives the logits [rows, vocab]."""
        array = self.arrays["logits"]
        host = self._device.pinned(array.shape, array.dtype)
        self.context.enqueue(self.stream)
        self.stream.download(host, array)
        self.stream.synchronize()
        return host.copy()

    def seconds(self, times: int) -> float:
        """Runs so many times, and gives the seconds of one."""
        start = time.perf_counter()
        for _ in range(times):
            self.context.enqueue(self.stream)
        self.stream.synchronize()
        return (time.perf_counter() - start) / times

    def free(self) -> None:
        """Gives the memory back."""
        self._memory.free()
        self._scratch.free()


def time_rows(
    device: Device, spec: GraphSpec, open_engine: Callable[[int], Engine], *, full: bool, repeats: int
) -> dict[str, Any]:
    """Compares rows of a batch with each alone, then times every number of rows.

    Args:
        device: A GPU.
        spec: Of the portable step.
        open_engine: Opens the step for so many rows.
        full: Whether the voice is FP32.
        repeats: Timings of each number, of which the median counts.

    Raises:
        AssertionError: A row depends on who shares its batch.
    """
    alone: list[Any] = []
    figures: dict[str, Any] = {}
    one = open_engine(1)
    for seed in range(max(COUNTS)):
        bound = Bound(device, one, spec, row(spec, seed))
        alone.append(bound.logits()[0])
        bound.free()
    scale = max(float(np.abs(logits).max()) for logits in alone)
    worst = 0.0
    for count in COUNTS:
        bound = Bound(device, one if count == 1 else open_engine(count), spec, batch(spec, count))
        error = float(np.abs(bound.logits() - np.stack(alone[:count])).max()) / scale
        if not error <= LIMITS[full]:
            raise AssertionError(
                f"rows of {count} differ from each alone by {error:.1e} of the largest, limit {LIMITS[full]}"
            )
        worst = max(worst, error)
        bound.seconds(3)
        step = float(np.median([bound.seconds(20) for _ in range(repeats)]))
        figures[str(count)] = {"step_us": round(1e6 * step, 1), "tokens_per_s": round(count / step)}
        bound.free()
    words = ", ".join(f"{f['tokens_per_s']} with {count}" for count, f in figures.items())
    return {"summary": f"tokens/s of all rows: {words}", "rows": figures, "difference": worst}


def ort_rows(bundle: Bundle, device: Device, *, repeats: int) -> dict[str, Any]:
    """Rows on ONNX Runtime's CUDA provider, in the operators that it has kernels for."""
    ort, spec, path = import_onnxruntime("cuda"), bundle.graph_spec(STEP), bundle.graph_path(STEP)
    options, no_wait = SessionOptions("cuda", strict=True), ort.RunOptions()
    no_wait.add_run_config_entry(*NO_WAIT)
    weights = DeviceWeights(ort, device)
    with tempfile.TemporaryDirectory() as folder:
        for file in path.parent.glob("*.weights"):
            shutil.copy(file, folder)

        def open_engine(count: int) -> OrtEngine:
            target = Path(folder, f"{STEP}-{count}.onnx")
            ir.save(rows_graph(path, spec, count), target)

            def open_on(stream: int) -> Any:
                settings = ort_options(ort, options)
                settings.enable_mem_pattern = False
                for name, value in weights.of(target).items():
                    settings.add_initializer(name, value)
                return open_raw(
                    ort, target, options, settings, {**CUDA_OPTIONS, "user_compute_stream": str(stream)}
                )

            return OrtEngine(fixed_spec(spec, {BATCH: count, CACHE_DIM: CACHE_LEN}), open_on, no_wait)

        figures = time_rows(device, spec, open_engine, full=bundle.precision == FP32, repeats=repeats)
    weights.free()
    return figures


def rows_graph(path: Path, spec: GraphSpec, count: int) -> ir.Model:
    """The step for so many rows, as `cuda_ops.for_cuda` writes it for one: each row has a position of its own."""
    model = ir.load(path)
    decompose_attention(model, every=True)
    graph = model.graph
    _, heads, _, width = spec.tensor(spec.aliases[0][0]).shape
    column = constant(graph, "rows_column", np.array([count, 1, 1, 1], np.int64))
    block = constant(graph, "rows_block", np.array([count, heads, 1, width], np.int64))
    for node in [n for n in graph if n.op_type == "TensorScatter"]:
        cache, new, position = node.inputs
        flat = ir.node("Reshape", [position, column])
        place = ir.node("Expand", [flat.outputs[0], block])
        graph.insert_before(node, [flat, place])
        inputs = [cache, place.outputs[0], new]
        take_place(ir.node("ScatterElements", inputs, attributes={"axis": 2}, name=node.name), node)
    fix_sizes(model, sizes={BATCH: count, CACHE_DIM: CACHE_LEN})
    model.opset_imports.clear()
    model.opset_imports[""] = OPSET
    model.ir_version = IR_VERSION
    return model


def trt_rows(bundle: Bundle, bench: Bench, *, repeats: int) -> dict[str, Any]:
    """Rows on TensorRT: one engine for 1 to 32 rows."""
    spec, path = bundle.graph_spec(STEP), bundle.graph_path(STEP)
    fixed = fixed_spec(spec, {CACHE_DIM: CACHE_LEN})
    dims = tuple(DimRange(BATCH, 1, 8, max(COUNTS)) if d.name == BATCH else d for d in fixed.dims)
    dynamic = replace(fixed, dims=dims)
    model = ir.load(path)
    fix_sizes(model, sizes={CACHE_DIM: CACHE_LEN})
    decompose_attention(model)
    target = bench.target
    start = time.perf_counter()
    built = build_engine(
        target.api,
        ir.to_proto(model),
        path=path,
        spec=dynamic,
        capability=target.target.capability,
        options=BuildOptions(),
    )
    seconds = time.perf_counter() - start
    engine = load_plan(bench, bytes(built.plan), dynamic, CACHE_LEN)
    full = bundle.precision == FP32
    figures = time_rows(bench.gpu.device, spec, lambda count: engine, full=full, repeats=repeats)
    return {**figures, "build_s": round(seconds, 1)}
