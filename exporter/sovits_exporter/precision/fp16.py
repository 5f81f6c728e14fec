"""An FP32 bundle in, a mixed-precision bundle out. Needs onnx and ONNX Runtime, no torch."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sovits_calibration.fp32_nodes import Fp32Node
from sovits_calibration.observe import Feeds, observe
from sovits_engines.passes.fp16_simulation import simulate_fp16
from sovits_engines.passes.model_file import load_model
from sovits_exporter.building.golden_steps import record_steps
from sovits_exporter.building.manifest import GraphRecord, is_complete, read_part
from sovits_exporter.building.report import BuildReport
from sovits_exporter.building.request import ConversionRequest
from sovits_exporter.building.steps import Steps
from sovits_exporter.building.writer import GRAPHS, BundleWriter, check_output, write_bundle
from sovits_exporter.graphs.device_step import DEVICE_GRAPHS, write_device_graph, write_rows_graph
from sovits_exporter.graphs.files import write_models
from sovits_exporter.precision.fp16_graphs import Fp16Graph, Fp32Graph, fp32_nodes_of, to_fp16
from sovits_exporter.precision.keep import Kept
from sovits_runtime.bundle import MANIFEST, Bundle
from sovits_runtime.bundle.files import content_digest, temporary_folder
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.bundle.names import FP16, FP32, STEP
from sovits_runtime.errors import BundleError
from sovits_runtime.machine.progress import Progress, no_progress
from sovits_runtime.speech.reference import Recording
from sovits_runtime.verify import verify_bundle
from sovits_runtime.verify.check import VerifyReport
from sovits_runtime.verify.mixed import FP16_TOLERANCES

FOLDER_SUFFIX = "-fp16"
PART_FIELDS = ("spec", "check", "islands")
"""What the manifest of a converted shared part holds beside its files; see `_described`."""


def convert_to_fp16(
    request: ConversionRequest,
    *,
    like: Bundle | None = None,
    keep: Kept | None = None,
    progress: Progress = no_progress,
) -> BuildReport:
    """Converts a bundle to mixed precision. A kill at any moment leaves the old bundle, or none.

    Args:
        request: What to convert.
        like: An FP16 bundle of the same architecture: the same parts stay FP32, so that the graphs differ in their
            weights alone and one refittable engine serves both.
        keep: By graph, what stays FP32 beside what calibration chooses; see `precision.keep`. Not with `like`.
        progress: Called as the work goes on.

    Raises:
        BundleError: The source is not FP32, the output exists and is not a bundle, or the voice needs more in FP32
            than the one that it shall be like.
        AudioError: A recording cannot be read or has the wrong length.
        VerificationError: The result differs from FP32 by more than FP16 may; nothing is written.
    """
    source = request.source
    check_output(request, *([like.path] if like else []))
    if source.precision != FP32:
        raise BundleError(
            f"{source.path}: is {source.precision} already; convert the FP32 bundle that it was made of"
        )
    kept = None if like is None else _kept_by(like, source)
    steps = Steps(progress, len(source.graph_names) + 1)
    recordings = [Recording(p.name, p.read_bytes()) for p in request.recordings]
    conversion = _Conversion(source, observe(source, recordings, progress=progress), kept, keep or {}, steps)
    with write_bundle(request.output, request.shared_folder, steps) as writer:
        fp32_nodes = _add_own_graphs(writer, conversion)
        fp32_nodes |= _add_shared_parts(
            writer, conversion, judge_again=like is None and bool(recordings or keep)
        )
        writer.copy_rest(source)
        writer.copy_golden(source)
        writer.add_golden("steps", record_steps(source))
        precision = {
            "from": source.digest,
            "recordings": [p.name for p in request.recordings],
            "islands": fp32_nodes,
        }
        return writer.finish(
            {**source.manifest, "precision": precision, "tolerances": FP16_TOLERANCES},
            partial(_verify_rounded, output=request.output) if request.verify else None,
            called="the FP16 bundle",
        )


@dataclass(frozen=True)
class _Conversion:
    """What the conversion of every graph depends on.

    Attributes:
        source: The FP32 bundle.
        runs: By graph, inputs it was fed over the corpus.
        kept: By graph, what stays in FP32; None: what calibration chooses.
        keep: By graph, what stays in FP32 beside that.
    """

    source: Bundle
    runs: Mapping[str, Sequence[Feeds]]
    kept: Kept | None
    keep: Kept
    steps: Steps

    def graph(self, name: str) -> Fp32Graph:
        """A graph to convert."""
        return Fp32Graph(self.source.graph_path(name), self.source.graph_spec(name), self.runs[name])

    def convert(self, names: Sequence[str], folder: Path) -> list[Fp16Graph]:
        """Converts graphs that share a weight file, and writes them into a folder."""
        self.steps.begin(f"convert {', '.join(names)}", len(names))
        weights = Path(self.source.manifest["graphs"][names[0]]["weights"]).stem
        return to_fp16([self.graph(n) for n in names], folder, weights, like=self.kept, keep=self.keep)


def _kept_by(like: Bundle, source: Bundle) -> dict[str, list[Fp32Node]]:
    if like.precision != FP16:
        raise BundleError(f"{like.path}: is {like.precision}; --like names an FP16 bundle")
    if set(like.graph_names) != set(source.graph_names):
        raise BundleError(
            f"{like.path}: has other graphs than {source.path} ({', '.join(like.graph_names)}); --like names a voice "
            "of the same version, built with the same parts"
        )
    nodes = like.manifest["precision"]["islands"]
    return {name: [Fp32Node(**node) for node in nodes[name]] for name in like.graph_names}


def _add_own_graphs(writer: BundleWriter, conversion: _Conversion) -> dict[str, Any]:
    """Converts the graphs of the voice itself; returns what stays in FP32, by graph."""
    fp32_nodes = {}
    for names in _sets_of(conversion.source):
        for name, graph in zip(names, conversion.convert(names, writer.graphs_folder), strict=True):
            path, device, many = writer.graphs_folder / f"{name}.onnx", None, None
            if name in DEVICE_GRAPHS:
                device = write_device_graph(path, graph.spec)
            if name == STEP:
                many = write_rows_graph(path, graph.spec)
            described = _described(graph)
            fp32_nodes[name] = described["islands"]
            record = _record(conversion.source, name, described)
            writer.add_graph(
                dataclasses.replace(
                    record,
                    device_file=f"{GRAPHS}/{device.name}" if device else None,
                    rows_file=f"{GRAPHS}/{many.name}" if many else None,
                )
            )
    return fp32_nodes


def _sets_of(source: Bundle) -> Iterator[list[str]]:
    """Names of the voice's own graphs, those that share a weight file together."""
    sets: dict[str, list[str]] = {}
    for name, graph in source.manifest["graphs"].items():
        if graph["shared"] is None:
            sets.setdefault(graph["weights"], []).append(name)
    yield from sets.values()


def _add_shared_parts(writer: BundleWriter, conversion: _Conversion, *, judge_again: bool) -> dict[str, Any]:
    """Converts the parts that voices share into the shared folder, or finds them there.

    Args:
        writer: Of the new bundle.
        conversion: What to convert.
        judge_again: A part that is there was decided by another voice's runs. Where this voice's want more of it in
            FP32, it gets a part of its own, which later voices find that want the same.

    Returns:
        What stays in FP32, by graph.
    """
    fp32_nodes = {}
    is_usable = partial(is_complete, named=PART_FIELDS)
    source = conversion.source
    for kind, part in source.manifest["shared"].items():
        (graph,) = (n for n, record in source.manifest["graphs"].items() if record["shared"] == kind)
        name = part["folder"] + FOLDER_SUFFIX
        if judge_again and is_usable(writer.shared_folder / name):
            more = {node.node for node in conversion.keep.get(graph, ())}
            name += _variant(conversion.graph(graph), writer.shared_folder / name, more)
        manifest = writer.add_shared(
            kind,
            name,
            partial(_write_part, conversion, graph, part["folder"]),
            source_sha256=part["source_sha256"],
            is_usable=is_usable,
        )
        fp32_nodes[graph] = manifest["islands"]
        writer.add_graph(_record(source, graph, manifest))
    return fp32_nodes


def _write_part(conversion: _Conversion, graph: str, source: str, folder: Path) -> dict[str, Any]:
    """Converts a shared part; files that are no graphs, such as BERT's tokenizer, are copied."""
    assert conversion.source.shared is not None
    for path in (conversion.source.shared / source).iterdir():
        if path.name != MANIFEST and path.suffix not in (".onnx", ".weights"):
            shutil.copy2(path, folder / path.name)
    (converted,) = conversion.convert([graph], folder)
    return _described(converted)


def _variant(graph: Fp32Graph, part: Path, more: Set[str]) -> str:
    """Suffix for a part that keeps more in FP32 than the one that is there; empty where that one keeps it all."""
    own = fp32_nodes_of(graph).keys() | more
    existing = {node["node"] for node in read_part(part)["islands"]}
    return f"-{content_digest({'islands': sorted(own)})[:8]}" if own - existing else ""


def _described(graph: Fp16Graph) -> dict[str, Any]:
    """What manifests say of a converted graph."""
    measured = dataclasses.asdict(graph.distance) if graph.distance.runs else {"runs": 0}
    check = {**measured, "limit": FP16_TOLERANCES["graph_cosine"]}
    nodes = [dataclasses.asdict(node) for node in graph.fp32_nodes]
    return {"spec": graph.spec.to_json(), "check": check, "islands": nodes}


def _record(source: Bundle, name: str, described: Mapping[str, Any]) -> GraphRecord:
    """The record of a converted graph; the variant of ONNX Runtime's CPU provider has no FP16 kernels."""
    return dataclasses.replace(
        GraphRecord.from_json(source.manifest["graphs"][name]),
        precision=FP16,
        spec=GraphSpec.from_json(described["spec"]),
        check=described["check"],
        cpu_file=None,
        device_file=None,
        rows_file=None,
    )


def _verify_rounded(bundle: Bundle, *, output: Path) -> VerifyReport:
    """Verifies the bundle as it computes where every FP16 result is rounded, which CPUs do not do by themselves."""
    with temporary_folder(output.with_name(f"{output.name}-rounded")) as folder:
        report = verify_bundle(_rounded_bundle(bundle, folder))
    return dataclasses.replace(report, provider="CPU, every FP16 result rounded")


def _rounded_bundle(bundle: Bundle, folder: Path) -> Bundle:
    """The bundle with graphs that compute in FP32 and round where the original says FP16; for checking only."""
    for name in bundle.graph_names:
        path = bundle.graph_path(name)
        base, root = (
            (bundle.path, folder)
            if path.is_relative_to(bundle.path / GRAPHS)
            else (bundle.shared, folder / "shared")
        )
        assert base is not None
        target = root / path.parent.relative_to(base)
        target.mkdir(parents=True, exist_ok=True)
        model = load_model(path)
        simulate_fp16(model)
        write_models([model], target, name)
    shutil.copytree(bundle.path / "golden", folder / "golden")
    return Bundle(folder, bundle.manifest, folder / "shared")
