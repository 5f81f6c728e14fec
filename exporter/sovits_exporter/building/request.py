"""The requests: a build from checkpoints, or a conversion of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import check_reference, reference_wave
from sovits_runtime.audio.files import read_audio
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.bundle.stored_references import DEFAULT
from sovits_runtime.errors import TextError
from sovits_runtime.text.symbols import symbol_ids


@dataclass(frozen=True)
class GoldenWords:
    """The recording and the sentence of a golden request, ready to run.

    Attributes:
        wave: Recording, float32 [n] at 32 kHz, 3 to 10 s.
        prompt_phones: int64 [T], of the recording.
        phones: int64 [T], of the sentence.
    """

    wave: NDArray[np.float32]
    prompt_phones: NDArray[np.int64]
    phones: NDArray[np.int64]


@dataclass(frozen=True)
class RequestWords:
    """A recording and a sentence that a bundle records for its verification, in place of made-up ones.

    Attributes:
        recording: Reference recording of 3 to 10 s.
        prompt_phones: Phone symbols of the recording.
        phones: Phone symbols of the sentence.
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


@dataclass(frozen=True, kw_only=True)
class ReferenceRequest:
    """A recording of the voice that its bundle is to carry.

    Attributes:
        recording: Audio file of 3 to 10 s, silence at its ends not counted.
        name: By which it is asked for, such as an emotion.
        text: What is said in it; None: `phones` say it, or nothing does.
        language: Language or mode of `text`; None: that of its script.
        phones: Phone symbols of what is said, in place of text.
        keep_clip: Whether the recording itself is stored too.
    """

    recording: Path
    name: str = DEFAULT
    text: str | None = None
    language: str | None = None
    phones: Sequence[str] = ()
    keep_clip: bool = False


@dataclass(frozen=True, kw_only=True)
class BundleRequest:
    """What all requests for a bundle have in common.

    Attributes:
        output: The bundle's folder; an older bundle there is replaced when the new one is complete.
        shared: Where parts that voices share are kept; by default `shared` beside the bundle.
        verify: Whether to run the whole verification before the bundle takes its place.
    """

    output: Path
    shared: Path | None = None
    verify: bool = True

    @property
    def shared_folder(self) -> Path:
        """Where parts that voices share are kept."""
        return self.shared or self.output.parent / "shared"


@dataclass(frozen=True, kw_only=True)
class BuildRequest(BundleRequest):
    """A build from checkpoints.

    Attributes:
        gpt: The `.ckpt` file.
        sovits: The `.pth` file.
        hubert: Folder of chinese-hubert-base; without it the bundle speaks from saved references only.
        bert: Folder of chinese-roberta-wwm-ext-large; needed for Chinese.
        speaker: The file of ERes2NetV2; v2Pro and v2ProPlus need it to read recordings.
        vocoder: `vocoder.pth` of v4 or v5, or the folder of v3's BigVGAN; those versions need it to speak.
        version: Model version, when the file does not tell.
        base: Of a LoRA fine-tune, the complete SoVITS file that it was trained on.
        share_base: Whether weights that a LoRA voice has from its base are stored once for all voices of that base.
        words: What the voice says when it is verified; None: a made-up request.
        references: Recordings that the bundle carries; the first speaks when none is named.
    """

    gpt: Path
    sovits: Path
    hubert: Path | None = None
    bert: Path | None = None
    speaker: Path | None = None
    vocoder: Path | None = None
    version: str | None = None
    base: Path | None = None
    share_base: bool = True
    words: RequestWords | None = None
    references: tuple[ReferenceRequest, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ConversionRequest(BundleRequest):
    """A conversion of a bundle to another precision.

    Attributes:
        source: An FP32 bundle.
        recordings: Audio files of 3 to 10 s that calibration reads beside the built-in one.
    """

    source: Bundle
    recordings: tuple[Path, ...] = ()
