"""Checkpoints in, bundle out."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch

from sovits_engines.passes.cpu_step import write_cpu_step
from sovits_exporter.building.check import require_equal
from sovits_exporter.building.golden import GoldenRequest, record
from sovits_exporter.building.manifest import GraphRecord, is_complete
from sovits_exporter.building.references import ReadReference, read_references, store_references
from sovits_exporter.building.report import BuildReport, GraphCheck
from sovits_exporter.building.request import BuildRequest
from sovits_exporter.building.steps import Steps
from sovits_exporter.building.voice import Voice, options_left_out, read_voice
from sovits_exporter.building.writer import GRAPHS, BundleWriter, check_output, write_bundle
from sovits_exporter.checkpoint.models import Models
from sovits_exporter.checkpoint.official import GptCheckpoint, SovitsCheckpoint
from sovits_exporter.checkpoint.pretrained import Pretrained
from sovits_exporter.checkpoint.tokenizer import copy_tokenizer, lacks_tokenizer
from sovits_exporter.graphs.device_step import DEVICE_GRAPHS, write_device_graph, write_rows_graph
from sovits_exporter.graphs.export import export_graph
from sovits_exporter.graphs.files import write_models
from sovits_exporter.graphs.gpt import gpt_graphs
from sovits_exporter.graphs.graph_def import GraphDef
from sovits_exporter.graphs.shared import shared_graph
from sovits_exporter.graphs.sovits import sovits_graphs
from sovits_runtime.bundle import SCHEMA, Bundle
from sovits_runtime.bundle.names import STEP
from sovits_runtime.machine import own_version
from sovits_runtime.machine.onnx_runtime import SCATTER_ONNXRUNTIME, load_onnxruntime
from sovits_runtime.machine.progress import Progress, no_progress
from sovits_runtime.synthesizer import DECODERS
from sovits_runtime.verify import verify_bundle
from sovits_runtime.verify.exact import fp32_tolerances


def build(request: BuildRequest, progress: Progress = no_progress) -> BuildReport:
    """Builds a bundle. A kill at any moment leaves the old bundle, or none, never half of one.

    Raises:
        CheckpointError: A checkpoint or model folder cannot be used.
        VerificationError: A graph or the whole differs from PyTorch by more than its limit; nothing is written.
        BundleError: The output exists and is not a bundle.
        AudioError: A reference recording cannot be read or used.
        TextError: A transcript cannot be read.
        BackendError: ONNX Runtime, which every graph is compared with, is missing or too old.
    """
    check_output(request)
    load_onnxruntime(least=SCATTER_ONNXRUNTIME)  # now, rather than after the first export
    steps = Steps(progress)
    steps.begin("read checkpoints")
    voice = read_voice(request)
    unread = request.words is not None and options_left_out(request, voice.models.spec)
    references = read_references(() if unread else request.references, voice.models.spec)
    gpt, sovits, shared = _graphs_of(voice)
    steps.expect(2 * len([*gpt, *sovits, *shared]) + 2 + bool(references))
    with write_bundle(request.output, request.shared_folder, steps) as writer:
        checks = [_add_shared(writer, part, graph) for part, graph in zip(voice.shared, shared, strict=True)]
        checks += _add_graphs(writer, gpt)
        checks += _add_graphs(writer, sovits, base=voice.sovits.base_digests)
        steps.begin("record golden values")
        golden = record(voice.models, voice.words)
        writer.add_golden("request", golden.arrays)
        report = writer.finish(
            _manifest(voice, golden),
            verify_bundle if request.verify else None,
            store=partial(_store, steps, references) if references else None,
            share_base=request.share_base,
        )
    return dataclasses.replace(
        report, checks=tuple(checks), left_out=options_left_out(request, voice.models.spec)
    )


def _store(steps: Steps, references: Sequence[ReadReference], bundle: Bundle) -> list[dict[str, str]]:
    steps.begin("store references")
    return store_references(bundle, references)


def _graphs_of(voice: Voice) -> tuple[list[GraphDef], list[GraphDef], list[GraphDef]]:
    """The graphs of the GPT, of SoVITS, and of each part that voices share."""
    models = voice.models
    shared = [shared_graph(part.kind, _module(models, part), part.config) for part in voice.shared]
    return gpt_graphs(models.t2s, models.spec), sovits_graphs(models.vits, models.spec), shared


def _module(models: Models, part: Pretrained) -> torch.nn.Module:
    module = getattr(models, part.kind)
    assert isinstance(module, torch.nn.Module)
    return module


def _add_graphs(
    writer: BundleWriter, graphs: Sequence[GraphDef], *, base: Collection[str] = ()
) -> list[GraphCheck]:
    """Exports graphs that share a weight file, with the variants that they have, and compares them with PyTorch.

    Args:
        writer: Of the bundle.
        base: sha256 of weights that lie in a file of their own, which voices of the same base share.
    """
    folder = writer.graphs_folder
    _export(writer.steps, graphs, folder, base)
    checks = []
    for graph in graphs:
        name = graph.spec.name
        path = folder / f"{name}.onnx"
        cpu = write_cpu_step(path) if name == STEP else None
        check = _compare(writer.steps, graph, path, *([cpu] if cpu else []))
        device = write_device_graph(path, graph.spec) if name in DEVICE_GRAPHS else None
        many = write_rows_graph(path, graph.spec) if name == STEP else None
        writer.add_graph(
            GraphRecord(
                file=f"{GRAPHS}/{path.name}",
                weights=f"{GRAPHS}/{graph.weights}.weights",
                spec=graph.spec,
                check=check.to_json(),
                cpu_file=f"{GRAPHS}/{cpu.name}" if cpu else None,
                device_file=f"{GRAPHS}/{device.name}" if device else None,
                rows_file=f"{GRAPHS}/{many.name}" if many else None,
            )
        )
        checks.append(check)
    return checks


def _add_shared(writer: BundleWriter, part: Pretrained, graph: GraphDef) -> GraphCheck:
    """Exports a part that voices share, or finds it in the shared folder, and compares it with PyTorch."""
    name = f"{part.kind}-{part.sha256[:12]}"

    def write(folder: Path) -> dict[str, Any]:
        _export(writer.steps, [graph], folder)
        if part.kind == "bert":
            copy_tokenizer(part.path, folder)
        return {}

    writer.add_shared(part.kind, name, write, source_sha256=part.sha256, is_usable=partial(_has_all_of, part))
    file = f"{graph.spec.name}.onnx"
    check = _compare(writer.steps, graph, writer.shared_folder / name / file)
    writer.add_graph(
        GraphRecord(
            file=file,
            weights=f"{graph.weights}.weights",
            shared=part.kind,
            spec=graph.spec,
            check=check.to_json(),
        )
    )
    return check


def _has_all_of(part: Pretrained, folder: Path) -> bool:
    """Whether a folder holds the whole exported part; those of BERT once came without its tokenizer."""
    return is_complete(folder) and not (part.kind == "bert" and lacks_tokenizer(part.path, folder))


def _export(steps: Steps, graphs: Sequence[GraphDef], folder: Path, base: Collection[str] = ()) -> None:
    models = []
    for graph in graphs:
        steps.begin(f"export {graph.spec.name}")
        models.append(export_graph(graph))
    for path in write_models(models, folder, graphs[0].weights, base=base):
        if path.suffix == ".onnx":
            onnx.checker.check_model(str(path))


def _compare(steps: Steps, graph: GraphDef, *paths: Path) -> GraphCheck:
    steps.begin(f"check {graph.spec.name}")
    return require_equal(graph, *paths)


def _manifest(voice: Voice, golden: GoldenRequest) -> dict[str, Any]:
    spec = voice.models.spec
    sources: dict[str, GptCheckpoint | SovitsCheckpoint | None] = {
        "gpt": voice.gpt,
        "sovits": voice.sovits,
        "base": voice.sovits.base,
    }
    return {
        "schema": SCHEMA,
        "made_by": {
            "sovits-export": own_version(),
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "python": platform.python_version(),
        },
        "model": {"version": spec.version, "sample_rate": spec.sample_rate, "symbols": spec.symbols},
        "sources": {
            kind: {"file": checkpoint.path.name, "sha256": checkpoint.sha256, "info": checkpoint.info}
            for kind, checkpoint in sources.items()
            if checkpoint is not None
        },
        "golden": {"request": vars(golden.options)},
        "tolerances": fp32_tolerances(DECODERS[spec.decoder]),
    }
