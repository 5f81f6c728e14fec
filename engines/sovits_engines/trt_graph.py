"""The copy of a graph that TensorRT gets: fixed cache sizes, and attention written out where no fused kernel exists.

TensorRT wants the length of a cache that it updates in place to be fixed, so there is one decode step a length, in the
form that feeds itself on the device. The
weights of a step are most of its engine, so the prefill, which runs once a sentence, is not made once a length: its
copy has no cache at all. It gives the rows of keys and values, and the runtime copies them to the head of whatever
cache the step uses. One prefill engine of any length then serves all of them, at a few microseconds a layer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from onnx import helper

from sovits_engines.attention import decompose_attention
from sovits_engines.step_graph import device_step
from sovits_engines.turing import without_fp32_products
from sovits_runtime.bundle import Bundle
from sovits_runtime.errors import BundleError
from sovits_runtime.gpu.step_spec import device_step_spec
from sovits_runtime.graph import GraphSpec

FORM = 4
"""Of the copies. Part of every engine's key: count it up when a copy changes."""
CACHE_SIZES = (512, 1024, 2048)
PREFILL, STEP = "gpt_prefill", "gpt_step"
CACHE_DIM, ROWS_DIM = "cache_size", "rows"


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
            _hand_out_rows(model, self.spec)
        elif self.graph == STEP:
            model, _ = device_step(model, self.source, cache_length=self.cache_size)
        decompose_attention(model, every=decompose_all)
        if convolve:
            without_fp32_products(model, self.path.parent)
        return model


def trt_graphs(
    bundle: Bundle, names: tuple[str, ...] = (), *, cache_sizes: tuple[int, ...] = CACHE_SIZES
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


def rows_spec(spec: GraphSpec) -> GraphSpec:
    """Returns the spec of a prefill that hands out rows of keys and values in place of caches."""
    given, handed = ({pair[i] for pair in spec.aliases} for i in (0, 1))
    return replace(
        spec,
        inputs=tuple(t for t in spec.inputs if t.name not in given),
        outputs=tuple(
            replace(t, shape=(*t.shape[:2], ROWS_DIM, *t.shape[3:])) if t.name in handed else t
            for t in spec.outputs
        ),
        dims=tuple(d for d in spec.dims if d.name != CACHE_DIM),
        aliases=(),
    )


def _hand_out_rows(model: onnx.ModelProto, spec: GraphSpec) -> None:
    graph = model.graph
    kept = [value for value in graph.input if value.name in spec.input_names]
    caches = {value.name for value in graph.input} - set(spec.input_names)
    for node in graph.node:
        if node.op_type == "TensorScatter" and node.input[0] in caches:
            node.CopyFrom(helper.make_node("Identity", [node.input[1]], list(node.output), name=node.name))
    if any(name in caches for node in graph.node for name in node.input):
        raise BundleError(
            f"graph {graph.name}: its caches are used for more than being filled; build the bundle again"
        )
    del graph.input[:]
    graph.input.extend(kept)
    for value in graph.output:
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, spec.tensor(value.name).shape, strict=True):
            if isinstance(size, str):
                dim.dim_param = size
