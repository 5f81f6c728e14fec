"""The copy of a graph that TensorRT gets: fixed cache sizes, and attention written out where no fused kernel exists.

A step for a batch of rows is an engine of its own, whose number of rows varies.

TensorRT wants the length of a cache that it updates in place to be fixed, so there is one decode step a length. The
weights of a step are most of its engine, so the prefill, which runs once a sentence, is not made once a length.

Whoever changes a copy counts up `sovits_runtime.bundle.engine_store.FORM`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx
import onnx_ir as ir

from sovits_engines.passes import Pass, apply
from sovits_engines.passes.attention import decompose_attention
from sovits_engines.passes.cacheless_prefill import cacheless_prefill
from sovits_engines.passes.fixed_sizes import fix_sizes
from sovits_engines.passes.self_feeding_step import self_feeding_step
from sovits_engines.passes.turing import without_fp32_products
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.engine_store import ROWS
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.bundle.names import PREFILL, STEP
from sovits_runtime.errors import BundleError
from sovits_runtime.t2s.device_step import (
    CACHE_DIM,
    CACHE_LENGTHS,
    batch_step_spec,
    device_step_spec,
    rows_spec,
    step_sizes,
)


@dataclass(frozen=True)
class TrtGraph:
    """One engine to build.

    Attributes:
        name: The engine's name, `gpt_step-512`, `gpt_step-rows-512` or the graph's name.
        graph: The bundle's graph.
        cache_size: Positions in the caches it updates; 0 when it updates none.
        path: The bundle's `.onnx` file, beside which its weights lie.
        source: Inputs and outputs of the bundle's graph.
        spec: Inputs and outputs of the copy.
        rows: Whether it is the step for a batch of rows.
    """

    name: str
    graph: str
    cache_size: int
    path: Path
    source: GraphSpec
    spec: GraphSpec
    rows: bool = False

    def model(self, *, decompose_all: bool = False, convolve: bool = False) -> onnx.ModelProto:
        """Reads the graph and makes the copy; the weights stay in their file.

        Args:
            decompose_all: Write out every attention, not only those that are known to lack a fused kernel.
            convolve: Write FP32 products by constants as convolutions.
        """
        model = ir.load(self.path)
        apply(model, self.passes(decompose_all=decompose_all, convolve=convolve))
        return ir.to_proto(model)

    def passes(self, *, decompose_all: bool = False, convolve: bool = False) -> tuple[Pass, ...]:
        """The passes that make the copy, in order; see `model`."""
        sizes = {CACHE_DIM: self.cache_size} if self.rows else step_sizes(self.cache_size)
        own: dict[str, tuple[Pass, ...]] = {
            PREFILL: (partial(cacheless_prefill, spec=self.source),),
            STEP: (
                partial(self_feeding_step, spec=self.source, rows=self.rows),
                partial(fix_sizes, sizes=sizes),
            ),
        }
        for_turing = (partial(without_fp32_products, folder=self.path.parent),) if convolve else ()
        return (*own.get(self.graph, ()), partial(decompose_attention, every=decompose_all), *for_turing)


def trt_graphs(
    bundle: Bundle,
    names: tuple[str, ...] = (),
    *,
    cache_sizes: tuple[int, ...] = CACHE_LENGTHS,
    rows: bool = False,
) -> list[TrtGraph]:
    """Lists the engines of a bundle.

    Args:
        names: Graphs to take; none: all.
        cache_sizes: One decode step for each.
        rows: Also one for each that steps a batch of rows.

    Raises:
        BundleError: The bundle has no graph of a name, or is for CPUs.
    """
    if bundle.cpu_only:
        raise BundleError(
            f"{bundle.path}: is {bundle.precision} for ONNX Runtime's CPU; engines are built from the FP32 bundle "
            "it was made of, or from that in FP16 ('sovits-export convert --fp16')"
        )
    unknown = set(names) - set(bundle.graph_names)
    if unknown:
        raise BundleError(
            f"{bundle.path}: no graph {', '.join(sorted(unknown))}; it has {', '.join(bundle.graph_names)}"
        )
    engines = []
    for graph in names or bundle.graph_names:
        spec, path = bundle.graph_spec(graph), bundle.graph_path(graph)
        if graph == PREFILL:
            engines.append(TrtGraph(graph, graph, 0, path, spec, rows_spec(spec)))
        elif graph == STEP:
            lengths = sorted(set(cache_sizes))
            engines += [
                TrtGraph(f"{graph}-{n}", graph, n, path, spec, device_step_spec(spec, n)) for n in lengths
            ]
            if rows:
                engines += [
                    TrtGraph(f"{graph}{ROWS}-{n}", graph, n, path, spec, batch_step_spec(spec, n), rows=True)
                    for n in lengths
                ]
        else:
            engines.append(TrtGraph(graph, graph, 0, path, spec, spec))
    return engines
