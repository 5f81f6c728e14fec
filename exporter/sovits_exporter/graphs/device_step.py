"""The GPT's graphs as a GPU runs them without the host between steps, written beside the portable ones and compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from sovits_engines.passes.cuda_ops import for_cuda
from sovits_engines.passes.self_feeding_step import device_prefill, device_step
from sovits_exporter.relative_error import relative_error
from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.bundle.session import SessionOptions, open_session
from sovits_runtime.errors import VerificationError
from sovits_runtime.t2s.device_step import (
    HISTORY,
    NOISE_ROWS,
    PREFILL,
    STEP,
    STOPPED,
    device_step_spec,
    rows_spec,
)
from sovits_runtime.t2s.sampling import SamplingOptions

SUFFIX = ".device"
DEVICE_GRAPHS = (PREFILL, STEP)
LIMITS = {"float32": 1e-4, "float16": 5e-3}
"""Largest difference of a float output, as a share of the largest number in it, by the type of the caches."""
_TEXT, _PROMPT, _STEP_NUMBER, _CACHE = 9, 7, 70, 128


def write_device_graph(path: Path, spec: GraphSpec) -> Path:
    """Writes the device's form of a graph beside it, on the same weights, and compares the two.

    Args:
        path: The `.onnx` file of one of `DEVICE_GRAPHS`.
        spec: Its spec.

    Returns:
        The new file's path.

    Raises:
        BundleError: The graph is not built as the exporter builds it.
        VerificationError: The two differ.
    """
    make = {PREFILL: device_prefill, STEP: device_step}[spec.name]
    target = path.with_name(f"{path.stem}{SUFFIX}.onnx")
    model = make(onnx.load(path, load_external_data=False), spec)
    for_cuda(model, spec)
    onnx.save(model, target)
    _compare(path, target, spec)
    return target


def _compare(path: Path, target: Path, spec: GraphSpec) -> None:
    """Runs both forms on ONNX Runtime, on one random request."""
    feeds = _feeds(spec)
    expected = open_session(path, spec, options=SessionOptions(prepack=False)).run(feeds)
    given, wanted = _of_prefill(spec, feeds, expected)
    made = rows_spec(spec)
    if spec.name == STEP:
        given, wanted = _of_step(feeds, expected)
        made = device_step_spec(spec, _CACHE)
    got = open_session(target, made, options=SessionOptions(prepack=False)).run(
        {name: given[name] for name in made.input_names}
    )
    limit = LIMITS[spec.tensor(spec.aliases[0][0]).dtype]
    for name, value in wanted.items():
        error = relative_error(value, got[name])
        allowed = limit if value.dtype.kind == "f" else 0.0
        if error > allowed:
            raise VerificationError(
                f"graph {spec.name}: its form for a GPU differs in {name} by {error:.1e} of the largest number, limit "
                f"{allowed:.0e}; please report it with the versions that 'sovits-export doctor' prints"
            )


def _feeds(spec: GraphSpec) -> dict[str, Array]:
    """A request with a cache that is half full."""
    rng = np.random.default_rng(0)
    sizes = {"batch": 1, "cache_size": _CACHE, "phones": _TEXT, "prompt": _PROMPT}
    vocab = spec.tensor("seen").shape[1]
    assert isinstance(vocab, int)
    fixed = {
        **SamplingOptions(top_k=50, min_tokens=_STEP_NUMBER + 1).arrays(vocab),
        "text_len": _TEXT,
        "prompt_len": _PROMPT,
        "step": _STEP_NUMBER if spec.name == STEP else 0,
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
    """Inputs of the device's form, and what it should give: the rows that the other wrote into its caches."""
    caches, rows = {out for _, out in spec.aliases}, _TEXT + _PROMPT
    return dict(feeds), {n: v[:, :, :rows] if n in caches else v for n, v in expected.items()}


def _of_step(
    feeds: Mapping[str, Array], expected: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The same of the step, which reads its noise from a block and keeps a history."""
    block = np.ones((NOISE_ROWS, feeds["noise"].shape[1]), np.float32)
    block[_STEP_NUMBER % NOISE_ROWS] = feeds["noise"][0]
    history = np.arange(HISTORY)[None]
    after = history.copy()
    after[0, _STEP_NUMBER] = STOPPED if expected["stop"][0] else expected["next_token"][0]
    given = {**feeds, "noise_block": block, "stopped": np.zeros(1, np.bool_), "history": history}
    wanted = {name: value for name, value in expected.items() if name != "stop"}
    wanted |= {"next_step": feeds["step"] + 1, "next_stopped": expected["stop"], "next_history": after}
    return given, wanted
