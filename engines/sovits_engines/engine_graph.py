"""The copy of a graph that TensorRT gets: fixed cache sizes, and attention written out where no fused kernel exists.

TensorRT wants the length of a cache that it updates in place to be fixed, so there is one decode step a length. The
weights of a step are most of its engine, so the prefill, which runs once a sentence, is not made once a length.

Whoever changes a copy counts up `sovits_runtime.bundle.engine_store.FORM`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from sovits_engines.passes.attention import decompose_attention
from sovits_engines.passes.self_feeding_step import device_prefill, device_step, fix_sizes
from sovits_engines.passes.turing import without_fp32_products
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.errors import BundleError
from sovits_runtime.t2s.device_step import (
    CACHE_LENGTHS,
    PREFILL,
    STEP,
    device_step_spec,
    rows_spec,
    step_sizes,
)


@dataclass(frozen=True)
class TrtGraph:
    """One engine to build.

    Attributes:
        name: The engine's name, `gpt_step-512` or the graph's name.
        graph: The bundle's graph.
        cache_size: Rows of the caches it updates; 0 when it updates none.
        path: The bundle's `.onnx` file, beside which its weights lie.
        source: What the bundle's graph takes and gives.
        spec: What the copy takes and gives.
    """

    name: str
    graph: str
    cache_size: int
    path: Path
    source: GraphSpec
    spec: GraphSpec

    def model(self, *, decompose_all: bool = False, convolve: bool = False) -> onnx.ModelProto:
        """Reads the graph and makes the copy; the weights stay in their file.

        Args:
            decompose_all: Write out every attention, not only those that are known to lack a fused kernel.
            convolve: Write FP32 products by constants as convolutions.
        """
        model = onnx.load(self.path, load_external_data=False)
        if self.graph == PREFILL:
            model = device_prefill(model, self.source)
        elif self.graph == STEP:
            model = device_step(model, self.source)
            fix_sizes(model, step_sizes(self.cache_size))
        decompose_attention(model, every=decompose_all)
        if convolve:
            without_fp32_products(model, self.path.parent)
        return model


def trt_graphs(
    bundle: Bundle, names: tuple[str, ...] = (), *, cache_sizes: tuple[int, ...] = CACHE_LENGTHS
) -> list[TrtGraph]:
    """Lists the engines of a bundle.

    Args:
        bundle: The bundle.
        names: Graphs to take; none: all.
        cache_sizes: One decode step for each.

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
    found = []
    for graph in names or bundle.graph_names:
        spec, path = bundle.graph_spec(graph), bundle.graph_path(graph)
        if graph == PREFILL:
            found.append(TrtGraph(graph, graph, 0, path, spec, rows_spec(spec)))
        elif graph == STEP:
            found += [
                TrtGraph(f"{graph}-{n}", graph, n, path, spec, device_step_spec(spec, n))
                for n in sorted(set(cache_sizes))
            ]
        else:
            found.append(TrtGraph(graph, graph, 0, path, spec, spec))
    return found
