"""The GPT's graphs as a GPU runs them without the host between steps, written beside the portable ones and compared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir

from sovits_engines.passes import Pass, apply
from sovits_engines.passes.cacheless_prefill import cacheless_prefill
from sovits_engines.passes.cuda_ops import for_cuda
from sovits_engines.passes.self_feeding_step import self_feeding_step
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.bundle.names import PREFILL, STEP
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.errors import VerificationError
from sovits_runtime.t2s.device_step import (
    BATCH_STEPS,
    HISTORY,
    NOISE_ROWS,
    STOPPED,
    batch_step_spec,
    device_step_spec,
    rows_spec,
)
from sovits_runtime.t2s.sampling import SamplingOptions
from sovits_runtime.verify.metrics import relative_error

SUFFIX, ROWS_SUFFIX = ".device", ".rows"
DEVICE_PASSES = {PREFILL: cacheless_prefill, STEP: self_feeding_step}
"""Graph -> the pass that frees it of the host."""
DEVICE_GRAPHS = tuple(DEVICE_PASSES)
LIMITS = {"float32": 1e-4, "float16": 5e-3}
"""Largest difference of a float output, as a fraction of the largest number in it, by the type of the caches."""
_TEXT, _PROMPT, _STEP_NUMBER, _CACHE = 9, 7, 70, 128
_ROW_STEPS = (_STEP_NUMBER, 12, 3, 101)
"""Steps that the rows of a batch are at. The second one stands still, the last one makes its last token."""
_STANDS, _AT_LAST = 1, 3


def passes_of(spec: GraphSpec, *, rows: bool = False) -> tuple[Pass, ...]:
    """The passes over one of `DEVICE_GRAPHS`, in order; with `rows`, over the step for a batch of them."""
    if rows:
        return partial(self_feeding_step, spec=spec, rows=True), partial(for_cuda, spec=spec, rows=True)
    return partial(DEVICE_PASSES[spec.name], spec=spec), partial(for_cuda, spec=spec)


def write_device_graph(path: Path, spec: GraphSpec) -> Path:
    """Writes the variant of a graph that needs no host beside it, on the same weights, and compares the two.

    Args:
        path: The `.onnx` file of one of `DEVICE_GRAPHS`.
        spec: Its spec.

    Returns:
        The new file's path.

    Raises:
        BundleError: The graph is not built as the exporter builds it.
        VerificationError: The two differ.
    """
    target = path.with_name(f"{path.stem}{SUFFIX}.onnx")
    model = ir.load(path)
    apply(model, passes_of(spec))
    ir.save(model, target)
    _compare(path, target, spec)
    return target


def write_rows_graph(path: Path, spec: GraphSpec) -> Path:
    """Writes the variant of the step that feeds itself for a batch of rows, and compares each row with the row alone.

    Args:
        path: The `.onnx` file of `gpt_step`.
        spec: Its spec.

    Returns:
        The new file's path.

    Raises:
        BundleError: The graph is not built as the exporter builds it.
        VerificationError: A row differs.
    """
    target = path.with_name(f"{path.stem}{ROWS_SUFFIX}.onnx")
    model = ir.load(path)
    apply(model, passes_of(spec, rows=True))
    ir.save(model, target)
    _compare_rows(path, target, spec)
    return target


def _compare(path: Path, target: Path, spec: GraphSpec) -> None:
    """Runs both variants on ONNX Runtime, on one random request."""
    feeds = _feeds(spec)
    expected = open_session(path, spec, options=SessionOptions(prepack=False)).run(feeds)
    if spec.name == STEP:
        variant, (inputs, expected) = device_step_spec(spec, _CACHE), _of_step(feeds, expected)
    else:
        variant, (inputs, expected) = rows_spec(spec), _of_prefill(spec, feeds, expected)
    outputs = open_session(target, variant, options=SessionOptions(prepack=False)).run(
        {name: inputs[name] for name in variant.input_names}
    )
    _require_same(spec, expected, outputs, form="its form for a GPU")


def _require_same(
    spec: GraphSpec, expected: Mapping[str, Array], outputs: Mapping[str, Array], *, form: str
) -> None:
    limit = LIMITS[spec.tensor(spec.aliases[0][0]).dtype]
    for name, value in expected.items():
        error = relative_error(value, outputs[name])
        allowed = limit if value.dtype.kind == "f" else 0.0
        if error > allowed:
            raise VerificationError(
                f"graph {spec.name}: {form} differs in {name} by {error:.1e} of the largest number, limit "
                f"{allowed:.0e}; please report it with the versions that 'sovits-export doctor' prints"
            )


def _compare_rows(path: Path, target: Path, spec: GraphSpec) -> None:
    """Runs rows at several steps together in the variant, and each alone in the portable graph."""
    portable = open_session(path, spec, options=SessionOptions(prepack=False))
    rows = [_feeds(spec, number, seed) for seed, number in enumerate(_ROW_STEPS)]
    alone = [portable.run(feeds) for feeds in rows]
    batch = batch_step_spec(spec, _CACHE)
    inputs = {name: np.concatenate([feeds[name] for feeds in rows]) for name in spec.input_names}
    count = len(rows)
    stopped = np.arange(count) == _STANDS
    block = np.ones((count, BATCH_STEPS, inputs["noise"].shape[1]), np.float32)
    for i, number in enumerate(_ROW_STEPS):
        block[i, number % BATCH_STEPS] = inputs["noise"][i]
    history = np.arange(count * BATCH_STEPS).reshape(count, BATCH_STEPS)
    inputs |= {
        "noise_block": block,
        "noise_place": BATCH_STEPS * np.arange(count),
        "last": np.array(_ROW_STEPS) + (np.arange(count) != _AT_LAST),
        "stopped": stopped,
        "history": history,
    }
    outputs = open_session(target, batch, options=SessionOptions(prepack=False)).run(
        {name: inputs[name] for name in batch.input_names}
    )
    expected = {name: np.concatenate([row[name] for row in alone]) for name in spec.output_names}
    ended = stopped | expected.pop("stop")
    after = history.copy()
    for i in (i for i in range(count) if not stopped[i]):
        after[i, _ROW_STEPS[i] % BATCH_STEPS] = STOPPED if ended[i] else expected["next_token"][i]
    ended |= np.arange(count) == _AT_LAST
    expected |= {
        "next_history": after,
        "next_stopped": ended,
        "next_step": np.where(ended, inputs["step"], inputs["step"] + 1),
    }
    _require_same(spec, expected, outputs, form="its form for a batch of rows on a GPU")


def _feeds(spec: GraphSpec, number: int = _STEP_NUMBER, seed: int = 0) -> dict[str, Array]:
    """A request with a cache that is half full."""
    rng = np.random.default_rng(seed)
    sizes = {"batch": 1, "cache_size": _CACHE, "phones": _TEXT, "prompt": _PROMPT}
    vocab = spec.tensor("seen").shape[1]
    assert isinstance(vocab, int)
    fixed = {
        **SamplingOptions(top_k=50, min_tokens=number + 1).arrays(vocab),
        "text_len": _TEXT,
        "prompt_len": _PROMPT,
        "step": number if spec.name == STEP else 0,
    }
    feeds: dict[str, Array] = {}
    for t in spec.inputs:
        shape = t.resolve(sizes)
        if t.name in fixed:
            feeds[t.name] = np.full(shape, fixed[t.name], t.dtype)
        elif t.dtype == "int64":
            feeds[t.name] = rng.integers(0, 100, shape)
        elif t.dtype == "bool":
            feeds[t.name] = rng.random(shape) < 0.1
        else:
            feeds[t.name] = np.abs(rng.standard_normal(shape)).astype(t.dtype)
    return feeds


def _of_prefill(
    spec: GraphSpec, feeds: Mapping[str, Array], expected: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Inputs of the prefill's variant, and what it should give: the positions that the other wrote into its caches."""
    caches, rows = {out for _, out in spec.aliases}, _TEXT + _PROMPT
    return dict(feeds), {n: v[:, :, :rows] if n in caches else v for n, v in expected.items()}


def _of_step(
    feeds: Mapping[str, Array], expected: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The same of the step's variant, which reads its noise from a block and keeps a history."""
    block = np.ones((NOISE_ROWS, feeds["noise"].shape[1]), np.float32)
    block[_STEP_NUMBER % NOISE_ROWS] = feeds["noise"][0]
    history = np.arange(HISTORY)[None]
    after = history.copy()
    after[0, _STEP_NUMBER] = STOPPED if expected["stop"][0] else expected["next_token"][0]
    inputs = {**feeds, "noise_block": block, "stopped": np.zeros(1, np.bool_), "history": history}
    outputs = {name: value for name, value in expected.items() if name != "stop"}
    outputs |= {"next_step": feeds["step"] + 1, "next_stopped": expected["stop"], "next_history": after}
    return inputs, outputs
