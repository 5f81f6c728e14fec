"""The model versions as a table: code asks a row for what it needs and never tests for a version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sovits_runtime.errors import CheckpointError


@dataclass(frozen=True)
class FlowSpec:
    """How a version with decoder "cfm" gets from encoder state to waveform; frames are those of the mel.

    Attributes:
        mel_sample_rate: Of the recording that the prompt mel is computed from, in Hz.
        mel_n_fft: Its window, in samples.
        mel_hop: Samples a mel frame.
        feature_rate: Feature frames a state frame, as numerator and denominator.
        frames_per_token: Bound of the feature frames at a speed other than 1; later ones are zero.
        steps: Euler steps unless the caller chooses otherwise.
        prompt_frames: Longest prompt; of a longer one the last frames stay.
        window_frames: Prompt and speech of one flow matching together.
        vocoder: Kind of the network from mel to waveform.
        vocoder_hop: Samples of speech a mel frame.
    """

    mel_sample_rate: int
    mel_n_fft: int
    mel_hop: int
    feature_rate: tuple[int, int]
    frames_per_token: float
    steps: int
    prompt_frames: int
    window_frames: int
    vocoder: Literal["bigvgan", "hifigan"]
    vocoder_hop: int

    # Common to all versions.
    mel_bands: int = 100
    feature_width: int = 512


@dataclass(frozen=True)
class ModelSpec:
    """What sets one model version apart.

    Attributes:
        version: Official name of the version.
        symbols: Which symbol table its phones index.
        n_symbols: Rows of that table.
        reference_bins: Spectrogram bins that the reference encoder reads (of 1025).
        decoder: "hifigan": tokens to waveform in one pass; "cfm": flow matching to mel, then a vocoder.
        speaker_network: Whether the style takes an ERes2NetV2 speaker embedding.
        sample_rate: Of the speech it makes, in Hz.
        decoder_width: Channels that a full-size HiFi-GAN starts with.
        flow: Numbers of the flow matching, where the decoder is "cfm".
    """

    version: str
    symbols: Literal["v1", "v2"]
    n_symbols: int
    reference_bins: int
    decoder: Literal["hifigan", "cfm"]
    speaker_network: bool
    sample_rate: int
    decoder_width: int = 512
    flow: FlowSpec | None = None

    # Common to all versions.
    token_rate_hz: int = 25
    eos: int = 1024
    codebook_size: int = 1024
    reference_sample_rate: int = 32000
    ssl_sample_rate: int = 16000
    speaker_width: int = 20480


_FLOW_V3 = FlowSpec(24000, 1024, 256, (15, 8), 3.875, 32, 468, 934, "bigvgan", 256)
_FLOW_V4 = FlowSpec(32000, 1280, 320, (2, 1), 4.0, 8, 500, 1000, "hifigan", 480)

MODEL_SPECS: dict[str, ModelSpec] = {
    row.version: row
    for row in (
        ModelSpec("v1", "v1", 322, 1025, "hifigan", False, 32000),
        ModelSpec("v2", "v2", 732, 704, "hifigan", False, 32000),
        ModelSpec("v2Pro", "v2", 732, 704, "hifigan", True, 32000),
        ModelSpec("v2ProPlus", "v2", 732, 704, "hifigan", True, 32000, decoder_width=768),
        ModelSpec("v3", "v2", 732, 704, "cfm", False, 24000, flow=_FLOW_V3),
        ModelSpec("v4", "v2", 732, 704, "cfm", False, 48000, flow=_FLOW_V4),
    )
}


def model_spec(version: str) -> ModelSpec:
    """Returns the row of `version`.

    Raises:
        CheckpointError: No such version.
    """
    if version not in MODEL_SPECS:
        raise CheckpointError(
            f"model version {version!r} is unknown; known versions: {', '.join(MODEL_SPECS)}"
        )
    return MODEL_SPECS[version]
