"""One graph under suspicion: its FP32 original, what stays FP32 of it in FP16, and what it is fed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx_ir as ir

from sovits_calibration.observe import Feeds
from sovits_calibration.recorded import recorded_feeds
from sovits_engines.passes.fp16 import lower_to_fp16
from sovits_engines.passes.model_file import load_model
from sovits_exporter.precision.fp16_graphs import Fp32Graph, fp16_spec, fp32_nodes_of
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import FP16, FP32
from sovits_runtime.errors import BundleError


@dataclass(frozen=True)
class Case:
    """A graph and what it is fed.

    Attributes:
        bundle: The bundle under suspicion: FP16, or FP32 where nothing was converted yet.
        source: The FP32 bundle that it was made of, or itself.
        name: The graph.
        runs: FP32 inputs, one dict a run.
    """

    bundle: Bundle
    source: Bundle
    name: str
    runs: Sequence[Feeds]

    @property
    def fp32_path(self) -> Path:
        """The FP32 graph."""
        return self.source.graph_path(self.name)

    def original(self) -> ir.Model:
        """The FP32 graph, its weights in their file."""
        return ir.load(self.fp32_path)

    def tested(self) -> ir.Model:
        """The graph under suspicion: that of the bundle, or as `convert` would make it of an FP32 bundle."""
        if self.bundle.precision == FP16:
            return load_model(self.bundle.graph_path(self.name))
        return self.converted(())

    @cached_property
    def fp32_nodes(self) -> frozenset[str]:
        """Nodes that stay FP32 now, each by its first output."""
        if self.bundle.precision == FP16:
            return frozenset(n["node"] for n in self.bundle.manifest["precision"]["islands"][self.name])
        graph = Fp32Graph(self.fp32_path, self.source.graph_spec(self.name), self.runs)
        return frozenset(fp32_nodes_of(graph))

    def converted(self, more: Collection[str]) -> ir.Model:
        """The FP32 graph in FP16, where more nodes stay FP32 than now."""
        model, kept = load_model(self.fp32_path), self.fp32_nodes.union(more)
        spec = fp16_spec(self.source.graph_spec(self.name), kept)
        fp16_io = {t.name for t in (*spec.inputs, *spec.outputs) if t.dtype == "float16"}
        lower_to_fp16(model, fp32_nodes=kept, fp16_io=fp16_io)
        return model


def cases(bundle: Bundle, source: Bundle, graphs: Sequence[str]) -> list[Case]:
    """One case a graph.

    Args:
        bundle: The bundle under suspicion.
        source: The FP32 bundle that it was made of; itself, if it is FP32.
        graphs: Which graphs; none: all.

    Raises:
        BundleError: A graph does not exist, or the two bundles do not go together.
    """
    unknown = sorted(set(graphs) - set(bundle.graph_names))
    if unknown:
        raise BundleError(
            f"{bundle.path}: no graph {', '.join(unknown)}; it has {', '.join(bundle.graph_names)}"
        )
    if set(bundle.graph_names) != set(source.graph_names):
        raise BundleError(f"{source.path}: has other graphs than {bundle.path}, which was not made of it")
    names = list(graphs or bundle.graph_names)
    feeds = recorded_feeds(source, names)
    return [Case(bundle, source, name, feeds[name]) for name in names]


def fp32_source(bundle: Bundle, given: Bundle | None) -> Bundle:
    """The FP32 bundle that a bundle was made of: itself, the one given, or one beside it, known by its digest.

    Raises:
        BundleError: There is none, or the one given is not FP32.
    """
    if given is not None and given.precision != FP32:
        raise BundleError(f"{given.path}: is {given.precision}; --fp32 names the FP32 bundle")
    if given is not None or bundle.precision == FP32:
        return given or bundle
    if bundle.precision != FP16:
        raise BundleError(f"{bundle.path}: is {bundle.precision}; engine debug takes FP16 and FP32 bundles")
    wanted = bundle.manifest["precision"]["from"]
    for path in sorted(bundle.path.resolve().parent.glob("*/manifest.json")):
        try:
            beside = Bundle.open(path.parent, shared=bundle.shared)
        except BundleError:
            continue
        if beside.digest == wanted:
            return beside
    raise BundleError(
        f"{bundle.path}: the FP32 bundle that it was made of ({wanted[:12]}) is not beside it; name it with --fp32"
    )
