"""Measures the numbers inside a graph: their range, what sums could reach, and what rounding to FP16 would do.

The measurements are operators added to the graph, so only a few numbers leave each run and memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from sovits_calibration.observe import Feeds
from sovits_engines.passes.probes import add_probes
from sovits_runtime.machine.onnx_runtime import (
    SCATTER_ONNXRUNTIME,
    load_onnxruntime,
    open_model,
    session_options,
)


@dataclass(frozen=True)
class Measurements:
    """What was measured over all runs of one graph.

    Attributes:
        largest: By value, the largest magnitude.
        sums: By node (its first output), the largest sum of the magnitudes that a linear layer or attention adds up.
        error: By node, the largest change of its output when its inputs and its output are rounded to FP16, as a
            fraction of the output's norm; infinite where FP16 cannot hold them.
    """

    largest: dict[str, float]
    sums: dict[str, float]
    error: dict[str, float]


def measure(path: Path, runs: Sequence[Feeds]) -> Measurements:
    """Measures an FP32 graph on given inputs.

    Args:
        path: The `.onnx` file.
        runs: One dict of inputs a run.

    Raises:
        BackendError: ONNX Runtime cannot run the graph.
    """
    model = ir.load(path)
    probes = list(add_probes(model).names)
    # Every value is looked at, so little can be fused, and trying takes as long as running the graph.
    session = open_in_memory(model, path.parent, fuse=False)
    values = dict.fromkeys(probes, 0.0)
    for feeds in runs:
        for name, number in zip(probes, session.run(probes, dict(feeds)), strict=True):
            values[name] = max(values[name], float(number)) if np.isfinite(number) else float("inf")
    kinds: dict[str, dict[str, float]] = {"largest": {}, "sums": {}, "error": {}}
    for name, number in values.items():
        kind, _, of = name.partition(":")
        kinds[kind][of] = number
    return Measurements(**kinds)


def open_in_memory(model: ir.Model, base: Path, *, fuse: bool = True) -> Any:
    """Opens a changed model whose weights still lie in `base`; operators run as early as they can, freeing memory.

    Args:
        base: Folder of its weights.
        fuse: Whether ONNX Runtime looks for operators to put together.
    """
    ort = load_onnxruntime(least=SCATTER_ONNXRUNTIME)
    levels = ort.GraphOptimizationLevel
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = _relative(value.const_value)
    options = session_options(ort)
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if fuse else levels.ORT_ENABLE_BASIC
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(base))
    options.add_session_config_entry("session.disable_prepacking", "1")
    return open_model(
        ort,
        ir.to_proto(model).SerializeToString(),
        options=options,
        what=f"graph {model.graph.name}: ONNX Runtime cannot open it for calibration",
    )


def _relative(tensor: ir.ExternalTensor) -> ir.ExternalTensor:
    return ir.ExternalTensor(
        tensor.location, tensor.offset, tensor.length, tensor.dtype, shape=tensor.shape, name=tensor.name
    )
