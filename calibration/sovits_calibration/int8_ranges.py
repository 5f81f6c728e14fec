"""Ranges of the inputs and outputs of a graph's convolutions, for int8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sovits_calibration.measure import open_in_memory
from sovits_calibration.observe import Feeds
from sovits_engines.passes.expose_outputs import expose_outputs
from sovits_engines.passes.model_file import load_model
from sovits_runtime.errors import VerificationError

_Floats = NDArray[np.float64]

LEVELS = 255
BINS = 2048
CLIPPING_COST = (
    4.0  # what is cut off one layer is cut off the next too; such errors do not add in power but in full
)
AT_ONCE = 32  # values that leave the graph in one run, which bounds the memory
_LOWS = np.linspace(0.1, 1.0, 10)
_HIGHS = np.linspace(0.3, 1.0, 8)
_SMALLEST = 1e-30


@dataclass(frozen=True)
class ConvStatistics:
    """What the inputs and outputs of convolutions were over all runs.

    Attributes:
        ranges: By value, where uint8 numbers should begin and end.
        shapes: By value, its shape in the longest run.
    """

    ranges: dict[str, tuple[float, float]]
    shapes: dict[str, tuple[int, ...]]


def conv_statistics(path: Path, runs: Sequence[Feeds]) -> ConvStatistics:
    """Measures the inputs and outputs of every Conv of an FP32 graph.

    Each range is the one with the smallest error of rounding, out of 80 that cut the measured extremes at either end:
    the largest, over the runs, of the error's power as a fraction of the tensor's power, with clipping counted four
    times. Where only a LeakyRelu reads a value, both are those of its result, so negative numbers are rounded more
    coarsely. With all resblocks of the demo voice in int8, the worst run is 25.5 dB above its error, against 23.4 dB
    with min-max and 22.3 dB where clipping counts once.

    Args:
        path: The `.onnx` file.
        runs: One dict of inputs a run.

    Raises:
        VerificationError: A tensor holds NaN or infinity.
        BackendError: ONNX Runtime cannot run the graph.
    """
    model = load_model(path)
    graph = model.graph
    values = list({v: v for n in graph if n.op_type == "Conv" for v in (n.inputs[0], n.outputs[0]) if v})
    tensors = {v.name or "": _Tensor(v.name or "", _slope(v)) for v in values}
    expose_outputs(model, values=tensors.keys())
    session = open_in_memory(model, path.parent)
    names = [name for name in tensors if name not in {v.name for v in graph.inputs}]
    for feeds in runs:
        for name in tensors.keys() & feeds.keys():
            tensors[name].note(feeds[name])
        for start in range(0, len(names), AT_ONCE):
            part = names[start : start + AT_ONCE]
            for name, numbers in zip(part, session.run(part, dict(feeds)), strict=True):
                tensors[name].note(numbers)
    return ConvStatistics(
        {name: tensor.best_range() for name, tensor in tensors.items()},
        {name: tensor.shape for name, tensor in tensors.items()},
    )


def _slope(value: ir.Value) -> float:
    """The slope for negative numbers of the LeakyRelu that alone reads the value; 1 without."""
    readers = {use.node for use in value.uses()}
    if len(readers) != 1 or value.is_graph_output():
        return 1.0
    (reader,) = readers
    return reader.attributes.get_float("alpha", 0.01) if reader.op_type == "LeakyRelu" else 1.0


class _Tensor:
    """The numbers of one tensor, as a histogram a run."""

    def __init__(self, name: str, slope: float) -> None:
        self.name = name
        self.slope = slope
        self.low = self.high = 0.0
        self.shape: tuple[int, ...] = ()
        self.histograms: list[tuple[_Floats, _Floats]] = []

    def note(self, numbers: NDArray[np.float32]) -> None:
        low, high = float(numbers.min()), float(numbers.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise VerificationError(
                f"calibration: {self.name} reaches from {low} to {high}; such a voice cannot be int8, check its "
                "checkpoint"
            )
        self.low, self.high = min(self.low, low), max(self.high, high)
        if not self.shape or numbers.size > np.prod(self.shape):
            self.shape = numbers.shape
        step = max((high - low) / (BINS - 1), _SMALLEST)
        counts = np.bincount(np.rint((numbers.ravel() - low) / step).astype(np.int32), minlength=BINS)
        self.histograms.append((counts / numbers.size, low + step * np.arange(len(counts), dtype=np.float64)))

    def best_range(self) -> tuple[float, float]:
        cuts = [(self.low * float(a), self.high * float(b)) for a in _LOWS for b in _HIGHS]
        return min(reversed(cuts), key=lambda ends: max(self._error(*h, *ends) for h in self.histograms))

    def _error(self, fractions: _Floats, x: _Floats, low: float, high: float) -> float:
        """The power of the error of rounding, clipping weighted, as a fraction of the power of the numbers."""
        step = max((high - low) / LEVELS, _SMALLEST)
        zero = np.rint(-low / step)
        exact = np.where(x < 0, self.slope * x, x)
        level = np.rint(x / step) + zero
        rounded = (np.clip(level, 0, LEVELS) - zero) * step
        change = np.where(rounded < 0, self.slope * rounded, rounded) - exact
        cost = np.where((level < 0) | (level > LEVELS), CLIPPING_COST, 1.0) * change**2
        return float(fractions @ cost / max(fractions @ exact**2, _SMALLEST))
