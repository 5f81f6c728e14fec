"""The checkpoints that a build request names, read and checked together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sovits_exporter.building.request import BuildRequest, GoldenWords
from sovits_exporter.checkpoint.models import Models, build_models
from sovits_exporter.checkpoint.official import (
    GptCheckpoint,
    SovitsCheckpoint,
    check_pair,
    identify_sovits,
    load_gpt,
    load_sovits,
)
from sovits_exporter.checkpoint.pretrained import FolderKind, Pretrained, check_pretrained, read_pretrained
from sovits_exporter.checkpoint.speaker import read_speaker
from sovits_exporter.checkpoint.tokenizer import check_tokenizer
from sovits_exporter.checkpoint.vocoder import official_vocoder, read_vocoder
from sovits_runtime.bundle.model_spec import ModelSpec, model_spec
from sovits_runtime.errors import CheckpointError


@dataclass(frozen=True)
class Voice:
    """A voice to export.

    Attributes:
        gpt: Its GPT checkpoint.
        sovits: Its SoVITS checkpoint.
        shared: The parts that voices share.
        models: The PyTorch models of them all.
        words: What it says when it is verified; None: a made-up request.
    """

    gpt: GptCheckpoint
    sovits: SovitsCheckpoint
    shared: tuple[Pretrained, ...]
    models: Models
    words: GoldenWords | None


def read_voice(request: BuildRequest) -> Voice:
    """Reads all that a request names.

    Raises:
        CheckpointError: A checkpoint or model folder cannot be used, or they do not go together.
        AudioError: The recording of the request's words cannot be read.
        TextError: The request's words lack phones.
    """
    gpt = load_gpt(request.gpt)
    version, _ = identify_sovits(request.sovits, version=request.version)
    spec = model_spec(version)
    check_complete(request, spec)
    words = request.words.read(spec) if request.words else None
    sovits = load_sovits(request.sovits, version=request.version, base=request.base)
    check_pair(gpt, sovits)
    shared = _read_shared_parts(request, spec)
    return Voice(gpt, sovits, shared, build_models(gpt, sovits, shared), words)


def options_left_out(request: BuildRequest, spec: ModelSpec) -> tuple[str, ...]:
    """Returns the options of the request without which its bundle cannot read recordings."""
    missing = {
        "--hubert": request.hubert is None,
        "--speaker": spec.speaker_network and request.speaker is None,
    }
    return tuple(option for option, is_missing in missing.items() if is_missing)


def check_complete(request: BuildRequest, spec: ModelSpec) -> None:
    """Looks for everything that a build needs, before any of it is read, which takes long.

    Raises:
        CheckpointError: Something is not there, is needless, or lacks a part.
    """
    if request.speaker and not spec.speaker_network:
        raise _needless(request, spec, request.speaker, "a speaker network", "--speaker")
    if request.vocoder and not spec.flow:
        raise _needless(request, spec, request.vocoder, "a vocoder", "--vocoder")
    if spec.flow and request.vocoder is None:
        raise CheckpointError(
            f"{request.sovits}: is a {spec.version} model, which speaks through a vocoder of its own; "
            f"give --vocoder: {official_vocoder(spec.flow)}; 'sovits-export fetch {spec.version}' fetches it"
        )
    missing = options_left_out(request, spec)
    if request.references and missing and request.words is None:
        raise CheckpointError(
            f"{request.references[0].recording}: cannot be stored in the bundle without what reads recordings; give "
            f"{' and '.join(missing)}, or --no-store to build without it"
        )
    for path in (request.gpt, request.base, request.speaker, request.vocoder):
        if path is not None and not path.exists():
            raise CheckpointError(f"{path}: there is no such file; check the path")
    folders: dict[FolderKind, Path | None] = {"hubert": request.hubert, "bert": request.bert}
    for kind, folder in folders.items():
        if folder is not None:
            check_pretrained(folder, kind)
    if request.bert is not None:
        check_tokenizer(request.bert)


def _read_shared_parts(request: BuildRequest, spec: ModelSpec) -> tuple[Pretrained, ...]:
    folders: dict[FolderKind, Path | None] = {"hubert": request.hubert, "bert": request.bert}
    parts = [read_pretrained(folder, kind) for kind, folder in folders.items() if folder is not None]
    if request.speaker:
        parts.append(read_speaker(request.speaker))
    if spec.flow and request.vocoder:
        parts.append(read_vocoder(request.vocoder, spec.flow))
    return tuple(parts)


def _needless(request: BuildRequest, spec: ModelSpec, path: Path, what: str, option: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: {what} was given, but {request.sovits} is a {spec.version} model, which takes none; "
        f"leave {option} out"
    )
