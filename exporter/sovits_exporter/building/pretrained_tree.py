"""Finds what a voice needs besides its checkpoints in GPT-SoVITS's folder `pretrained_models`, or beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovits_exporter.building.request import BuildRequest
from sovits_exporter.checkpoint.official import identify_sovits
from sovits_exporter.checkpoint.speaker import OFFICIAL as SPEAKER_FILE
from sovits_exporter.checkpoint.vocoder import BIGVGAN_FOLDER, HIFIGAN_FILE
from sovits_runtime.bundle.model_spec import FlowSpec, model_spec
from sovits_runtime.errors import CheckpointError
from sovits_runtime.machine.data_folder import fetched_pretrained


@dataclass(frozen=True)
class PretrainedPart:
    """A model that voices share.

    Attributes:
        use: What it is for, as a message says it.
        places: Where it lies in the official folder, then where it lies beside checkpoints.
        required: Whether a voice that takes it is of little use without.
    """

    use: str
    places: tuple[str, ...]
    required: bool = True

    def find(self, folder: Path) -> Path | None:
        """Returns where it lies in a folder, if it does."""
        return next((folder / place for place in self.places if (folder / place).exists()), None)


HUBERT = PretrainedPart("reading reference recordings", ("chinese-hubert-base",))
BERT = PretrainedPart("Chinese", ("chinese-roberta-wwm-ext-large",), required=False)
SPEAKER = PretrainedPart("reading reference recordings", (f"sv/{SPEAKER_FILE}", SPEAKER_FILE))
BASES: Mapping[str, PretrainedPart] = {
    "v3": PretrainedPart("a LoRA fine-tune", ("s2Gv3.pth",)),
    "v4": PretrainedPart("a LoRA fine-tune", ("gsv-v4-pretrained/s2Gv4.pth", "s2Gv4.pth")),
    "v5dev": PretrainedPart("a LoRA fine-tune", ("gsv-v5-pretrained/s2Gv5dev.pth", "s2Gv5dev.pth")),
    "v5turbo": PretrainedPart("a LoRA fine-tune", ("gsv-v5-pretrained/s2Gv5turbo.pth", "s2Gv5turbo.pth")),
}
"""By version."""


@dataclass(frozen=True)
class PretrainedFiles:
    """What was looked for in a folder.

    Attributes:
        paths: Field of `BuildRequest` -> what was found for it.
        missing: One line for each thing that was not found and that the voice can do without.
    """

    paths: Mapping[str, Path]
    missing: tuple[str, ...]

    def complete(self, request: BuildRequest) -> BuildRequest:
        """Returns the request with what was found."""
        paths: dict[str, Any] = dict(self.paths)
        return dataclasses.replace(request, **paths)


def vocoder_part(flow: FlowSpec) -> PretrainedPart:
    """The vocoder that a version speaks through."""
    if flow.vocoder == "bigvgan":
        return PretrainedPart("sound", (flow.vocoder_folder, BIGVGAN_FOLDER))
    return PretrainedPart("sound", (f"{flow.vocoder_folder}/{HIFIGAN_FILE}", HIFIGAN_FILE))


def find_pretrained(folder: Path, request: BuildRequest) -> PretrainedFiles:
    """Finds what the version of a SoVITS file needs; what the request names itself is not looked for.

    Args:
        folder: `pretrained_models` of GPT-SoVITS, or one that holds the same parts side by side.
        request: A build.

    Raises:
        CheckpointError: The folder does not exist or lacks something, or the SoVITS file cannot be used.
    """
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: no folder; expected GPT-SoVITS's pretrained_models, leave --pretrained out without one"
        )
    version, is_lora = identify_sovits(request.sovits, version=request.version)
    needed = {
        field: part
        for field, part in _parts(version, is_lora=is_lora).items()
        if getattr(request, field) is None
    }
    paths = {field: part.find(folder) for field, part in needed.items()}
    lacking = {field: part for field, part in needed.items() if paths[field] is None}
    if required := [_missing(field, part) for field, part in lacking.items() if part.required]:
        raise CheckpointError(
            f"{folder}: lacks what this {version} voice needs: {'; '.join(required)}; complete the folder, or name "
            f"each by its option; '{fetch_line(version)} --from {folder}' fetches what is missing, and --pretrained is "
            "not needed then"
        )
    return PretrainedFiles(
        {field: path for field, path in paths.items() if path is not None},
        tuple(f"{folder}: lacks {_missing(field, part)}" for field, part in lacking.items()),
    )


def find_fetched(request: BuildRequest) -> PretrainedFiles:
    """Finds what `sovits-export fetch` fetched for a request; lacking parts are named with the line that fetches them.

    Where nothing was ever fetched, nothing is looked for.

    Raises:
        CheckpointError: The SoVITS file cannot be used.
    """
    if not fetched_pretrained().is_dir():
        return PretrainedFiles({}, ())
    version, is_lora = identify_sovits(request.sovits, version=request.version)
    needed = {
        field: part
        for field, part in _parts(version, is_lora=is_lora).items()
        if getattr(request, field) is None
    }
    found = {field: part.find(fetched_pretrained()) for field, part in needed.items()}
    return PretrainedFiles(
        {field: path for field, path in found.items() if path is not None},
        tuple(
            f"no --{field} for {part.use}; '{fetch_line(version)}' fetches it"
            for field, part in needed.items()
            if found[field] is None
        ),
    )


def fetch_line(version: str) -> str:
    """The line that fetches what a version needs."""
    return f"sovits-export fetch {version}"


def _parts(version: str, *, is_lora: bool) -> dict[str, PretrainedPart]:
    """What a version takes, by field of `BuildRequest`."""
    spec = model_spec(version)
    parts = {"hubert": HUBERT, "bert": BERT}
    if spec.speaker_network:
        parts["speaker"] = SPEAKER
    if spec.flow:
        parts["vocoder"] = vocoder_part(spec.flow)
    if is_lora:
        parts["base"] = BASES[version]
    return parts


def _missing(field: str, part: PretrainedPart) -> str:
    return f"{' or '.join(part.places)} (--{field}, for {part.use})"
