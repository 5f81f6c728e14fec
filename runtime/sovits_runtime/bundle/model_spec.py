"""The model versions as a table: code asks a row for what it needs and never tests for a version."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from sovits_runtime.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class FlowSpec:
    """How a version with decoder "cfm" gets from encoder state to waveform; frames are those of the mel.

    Attributes:
        mel_sample_rate: Of the recording that the prompt mel is computed from, in Hz.
        mel_n_fft: Its window, in samples.
        mel_hop: Samples a mel frame.
        feature_rate: Feature frames a state frame, as numerator and denominator.
        frames_per_token: Bound of the feature frames at a speed other than 1; later ones are zero.
        steps: Euler steps unless the caller chooses otherwise.
        guidance: How far each step is led away from what it would be without the prompt's mel, unless the caller
            chooses otherwise; None: the version was not trained for it and takes none.
        noise_scale: What the noise is multiplied by before the first step.
        step_size_embedding: Whether the transformer is told the size of a step beside the time.
        prompt_frames: Longest prompt; of a longer one the last frames stay.
        window_frames: Prompt and speech of one flow matching together.
        speech_frames: Most speech of one flow matching, however short the prompt.
        prompt_tail: The next window's prompt is the reference's with so many frames of the window before at its end;
            None: it is all of that window.
        joins_sentences: Whether several sentences fill windows side by side; else each is made by itself.
        vocoder: Kind of the network from mel to waveform.
        vocoder_hop: Samples of speech a mel frame.
        vocoder_folder: Where the official release keeps its weights; two releases of one kind differ in nothing else.
    """

    mel_sample_rate: int
    mel_n_fft: int
    mel_hop: int
    feature_rate: tuple[int, int]
    frames_per_token: float
    steps: int
    prompt_frames: int
    window_frames: int
    speech_frames: int
    vocoder: Literal["bigvgan", "hifigan"]
    vocoder_hop: int
    vocoder_folder: str
    guidance: float | None = None
    noise_scale: float = 1.0
    step_size_embedding: bool = True
    prompt_tail: int | None = None
    joins_sentences: bool = True

    # Common to all versions.
    mel_bands: int = 100
    feature_width: int = 512

    def window_speech(self, prompt_len: int) -> int:
        """Returns how many frames of speech a window has behind a prompt of so many."""
        return min(self.window_frames - prompt_len, self.speech_frames)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What sets one model version apart.

    Attributes:
        version: Official name of the version.
        symbols: Which symbol table its phones index.
        n_symbols: Rows of that table.
        reference_bins: Spectrogram bins that the reference encoder reads (of 1025).
        decoder: "hifigan": tokens to waveform in one pass; "cfm": flow matching to mel, then a vocoder.
        speaker_network: Whether the global speaker embedding depends on that of ERes2NetV2.
        sample_rate: Of the speech it makes, in Hz.
        decoder_width: Channels that a full-size HiFi-GAN starts with.
        flow: Numbers of the flow matching, where the decoder is "cfm".
        token_rate_hz: Semantic tokens a second of speech; as all that follows, the same in all versions.
        max_tokens: Most new tokens that the GPT was trained to make in one go.
        frames_per_token: Frames of the decoder's state a token.
        eos: The token that ends a sentence.
        codebook_size: Tokens that sound.
        reference_sample_rate: Of the recording that the global speaker embedding is computed from, in Hz.
        ssl_sample_rate: Of the recording that HuBERT reads, in Hz.
        speaker_width: Numbers of a speaker embedding.
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
    max_tokens: int = 1500
    frames_per_token: int = 2
    eos: int = 1024
    codebook_size: int = 1024
    reference_sample_rate: int = 32000
    ssl_sample_rate: int = 16000
    speaker_width: int = 20480


_FLOW_V3 = FlowSpec(
    mel_sample_rate=24000,
    mel_n_fft=1024,
    mel_hop=256,
    feature_rate=(15, 8),
    frames_per_token=3.875,
    steps=32,
    prompt_frames=468,
    window_frames=934,
    speech_frames=934,
    vocoder="bigvgan",
    vocoder_hop=256,
    vocoder_folder="models--nvidia--bigvgan_v2_24khz_100band_256x",
)
_FLOW_V4 = FlowSpec(
    mel_sample_rate=32000,
    mel_n_fft=1280,
    mel_hop=320,
    feature_rate=(2, 1),
    frames_per_token=4.0,
    steps=8,
    prompt_frames=500,
    window_frames=1000,
    speech_frames=1000,
    vocoder="hifigan",
    vocoder_hop=480,
    vocoder_folder="gsv-v4-pretrained",
)
_FLOW_V5_DEV = replace(
    _FLOW_V4,
    steps=32,
    guidance=1.3,
    noise_scale=0.875,
    step_size_embedding=False,
    speech_frames=640,
    prompt_tail=32,
    joins_sentences=False,
    vocoder_folder="gsv-v5-pretrained",
)
_FLOW_V5_TURBO = replace(_FLOW_V5_DEV, steps=4, guidance=0.0)
_V1 = ModelSpec(
    version="v1",
    symbols="v1",
    n_symbols=322,
    reference_bins=1025,
    decoder="hifigan",
    speaker_network=False,
    sample_rate=32000,
)
_V2 = replace(_V1, version="v2", symbols="v2", n_symbols=732, reference_bins=704)

MODEL_SPECS: dict[str, ModelSpec] = {
    row.version: row
    for row in (
        _V1,
        _V2,
        replace(_V2, version="v2Pro", speaker_network=True),
        replace(_V2, version="v2ProPlus", speaker_network=True, decoder_width=768),
        replace(_V2, version="v3", decoder="cfm", sample_rate=24000, flow=_FLOW_V3),
        replace(_V2, version="v4", decoder="cfm", sample_rate=48000, flow=_FLOW_V4),
        replace(_V2, version="v5dev", decoder="cfm", sample_rate=48000, flow=_FLOW_V5_DEV),
        replace(_V2, version="v5turbo", decoder="cfm", sample_rate=48000, flow=_FLOW_V5_TURBO),
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
