"""Checkpoints in, bundle out."""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from sovits_engines.passes.cpu_step import STEP, write_cpu_step
from sovits_exporter.building.golden import GoldenRequest, Models, record
from sovits_exporter.building.lora_base import share_weights
from sovits_exporter.building.manifest import file_records, is_complete, keep_verification, write_json
from sovits_exporter.building.request import BuildRequest, options_left_out, read_shared_parts
from sovits_exporter.building.staging import check_output, publish, staging
from sovits_exporter.checkpoint.config import dit_dims
from sovits_exporter.checkpoint.official import (
    GptCheckpoint,
    SovitsCheckpoint,
    check_pair,
    load_gpt,
    load_sovits,
)
from sovits_exporter.checkpoint.pretrained import Pretrained
from sovits_exporter.checkpoint.tokenizer import copy_tokenizer, lacks_tokenizer
from sovits_exporter.graphs.device_step import DEVICE_GRAPHS, write_device_graph
from sovits_exporter.graphs.export import GraphDef, export_graph
from sovits_exporter.graphs.files import BASE_SUFFIX, write_models
from sovits_exporter.graphs.sovits import gpt_graphs, shared_graph, sovits_graphs
from sovits_exporter.modeling.t2s import T2SConfig, Text2Semantic
from sovits_exporter.modeling.vits import Sovits, SynthesizerTrn
from sovits_exporter.modeling.vits_v3 import SynthesizerTrnV3
from sovits_exporter.relative_error import relative_error
from sovits_runtime.bundle import CPU_FILE, DEVICE_FILE, MANIFEST, SCHEMA, Bundle, manifest_digest
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.model_spec import model_spec
from sovits_runtime.bundle.session import BindableSession, SessionOptions, open_session
from sovits_runtime.errors import VerificationError
from sovits_runtime.machine import own_version
from sovits_runtime.verify import TOLERANCES, VerifyReport, verify_bundle

__all__ = [
    "BuildReport",
    "BuildRequest",
    "GraphCheck",
    "build",
    "build_models",
    "check_graph",
    "options_left_out",
    "relative_error",
]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, steps done and steps in all."""


@dataclass(frozen=True)
class GraphCheck:
    """Largest difference between a graph and its PyTorch module over all sizes it was run at.

    Attributes:
        graph: Name.
        error: Largest absolute difference, as a fraction of the output's largest magnitude.
        limit: Largest allowed.
        sizes: One entry a run: its dimensions and error.
    """

    graph: str
    error: float
    limit: float
    sizes: tuple[Mapping[str, Any], ...]

    @property
    def passed(self) -> bool:
        """Whether the error is within the limit (and a number at all)."""
        return self.error <= self.limit


@dataclass(frozen=True)
class BuildReport:
    """What was built.

    Attributes:
        path: The bundle's folder.
        checks: One a graph.
        verification: Of the whole, if it ran.
        seconds: How long it took.
        left_out: Options without which the bundle cannot read recordings.
    """

    path: Path
    checks: tuple[GraphCheck, ...]
    verification: VerifyReport | None
    seconds: float
    left_out: tuple[str, ...] = ()


def build(request: BuildRequest, progress: Progress = lambda *_: None) -> BuildReport:
    """Builds a bundle. A kill at any moment leaves the old bundle, or none, never half of one.

    Raises:
        CheckpointError: A checkpoint or model folder cannot be used.
        VerificationError: A graph or the whole differs from PyTorch by more than its limit; nothing is written.
        BundleError: The output exists and is not a bundle.
    """
    start = time.perf_counter()
    check_output(request.output)
    progress("read checkpoints", 0, 1)
    gpt = load_gpt(request.gpt)
    sovits = load_sovits(request.sovits, version=request.version, base=request.base)
    check_pair(gpt, sovits)
    models = build_models(gpt, sovits)
    pretrained = read_shared_parts(request, models.spec)
    words = request.words.read(models.spec) if request.words else None
    with staging(request.output) as folder:
        builder = _Builder(folder, request.shared or request.output.parent / "shared", progress)
        builder.plan(models, pretrained)
        modules = builder.shared_parts(pretrained)
        builder.voice(models, sovits.base_digests, share=request.share_base)
        progress("record golden values", builder.done, builder.total)
        golden = record(
            Models(
                models.spec,
                models.t2s,
                models.vits,
                hubert=modules.get("hubert"),
                bert=modules.get("bert"),
                speaker=modules.get("speaker"),
                vocoder=modules.get("vocoder"),
            ),
            words,
        )
        _write_golden(folder, golden)
        _write_manifest(folder, builder, gpt, sovits, models, golden)
        verification = None
        if request.verify:
            progress("verify", builder.total - 1, builder.total)
            verified = verify_bundle(Bundle.open(folder, shared=builder.shared_folder))
            verification = dataclasses.replace(verified, bundle=str(request.output))
            keep_verification(verification, folder)
        progress("done", builder.total, builder.total)
        publish(folder, request.output)
    return BuildReport(
        request.output,
        tuple(builder.checks),
        verification,
        time.perf_counter() - start,
        options_left_out(request, models.spec),
    )


def build_models(gpt: GptCheckpoint, sovits: SovitsCheckpoint) -> Models:
    """Builds the PyTorch models of a pair of checkpoints, in inference mode."""
    spec = model_spec(sovits.version)
    t2s = Text2Semantic(T2SConfig.from_checkpoint(gpt.config))
    t2s.load_state_dict(gpt.tensors)
    vits: Sovits
    if spec.flow:
        shapes = {name: tuple(tensor.shape) for name, tensor in sovits.tensors.items()}
        vits = SynthesizerTrnV3(sovits.config, spec, dit_dims(shapes))
    else:
        vits = SynthesizerTrn(sovits.config, spec)
    vits.load_state_dict(sovits.tensors)
    return Models(spec, t2s.eval().requires_grad_(False), vits.eval().requires_grad_(False))


class _Builder:
    """Exports graphs into the staging folder, checks each, and keeps what the manifest needs."""

    def __init__(self, folder: Path, shared_folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.shared_folder = shared_folder
        self.progress = progress
        self.graphs: dict[str, dict[str, Any]] = {}
        self.shared: dict[str, dict[str, Any]] = {}
        self.checks: list[GraphCheck] = []
        self.done = 1
        self.total = 1

    def plan(self, models: Models, pretrained: Sequence[Pretrained]) -> None:
        self.sets = [gpt_graphs(models.t2s, models.spec), sovits_graphs(models.vits, models.spec)]
        self.total = 2 * (sum(map(len, self.sets)) + len(pretrained)) + 3

    def voice(self, models: Models, base: frozenset[str], *, share: bool) -> None:
        """Exports the graphs of the GPT and of SoVITS; weights whose digest is in `base` lie in a file of their own."""
        folder = self.folder / "graphs"
        folder.mkdir()
        for graphs in self.sets:
            common = folder / f"{graphs[0].weights}{BASE_SUFFIX}"
            self._export(graphs, folder, base if graphs[0].weights == "sovits" else frozenset())
            for graph in graphs:
                paths = [folder / f"{graph.spec.name}.onnx"]
                if graph.spec.name == STEP:
                    paths.append(write_cpu_step(paths[0]))
                self._check(graph, *paths)
                self._note(graph, None, "graphs/")
                record = self.graphs[graph.spec.name]
                if len(paths) > 1:
                    record[CPU_FILE] = f"graphs/{paths[1].name}"
                if graph.spec.name in DEVICE_GRAPHS:
                    record[DEVICE_FILE] = f"graphs/{write_device_graph(paths[0], graph.spec).name}"
                if common.exists():
                    record["base_weights"] = f"graphs/{common.name}"
            if share and common.exists():
                share_weights(common, self.shared_folder)

    def shared_parts(self, pretrained: Sequence[Pretrained]) -> dict[str, nn.Module]:
        """Exports the parts that voices share into the shared folder, or finds them there; returns their modules."""
        modules: dict[str, nn.Module] = {}
        for source in pretrained:
            modules[source.kind] = source.module()
            graph = shared_graph(source.kind, modules[source.kind], source.config)
            name = f"{source.kind}-{source.sha256[:12]}"
            target = self.shared_folder / name
            if not is_complete(target) or (source.kind == "bert" and lacks_tokenizer(source.path, target)):
                with staging(target) as folder:
                    self._export([graph], folder)
                    if source.kind == "bert":
                        copy_tokenizer(source.path, folder)
                    write_json(folder / MANIFEST, {"files": file_records(folder)})
                    publish(folder, target)
            self._check(graph, target / f"{graph.spec.name}.onnx")
            self._note(graph, source.kind, "")
            files = json.loads((target / MANIFEST).read_text())["files"]
            self.shared[source.kind] = {"folder": name, "source_sha256": source.sha256, "files": files}
        return modules

    def _export(self, graphs: Sequence[GraphDef], folder: Path, base: frozenset[str] = frozenset()) -> None:
        models = []
        for graph in graphs:
            self.progress(f"export {graph.spec.name}", self.done, self.total)
            models.append(export_graph(graph))
            self.done += 1
        for path in write_models(models, folder, graphs[0].weights, base=base):
            if path.suffix == ".onnx":
                onnx.checker.check_model(str(path))

    def _check(self, graph: GraphDef, *paths: Path) -> None:
        """Compares every form of a graph with PyTorch and keeps the worst."""
        self.progress(f"check {graph.spec.name}", self.done, self.total)
        check = max((check_graph(graph, path) for path in paths), key=lambda c: c.error)
        self.checks.append(check)
        self.done += 1
        if not check.passed:
            raise VerificationError(
                f"graph {check.graph} differs from PyTorch by {check.error:.1e} of its largest output, limit "
                f"{check.limit:.0e}; please report it with the versions that 'sovits-export doctor' prints"
            )

    def _note(self, graph: GraphDef, shared: str | None, prefix: str) -> None:
        check = self.checks[-1]
        self.graphs[graph.spec.name] = {
            "file": f"{prefix}{graph.spec.name}.onnx",
            "weights": f"{prefix}{graph.weights}.weights",
            "shared": shared,
            "precision": "fp32",
            "spec": graph.spec.to_json(),
            "check": {"error": check.error, "limit": check.limit, "sizes": list(check.sizes)},
        }


def check_graph(graph: GraphDef, path: Path) -> GraphCheck:
    """Runs an exported graph on ONNX Runtime and compares it with its module at every size of `graph.checks`."""
    session = open_session(path, graph.spec, options=SessionOptions())
    sizes = []
    for dims in graph.checks:
        feeds = graph.feeds(dims, np.random.default_rng(1))
        expected = graph.run(feeds)
        got = run_in_place(session, feeds, dims)
        sizes.append({**dims, "error": max(relative_error(expected[k], got[k]) for k in expected)})
    return GraphCheck(graph.spec.name, max(s["error"] for s in sizes), graph.limit, tuple(sizes))


def run_in_place(
    session: BindableSession, feeds: Mapping[str, Array], dims: Mapping[str, int]
) -> dict[str, Array]:
    """Runs a graph as a voice does: what it updates in place is one array, given and written.

    Args:
        session: The graph.
        feeds: Its inputs.
        dims: Their sizes, by name.
    """
    spec = session.spec
    if not spec.aliases:
        return session.run(feeds)
    updated = {written: np.array(feeds[given]) for given, written in spec.aliases}
    fresh = {t.name: np.empty(t.resolve(dims), t.dtype) for t in spec.outputs if t.name not in updated}
    outputs = {**fresh, **updated}
    session.bind({**feeds, **{given: updated[written] for given, written in spec.aliases}, **outputs}).run()
    return outputs


def _write_golden(folder: Path, golden: GoldenRequest) -> None:
    (folder / "golden").mkdir()
    np.savez(folder / "golden" / "request.npz", allow_pickle=False, **golden.arrays)


def _write_manifest(
    folder: Path,
    builder: _Builder,
    gpt: GptCheckpoint,
    sovits: SovitsCheckpoint,
    models: Models,
    golden: GoldenRequest,
) -> None:
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "made_by": {
            "sovits-export": own_version(),
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "python": platform.python_version(),
        },
        "model": {
            "version": models.spec.version,
            "sample_rate": models.spec.sample_rate,
            "symbols": models.spec.symbols,
        },
        "sources": _sources({"gpt": gpt, "sovits": sovits, "base": sovits.base}),
        "graphs": builder.graphs,
        "shared": builder.shared,
        "golden": {"request": vars(golden.options)},
        "tolerances": TOLERANCES[models.spec.decoder],
        "files": file_records(folder),
    }
    manifest["digest"] = manifest_digest(manifest)
    write_json(folder / MANIFEST, manifest)


def _sources(checkpoints: Mapping[str, GptCheckpoint | SovitsCheckpoint | None]) -> dict[str, Any]:
    return {
        kind: {"file": checkpoint.path.name, "sha256": checkpoint.sha256, "info": checkpoint.info}
        for kind, checkpoint in checkpoints.items()
        if checkpoint is not None
    }
