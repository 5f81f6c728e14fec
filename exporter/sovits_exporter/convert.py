"""An FP32 bundle in, a mixed-precision bundle out. Needs onnx and ONNX Runtime, no torch."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from sovits_calibration.islands import Island, choose
from sovits_exporter import precision
from sovits_exporter.bundle_files import file_records, is_complete, write_json
from sovits_exporter.model_files import write_models
from sovits_exporter.staging import check_output, publish, staging
from sovits_runtime.bundle import MANIFEST, Bundle, manifest_digest
from sovits_runtime.errors import BundleError, VerificationError
from sovits_runtime.graph import GraphSpec, TensorSpec
from sovits_runtime.verify import VerifyReport, verify_bundle
from sovits_runtime.verify_precision import FP16_TOLERANCES

Progress = Callable[[str, int, int], None]
FOLDER_SUFFIX = "-fp16"


@dataclass(frozen=True)
class ConvertRequest:
    """What to convert.

    Attributes:
        source: An FP32 bundle.
        output: The new bundle's folder; an older bundle there is replaced when the new one is complete.
        shared: Where parts that voices share are kept; by default `shared` beside the new bundle.
        verify: Whether to run the whole verification before the bundle takes its place.
    """

    source: Bundle
    output: Path
    shared: Path | None = None
    verify: bool = True


@dataclass(frozen=True)
class ConvertReport:
    """What was converted.

    Attributes:
        path: The bundle's folder.
        islands: By graph, the nodes that stayed FP32.
        verification: Of the whole, if it ran.
        seconds: How long it took.
    """

    path: Path
    islands: Mapping[str, tuple[Island, ...]]
    verification: VerifyReport | None
    seconds: float


def convert(request: ConvertRequest, progress: Progress = lambda *_: None) -> ConvertReport:
    """Converts a bundle to mixed precision. A kill at any moment leaves the old bundle, or none.

    Raises:
        BundleError: The source is not FP32, or the output exists and is not a bundle.
        VerificationError: The result differs from the recorded values by more than FP16 may; nothing is written.
    """
    start = time.perf_counter()
    check_output(request.output)
    if request.source.precision != "fp32":
        raise BundleError(
            f"{request.source.path}: is {request.source.precision} already; convert the FP32 bundle that it was made of"
        )
    with staging(request.output) as folder:
        converter = _Converter(
            request.source, folder, request.shared or request.output.parent / "shared", progress
        )
        converter.own_graphs()
        converter.shared_parts()
        shutil.copytree(request.source.path / "golden", folder / "golden")
        converter.write_manifest()
        verification = None
        if request.verify:
            progress("verify", converter.done, converter.total)
            verified = verify_bundle(Bundle.open(folder, shared=converter.shared_folder))
            verification = dataclasses.replace(verified, bundle=str(request.output))
            verification.save(folder / "verification.json")
            if not verification.passed:
                raise VerificationError(
                    f"the FP16 bundle failed verification: {verification.failure()}; nothing was written"
                )
        progress("done", converter.total, converter.total)
        publish(folder, request.output)
    islands = {name: tuple(found) for name, found in converter.islands.items()}
    return ConvertReport(request.output, islands, verification, time.perf_counter() - start)


class _Converter:
    """Converts the graphs of one bundle, set by set, and keeps what the manifest needs."""

    def __init__(self, source: Bundle, folder: Path, shared_folder: Path, progress: Progress) -> None:
        self.source = source
        self.folder = folder
        self.shared_folder = shared_folder
        self.progress = progress
        self.graphs: dict[str, Any] = json.loads(json.dumps(source.manifest["graphs"]))
        self.shared: dict[str, Any] = {}
        self.islands: dict[str, list[Island]] = {}
        self.done, self.total = 0, len(self.graphs) + 1

    def own_graphs(self) -> None:
        folder = self.folder / "graphs"
        folder.mkdir()
        for weights, names in self._sets().items():
            self._convert(names, folder, Path(weights).stem)

    def _sets(self) -> dict[str, list[str]]:
        sets: dict[str, list[str]] = {}
        for name, graph in self.graphs.items():
            if graph["shared"] is None:
                sets.setdefault(graph["weights"], []).append(name)
        return sets

    def shared_parts(self) -> None:
        """Converts the parts that voices share into the shared folder, or finds them there."""
        for kind, part in self.source.manifest["shared"].items():
            name = part["folder"] + FOLDER_SUFFIX
            target = self.shared_folder / name
            (graph,) = (g for g, record in self.graphs.items() if record["shared"] == kind)
            if not is_complete(target):
                assert self.source.shared is not None
                with staging(target) as folder:
                    self._copy_others(self.source.shared / part["folder"], folder)
                    self._convert([graph], folder, Path(self.graphs[graph]["weights"]).stem)
                    islands = [dataclasses.asdict(i) for i in self.islands[graph]]
                    write_json(folder / MANIFEST, {"files": file_records(folder), "islands": islands})
                    publish(folder, target)
            record = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
            self.islands[graph] = [Island(**i) for i in record["islands"]]
            self.graphs[graph]["precision"] = "fp16"
            self.shared[kind] = {**part, "folder": name, "files": record["files"]}

    def _copy_others(self, source: Path, folder: Path) -> None:
        for path in source.iterdir():
            if path.name != MANIFEST and path.suffix not in (".onnx", ".weights"):
                shutil.copy2(path, folder / path.name)

    def _convert(self, names: Sequence[str], folder: Path, weights: str) -> None:
        models = [ir.load(self.source.graph_path(name)) for name in names]
        chosen = choose(models)
        for name, model, islands in zip(names, models, chosen, strict=True):
            self.progress(f"convert {name}", self.done, self.total)
            spec = half_caches(self.source.graph_spec(name))
            halves = {t.name for t in (*spec.inputs, *spec.outputs) if t.dtype == "float16"}
            ops = {n.outputs[0].name: n.op_type for n in model.graph}
            kept = precision.convert(model, islands.keys(), halves)
            self.islands[name] = [
                islands.get(node) or Island(node, ops[node], "between") for node in sorted(kept)
            ]
            self.graphs[name] |= {"precision": "fp16", "spec": spec.to_json()}
            self.done += 1
        for path in write_models(models, folder, weights):
            if path.suffix == ".onnx":
                onnx.checker.check_model(str(path))

    def write_manifest(self) -> None:
        manifest = {
            **self.source.manifest,
            "graphs": self.graphs,
            "shared": self.shared,
            "precision": {
                "from": self.source.digest,
                "islands": {
                    name: [dataclasses.asdict(i) for i in found] for name, found in self.islands.items()
                },
            },
            "tolerances": FP16_TOLERANCES,
            "files": file_records(self.folder),
        }
        manifest["digest"] = manifest_digest(manifest)
        write_json(self.folder / MANIFEST, manifest)


def half_caches(spec: GraphSpec) -> GraphSpec:
    """The spec with its key-value caches (what the graph updates in place) in FP16; other inputs and outputs stay."""
    caches = {name for pair in spec.aliases for name in pair}

    def half(tensors: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        return tuple(dataclasses.replace(t, dtype="float16") if t.name in caches else t for t in tensors)

    return dataclasses.replace(spec, inputs=half(spec.inputs), outputs=half(spec.outputs))
