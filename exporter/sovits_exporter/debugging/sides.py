"""What runs a graph with its layers marked as outputs: ONNX Runtime, as it is or with every FP16 result rounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx_ir as ir

from sovits_calibration.measure import open_in_memory
from sovits_calibration.observe import Feeds
from sovits_engines.passes.expose_outputs import expose_outputs
from sovits_engines.passes.fp16_simulation import simulate_fp16
from sovits_exporter.debugging.layers import import_polygraphy
from sovits_runtime.bundle.graph_spec import Array

Outputs = dict[str, Array]


class Side(Protocol):
    """One way to run a graph.

    Attributes:
        title: What it is, for people.
        folder: Where weights lie that are not in the model.
    """

    title: str
    folder: Path

    def run(self, model: ir.Model, names: Sequence[str], runs: Sequence[Feeds]) -> list[Outputs]:
        """Runs a graph and gives its outputs and the values named.

        Args:
            model: A graph with its weights; changed.
            names: Values to give beside the outputs.
            runs: Inputs, one dict a run; cast to what the graph takes.

        Raises:
            BackendError: It cannot be run.
        """


class OrtSide:
    """ONNX Runtime on the CPU; operators are not put together, so that every value is what its operator gave.

    Args:
        folder: Where weights lie that are not in the model.
        rounded: Compute in FP32 and round every result that the graph says is FP16.
    """

    def __init__(self, folder: Path, *, rounded: bool = False) -> None:
        self.folder = folder
        self._rounded = rounded
        self.title = "every FP16 result rounded" if rounded else "ONNX Runtime, CPU"

    def run(self, model: ir.Model, names: Sequence[str], runs: Sequence[Feeds]) -> list[Outputs]:
        """See `Side.run`."""
        expose_outputs(model, values=names)
        if self._rounded:
            simulate_fp16(model)
        polygraphy = import_polygraphy()
        session = open_in_memory(model, self.folder, fuse=False)
        with polygraphy.quiet(), polygraphy.OnnxrtRunner(session, name=self.title) as runner:
            return [dict(runner.infer(fed(model, feeds))) for feeds in runs]


def fed(model: ir.Model, feeds: Feeds) -> dict[str, Array]:
    """The inputs of a graph, in its own types."""
    types = {v.name or "": v.dtype for v in model.graph.inputs}
    return {n: feeds[n].astype(t.numpy(), copy=False) for n, t in types.items() if t is not None}


def sizes(model: ir.Model, names: Sequence[str], runs: Sequence[Feeds], folder: Path) -> dict[str, int]:
    """How many numbers each value has in all runs together, without keeping any of them.

    Args:
        model: A graph; changed.
        names: Its values.
        runs: Inputs, one dict a run.
        folder: Where its weights lie.
    """
    graph = model.graph
    values = {v.name: v for node in graph for v in node.outputs}
    counts = []
    for name in names:
        node = ir.node("Size", [values[name]])
        node.outputs[0].name, node.outputs[0].type = f"size:{name}", ir.TensorType(ir.DataType.INT64)
        node.outputs[0].shape = ir.Shape([])
        graph.append(node)
        graph.outputs.append(node.outputs[0])
        counts.append(f"size:{name}")
    session = open_in_memory(model, folder, fuse=False)
    found = np.sum([session.run(counts, fed(model, feeds)) for feeds in runs], axis=0)
    return dict(zip(names, map(int, found), strict=True))


def batches(names: Sequence[str], numbers: dict[str, int], most: int) -> Iterator[list[str]]:
    """Cuts values into groups of at most so many numbers, in order; one that is larger stands alone."""
    group: list[str] = []
    total = 0
    for name in names:
        if group and total + numbers[name] > most:
            yield group
            group, total = [], 0
        group.append(name)
        total += numbers[name]
    if group:
        yield group
