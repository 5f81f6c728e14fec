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

import numpy as np

from sovits_calibration.fp32_nodes import Island
from sovits_calibration.observe import Feeds, observe
from sovits_engines.passes.fp16_simulation import simulate
from sovits_engines.passes.model_file import load_model
from sovits_exporter.building.golden_steps import record_steps
from sovits_exporter.building.lora_base import share_weights
from sovits_exporter.building.manifest import file_records, is_complete, keep_verification, write_json
from sovits_exporter.building.staging import check_output, publish, staging
from sovits_exporter.graphs.device_step import DEVICE_GRAPHS, write_device_graph
from sovits_exporter.graphs.files import BASE_SUFFIX, write_models
from sovits_exporter.precision.fp16_graphs import FullGraph, HalfGraph, halve, wanted_islands
from sovits_runtime.bundle import CPU_FILE, DEVICE_FILE, MANIFEST, Bundle, content_digest, manifest_digest
from sovits_runtime.errors import BundleError
from sovits_runtime.speech.reference import Recording
from sovits_runtime.verify import VerifyReport, verify_bundle
from sovits_runtime.verify.mixed import FP16_TOLERANCES

Progress = Callable[[str, int, int], None]
FOLDER_SUFFIX = "-fp16"
HALF_FIELDS = ("spec", "check", "islands")
"""What the manifest of a converted part holds beside its files; see `_record`."""


@dataclass(frozen=True)
class ConvertRequest:
    """What to convert.

    Attributes:
        source: An FP32 bundle.
        output: The new bundle's folder; an older bundle there is replaced when the new one is complete.
        shared: Where parts that voices share are kept; by default `shared` beside the new bundle.
        recordings: Audio files of 3 to 10 s that calibration reads beside the built-in one.
        verify: Whether to run the whole verification before the bundle takes its place.
        like: An FP16 bundle of the same architecture: the same parts stay FP32, so that the graphs differ in their
            weights alone and one refittable engine serves both.
    """

    source: Bundle
    output: Path
    shared: Path | None = None
    recordings: tuple[Path, ...] = ()
    verify: bool = True
    like: Bundle | None = None


@dataclass(frozen=True)
class ConvertReport:
    """What was converted.

    Attributes:
        path: The bundle's folder.
        cosines: By graph, the smallest cosine with FP32 over the corpus; None where calibration did not reach it.
        islands: By graph, the nodes that stayed FP32.
        verification: Of the whole with every FP16 result rounded, if it ran.
        seconds: How long it took.
    """

    path: Path
    cosines: Mapping[str, float | None]
    islands: Mapping[str, tuple[Island, ...]]
    verification: VerifyReport | None
    seconds: float


def convert(request: ConvertRequest, progress: Progress = lambda *_: None) -> ConvertReport:
    """Converts a bundle to mixed precision. A kill at any moment leaves the old bundle, or none.

    Raises:
        BundleError: The source is not FP32, the output exists and is not a bundle, or the voice needs more in FP32
            than the one that it shall be like.
        AudioError: A recording cannot be read or has the wrong length.
        VerificationError: The result differs from FP32 by more than FP16 may; nothing is written.
    """
    start = time.perf_counter()
    source = request.source
    check_output(request.output)
    if source.precision != "fp32":
        raise BundleError(
            f"{source.path}: is {source.precision} already; convert the FP32 bundle that it was made of"
        )
    like = None if request.like is None else _islands_of(request.like, source)
    recordings = [Recording(p.name, p.read_bytes()) for p in request.recordings]
    runs = observe(source, recordings, progress=progress)
    with staging(request.output) as folder:
        shared = request.shared or request.output.parent / "shared"
        names = [p.name for p in request.recordings]
        converter = _Converter(source, folder, shared, runs, progress, like, names)
        converter.own_graphs()
        converter.shared_parts()
        shutil.copytree(source.path / "golden", folder / "golden")
        np.savez(folder / "golden" / "steps.npz", allow_pickle=False, **record_steps(source))
        converter.write_manifest()
        verification = _verify(request, folder, shared) if request.verify else None
        publish(folder, request.output)
    islands = {name: tuple(Island(**i) for i in found) for name, found in converter.islands.items()}
    cosines = {name: graph["check"].get("cosine") for name, graph in converter.graphs.items()}
    return ConvertReport(request.output, cosines, islands, verification, time.perf_counter() - start)


def _islands_of(like: Bundle, source: Bundle) -> dict[str, list[Island]]:
    if like.precision != "fp16":
        raise BundleError(f"{like.path}: is {like.precision}; --like names an FP16 bundle")
    if set(like.graph_names) != set(source.graph_names):
        raise BundleError(
            f"{like.path}: has other graphs than {source.path} ({', '.join(like.graph_names)}); --like names a voice "
            "of the same version, built with the same parts"
        )
    islands = like.manifest["precision"]["islands"]
    return {name: [Island(**i) for i in islands[name]] for name in like.graph_names}


def _verify(request: ConvertRequest, folder: Path, shared: Path) -> VerifyReport:
    bundle = Bundle.open(folder, shared=shared)
    with staging(request.output.with_name(f"{request.output.name}-rounded")) as rounded:
        report = dataclasses.replace(
            verify_bundle(_rounded_bundle(bundle, rounded)),
            bundle=str(request.output),
            provider="CPU, every FP16 result rounded",
        )
    keep_verification(report, folder, what="the FP16 bundle")
    return report


def _rounded_bundle(bundle: Bundle, folder: Path) -> Bundle:
    """The bundle with graphs that compute in FP32 and round where the original says FP16; for checking only."""
    for name in bundle.graph_names:
        path = bundle.graph_path(name)
        base, root = (
            (bundle.path, folder)
            if path.is_relative_to(bundle.path / "graphs")
            else (bundle.shared, folder / "shared")
        )
        assert base is not None
        target = root / path.parent.relative_to(base)
        target.mkdir(parents=True, exist_ok=True)
        model = load_model(path)
        simulate(model)
        write_models([model], target, name)
    shutil.copytree(bundle.path / "golden", folder / "golden")
    return Bundle(folder, bundle.manifest, folder / "shared")


class _Converter:
    """Converts the graphs of one bundle, set by set, and keeps what the manifest needs."""

    def __init__(
        self,
        source: Bundle,
        folder: Path,
        shared_folder: Path,
        runs: Mapping[str, Sequence[Feeds]],
        progress: Progress,
        like: Mapping[str, Sequence[Island]] | None,
        recordings: Sequence[str],
    ) -> None:
        self.source = source
        self.folder = folder
        self.shared_folder = shared_folder
        self.runs = runs
        self.progress = progress
        self.like = like
        self.recordings = recordings
        self.graphs: dict[str, Any] = json.loads(json.dumps(source.manifest["graphs"]))
        self.shared: dict[str, Any] = {}
        self.islands: dict[str, list[dict[str, str]]] = {}
        self.done, self.total = 0, len(self.graphs) + 1

    def own_graphs(self) -> None:
        folder = self.folder / "graphs"
        folder.mkdir()
        sets: dict[str, list[str]] = {}
        for name, graph in self.graphs.items():
            if graph["shared"] is None:
                sets.setdefault(Path(graph["weights"]).stem, []).append(name)
        for weights, names in sets.items():
            for name, half in zip(names, self._halve(names, folder, weights), strict=True):
                self._note(name, _record(half))
                if name in DEVICE_GRAPHS:
                    written = write_device_graph(folder / f"{name}.onnx", half.spec)
                    self.graphs[name][DEVICE_FILE] = f"graphs/{written.name}"
            common = folder / f"{weights}{BASE_SUFFIX}"
            if common.exists():
                share_weights(common, self.shared_folder)
                for name in names:
                    self.graphs[name]["base_weights"] = f"graphs/{common.name}"

    def shared_parts(self) -> None:
        """Converts the parts that voices share into the shared folder, or finds them there.

        What is found was decided by another voice's runs. Where those of given recordings want more of it in FP32, this
        voice gets a part of its own, which later voices find that want the same.
        """
        for kind, part in self.source.manifest["shared"].items():
            (graph,) = (g for g, record in self.graphs.items() if record["shared"] == kind)
            name = part["folder"] + FOLDER_SUFFIX
            if (
                self.recordings
                and self.like is None
                and is_complete(self.shared_folder / name, fields=HALF_FIELDS)
            ):
                name += self._variant(graph, self.shared_folder / name)
            target = self.shared_folder / name
            if not is_complete(target, fields=HALF_FIELDS):
                assert self.source.shared is not None
                with staging(target) as folder:
                    _copy_others(self.source.shared / part["folder"], folder)
                    weights = Path(self.graphs[graph]["weights"]).stem
                    (half,) = self._halve([graph], folder, weights)
                    write_json(folder / MANIFEST, {"files": file_records(folder), **_record(half)})
                    publish(folder, target)
            record = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
            self.shared[kind] = {**part, "folder": name, "files": record["files"]}
            self._note(graph, record)

    def _variant(self, graph: str, found: Path) -> str:
        """Suffix for a part that keeps more in FP32 than the one that was found; empty where that one keeps it all."""
        own = wanted_islands(self._full(graph)).keys()
        kept = {i["node"] for i in json.loads((found / MANIFEST).read_text(encoding="utf-8"))["islands"]}
        return f"-{content_digest({'islands': sorted(own)})[:8]}" if own - kept else ""

    def _full(self, name: str) -> FullGraph:
        return FullGraph(self.source.graph_path(name), self.source.graph_spec(name), self.runs[name])

    def _halve(self, names: Sequence[str], folder: Path, weights: str) -> list[HalfGraph]:
        self.progress(f"convert {', '.join(names)}", self.done, self.total)
        self.done += len(names)
        return halve([self._full(n) for n in names], folder, weights, like=self.like)

    def _note(self, name: str, record: Mapping[str, Any]) -> None:
        self.graphs[name].pop(CPU_FILE, None)
        self.graphs[name] |= {"precision": "fp16", "spec": record["spec"], "check": record["check"]}
        self.islands[name] = record["islands"]

    def write_manifest(self) -> None:
        manifest = {
            **self.source.manifest,
            "graphs": self.graphs,
            "shared": self.shared,
            "precision": {"from": self.source.digest, "recordings": self.recordings, "islands": self.islands},
            "tolerances": FP16_TOLERANCES,
            "files": file_records(self.folder),
        }
        manifest["digest"] = manifest_digest(manifest)
        write_json(self.folder / MANIFEST, manifest)


def _record(half: HalfGraph) -> dict[str, Any]:
    measured = dataclasses.asdict(half.distance) if half.distance.runs else {"runs": 0}
    check = {**measured, "limit": FP16_TOLERANCES["graph_cosine"]}
    islands = [dataclasses.asdict(i) for i in half.islands]
    return {"spec": half.spec.to_json(), "check": check, "islands": islands}


def _copy_others(source: Path, folder: Path) -> None:
    for path in source.iterdir():
        if path.name != MANIFEST and path.suffix not in (".onnx", ".weights"):
            shutil.copy2(path, folder / path.name)
