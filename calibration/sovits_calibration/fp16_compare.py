"""How far a mixed-precision graph is from its FP32 original, every FP16 result rounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from sovits_calibration.measure import open_in_memory
from sovits_calibration.observe import Feeds
from sovits_engines.passes.fp16_simulation import simulate_fp16
from sovits_engines.passes.model_file import load_model
from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.verify.metrics import cosine, relative_error


@dataclass(frozen=True)
class GraphDistance:
    """The worst over all runs and float outputs of one graph.

    Attributes:
        cosine: Smallest cosine with FP32; NaN where a number is not finite; 1 for a graph without float outputs.
        error: Largest difference, as a fraction of the output's largest magnitude; `wrong` where it is whole numbers.
        wrong: Largest fraction of differing entries of a whole-number output.
        runs: How many runs were compared.
    """

    cosine: float
    error: float
    wrong: float
    runs: int


def distance(fp32: Path, fp16: Path, spec: GraphSpec, runs: Sequence[Feeds]) -> GraphDistance:
    """Runs both graphs on the same inputs.

    Args:
        fp32: The FP32 graph.
        fp16: The mixed-precision graph.
        spec: Inputs and outputs of the mixed-precision graph.
        runs: FP32 inputs, one dict a run.

    Raises:
        BackendError: ONNX Runtime cannot run one of them.
    """
    model = load_model(fp16)
    simulate_fp16(model)
    names = list(spec.output_names)
    sessions = (open_in_memory(ir.load(fp32), fp32.parent), open_in_memory(model, fp16.parent))
    cosines, errors, wrong = [1.0], [0.0], [0.0]
    for feeds in runs:
        rounded = {t.name: feeds[t.name].astype(t.dtype) for t in spec.inputs}
        outputs = (sessions[0].run(names, dict(feeds)), sessions[1].run(names, rounded))
        for expected, got in _compared(*outputs):
            if expected.dtype.kind == "f":
                cosines.append(cosine(expected, got))
                errors.append(relative_error(expected, got))
            else:
                wrong.append(float(np.mean(expected != got)))
                errors.append(wrong[-1])
    return GraphDistance(float(np.min(cosines)), float(np.max(errors)), max(wrong), len(runs))


def _compared(expected: Sequence[Array], got: Sequence[Array]) -> Iterator[tuple[Array, Array]]:
    return ((a, b) for a, b in zip(expected, got, strict=True) if a.size)
