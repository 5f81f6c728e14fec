"""Converts graphs of one weight file: choose what stays FP32, convert, compare, and choose more if need be."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from sovits_calibration.fp16_compare import GraphDistance, distance
from sovits_calibration.fp16_ranges import Margins
from sovits_calibration.fp32_nodes import Fp32Node, choose
from sovits_calibration.measure import measure
from sovits_calibration.observe import Feeds
from sovits_engines.passes.fp16 import lower_to_fp16
from sovits_engines.passes.model_file import load_model
from sovits_exporter.graphs.files import BASE_SUFFIX, INLINE_BYTES, write_models
from sovits_runtime.bundle.graph_spec import GraphSpec, TensorSpec
from sovits_runtime.errors import BundleError, VerificationError
from sovits_runtime.verify.mixed import FP16_TOLERANCES

ATTEMPTS = 3


@dataclass(frozen=True)
class Fp32Graph:
    """An FP32 graph to convert.

    Attributes:
        path: The `.onnx` file.
        spec: Its inputs and outputs.
        runs: Inputs it was fed over the corpus; none where nothing reached it.
    """

    path: Path
    spec: GraphSpec
    runs: Sequence[Feeds]


@dataclass(frozen=True)
class Fp16Graph:
    """A converted graph.

    Attributes:
        spec: Its inputs and outputs.
        fp32_nodes: What stayed FP32.
        distance: How far it is from FP32 over the corpus.
    """

    spec: GraphSpec
    fp32_nodes: tuple[Fp32Node, ...]
    distance: GraphDistance


def to_fp16(
    graphs: Sequence[Fp32Graph],
    folder: Path,
    weights: str,
    *,
    like: Mapping[str, Sequence[Fp32Node]] | None = None,
    keep: Mapping[str, Sequence[Fp32Node]] | None = None,
) -> list[Fp16Graph]:
    """Converts graphs that share a weight file and writes them.

    Args:
        folder: Where the `.onnx` files and the weight file go.
        weights: Stem of the weight file.
        like: By graph, what has to stay FP32; None: what calibration chooses.
        keep: By graph, what stays FP32 beside what calibration chooses.

    Raises:
        BundleError: Calibration wants more in FP32 than `like` keeps.
        VerificationError: A graph stays too far from FP32 however much is kept in FP32.
        BackendError: ONNX Runtime cannot run a graph.
    """
    measured = [measure(g.path, g.runs) if g.runs else None for g in graphs]
    limit = FP16_TOLERANCES["graph_cosine"]
    margins, base = Margins(), _fp16_of_base(graphs)
    for _ in range(ATTEMPTS):
        models = [load_model(g.path) for g in graphs]
        chosen = choose(models, measured, margins, asked=keep)
        if like is not None:
            chosen = [
                _same_fp32_nodes(own, like[g.spec.name], g) for g, own in zip(graphs, chosen, strict=True)
            ]
        specs = [fp16_spec(g.spec, nodes) for g, nodes in zip(graphs, chosen, strict=True)]
        fp32_nodes = [_convert(*parts) for parts in zip(models, chosen, specs, strict=True)]
        _write(models, folder, weights, base)
        converted = [
            Fp16Graph(spec, nodes, distance(g.path, folder / g.path.name, spec, g.runs))
            for g, spec, nodes in zip(graphs, specs, fp32_nodes, strict=True)
        ]
        failing = [graph for graph in converted if not graph.distance.cosine >= limit]
        if not failing:
            return converted
        if like is not None:
            break
        margins = margins.stricter()
    worst = min(failing, key=lambda graph: graph.distance.cosine)
    tried = f"after {ATTEMPTS} attempts" if like is None else "with the same parts in FP32 as the other voice"
    raise VerificationError(
        f"graph {worst.spec.name}: cosine {worst.distance.cosine:.6f} with FP32 {tried}, expected at least {limit}; "
        "these weights are not for FP16, keep the FP32 bundle"
    )


def fp32_nodes_of(graph: Fp32Graph) -> dict[str, Fp32Node]:
    """What calibration would keep in FP32 of a graph that has its weight file to itself, by node name."""
    measured = measure(graph.path, graph.runs) if graph.runs else None
    (chosen,) = choose([load_model(graph.path)], [measured], Margins())
    return chosen


def _same_fp32_nodes(
    own: Mapping[str, Fp32Node], like: Sequence[Fp32Node], graph: Fp32Graph
) -> dict[str, Fp32Node]:
    """What another voice keeps in FP32, which must be all that this one needs."""
    other = {node.node: node for node in like}
    more = [node for name, node in own.items() if name not in other]
    if more:
        raise BundleError(
            f"graph {graph.spec.name}: this voice needs {len(more)} operators in FP32 that the other has in FP16, such "
            f"as {more[0].op} {more[0].node} ({more[0].detail or more[0].reason}); convert the other one --like this "
            "one, or this one by itself"
        )
    return other


def _convert(model: ir.Model, nodes: Mapping[str, Fp32Node], spec: GraphSpec) -> tuple[Fp32Node, ...]:
    fp16_io = {t.name for t in (*spec.inputs, *spec.outputs) if t.dtype == "float16"}
    ops = {n.outputs[0].name: n.op_type for n in model.graph}
    fp32_nodes = lower_to_fp16(model, fp32_nodes=nodes.keys(), fp16_io=fp16_io).fp32_nodes
    return tuple(nodes.get(name) or Fp32Node(name, ops[name], "between") for name in sorted(fp32_nodes))


def _fp16_of_base(graphs: Sequence[Fp32Graph]) -> list[ir.TensorProtocol]:
    """What a LoRA voice has from its base, in FP16 and in the order of the base's file.

    All of it, whatever this voice keeps in FP32: so it is the same for every voice of the base, and stored once.
    """
    by_offset: dict[int, ir.TensorProtocol] = {}
    for graph in graphs:
        mapped = load_model(graph.path).graph.initializers
        for name, value in ir.load(graph.path).graph.initializers.items():
            place = value.const_value
            if isinstance(place, ir.ExternalTensor) and str(place.location).endswith(BASE_SUFFIX):
                assert place.offset is not None
                by_offset[place.offset] = _fp16(mapped[name])
    return [tensor for _, tensor in sorted(by_offset.items()) if tensor.nbytes > INLINE_BYTES]


def _fp16(value: ir.Value) -> ir.TensorProtocol:
    assert value.const_value is not None
    with np.errstate(over="ignore"):
        return ir.Tensor(value.const_value.numpy().astype(np.float16), name=value.name)


def _write(models: Sequence[ir.Model], folder: Path, weights: str, base: Sequence[ir.TensorProtocol]) -> None:
    for path in write_models(models, folder, weights, base_tensors=base):
        if path.suffix == ".onnx":
            onnx.checker.check_model(str(path))


def fp16_spec(spec: GraphSpec, fp32_nodes: Collection[str]) -> GraphSpec:
    """The spec with its caches (what the graph updates in place) in FP16, but for those that a node in FP32 writes."""
    caches = {name for read, written in spec.aliases if written not in fp32_nodes for name in (read, written)}

    def retyped(tensors: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        return tuple(dataclasses.replace(t, dtype="float16") if t.name in caches else t for t in tensors)

    return dataclasses.replace(spec, inputs=retyped(spec.inputs), outputs=retyped(spec.outputs))
