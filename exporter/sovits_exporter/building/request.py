"""What to build, and the parts that voices share which that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sovits_exporter.building.golden import GoldenWords
from sovits_exporter.checkpoint.pretrained import FolderKind, Pretrained, read_pretrained
from sovits_exporter.checkpoint.speaker import read_speaker
from sovits_exporter.checkpoint.vocoder import OFFICIAL, read_vocoder
from sovits_runtime.audio import check_reference, reference_wave
from sovits_runtime.audio.files import read_audio
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.errors import CheckpointError, TextError
from sovits_runtime.text.symbols import symbol_ids


@dataclass(frozen=True)
class RequestWords:
    """A request that a bundle records for its verification, in a voice's own words.

    Attributes:
        recording: Reference recording of 3 to 10 s.
        prompt_phones: Phone symbols of what it says.
        phones: Phone symbols of what is to be said.
    """

    recording: Path
    prompt_phones: Sequence[str]
    phones: Sequence[str]

    def read(self, spec: ModelSpec) -> GoldenWords:
        """Reads the recording and looks the phones up.

        Raises:
            AudioError: The recording cannot be read or has the wrong length.
            TextError: No phones are given.
        """
        wave = read_audio(self.recording)
        check_reference(*wave)
        if not self.prompt_phones or not self.phones:
            raise TextError(
                "the request to record lacks phones; expected those of the recording and of a sentence"
            )
        prompt_phones, phones = (symbol_ids(part, spec.symbols) for part in (self.prompt_phones, self.phones))
        return GoldenWords(reference_wave(*wave), prompt_phones, phones)


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    Attributes:
        gpt: The `.ckpt` file.
        sovits: The `.pth` file.
        output: The bundle's folder; an older bundle there is replaced when the new one is complete.
        hubert: Folder of chinese-hubert-base; without it the bundle speaks from saved references only.
        bert: Folder of chinese-roberta-wwm-ext-large; needed for Chinese.
        shared: Where parts that voices share are kept; by default `shared` beside the bundle.
        version: Model version, when the file does not tell.
        verify: Whether to run the whole verification before the bundle takes its place.
        speaker: The file of ERes2NetV2; v2Pro and v2ProPlus need it to read recordings.
        vocoder: `vocoder.pth` of v4, or the folder of v3's BigVGAN; those versions need it to speak.
        base: Of a LoRA fine-tune, the complete SoVITS file that it was trained on.
        share_base: Whether weights that a LoRA voice has from its base are stored once for all voices of that base.
        words: What the voice says when it is verified; None: a made-up request.
    """

    gpt: Path
    sovits: Path
    output: Path
    hubert: Path | None = None
    bert: Path | None = None
    shared: Path | None = None
    version: str | None = None
    verify: bool = True
    speaker: Path | None = None
    vocoder: Path | None = None
    base: Path | None = None
    share_base: bool = True
    words: RequestWords | None = None


def read_shared_parts(request: BuildRequest, spec: ModelSpec) -> list[Pretrained]:
    """Reads the parts that voices share.

    Raises:
        CheckpointError: One cannot be used, or the version takes none of its kind, or needs one that is not given.
    """
    if request.speaker and not spec.speaker_network:
        raise _needless(request, spec, request.speaker, "a speaker network", "--speaker")
    if request.vocoder and not spec.flow:
        raise _needless(request, spec, request.vocoder, "a vocoder", "--vocoder")
    wanted: dict[FolderKind, Path | None] = {"hubert": request.hubert, "bert": request.bert}
    parts = [read_pretrained(folder, kind) for kind, folder in wanted.items() if folder is not None]
    if request.speaker:
        parts.append(read_speaker(request.speaker))
    if spec.flow:
        if request.vocoder is None:
            raise CheckpointError(
                f"{request.sovits}: is a {spec.version} model, which speaks through a vocoder of its own; "
                f"give --vocoder: {OFFICIAL[spec.flow.vocoder]}"
            )
        parts.append(read_vocoder(request.vocoder, spec.flow))
    return parts


def options_left_out(request: BuildRequest, spec: ModelSpec) -> tuple[str, ...]:
    """Returns the options of the request without which its bundle cannot read recordings."""
    missing = {
        "--hubert": request.hubert is None,
        "--speaker": spec.speaker_network and request.speaker is None,
    }
    return tuple(option for option, is_missing in missing.items() if is_missing)


def _needless(request: BuildRequest, spec: ModelSpec, path: Path, what: str, option: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: {what} was given, but {request.sovits} is a {spec.version} model, which takes none; "
        f"leave {option} out"
    )
