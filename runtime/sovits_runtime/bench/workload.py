"""The one utterance that every benchmark times: fixed lengths, made-up content, the same for every runner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import REFERENCE_RATE, hubert_wave
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.model_spec import FlowSpec, ModelSpec
from sovits_runtime.t2s.generator import seeded_noise

PROMPT_PHONES = 40
TARGET_PHONES = 60
PROMPT_TOKENS = 125
REFERENCE_S = 5.0
TOKENS = 150
TOKEN_RATE_HZ = 25
SEED = 7
NEVER_ENDS = 1 << 30
"""As `min_tokens`: the end-of-speech token cannot come, so the length is the same everywhere."""

_SSL_WIDTH = 768
STATE_CHANNELS = 192
_SPEAKER_WIDTH = 20480
_FRAMES_PER_TOKEN = ModelSpec.frames_per_token

Normal = Callable[..., NDArray[np.float32]]
"""Draws normal numbers of the shape given by its arguments, times `scale`."""


@dataclass(frozen=True, eq=False)
class FlowWorkload:
    """Inputs of flow matching.

    Attributes:
        reference_mel: float32 [100, frames], ln of magnitudes, of the 5 s reference.
        features: float32 [1, 512, T], prompt and speech of the first window.
        condition: float32 [rows, T, W]; two rows where the version leads its steps by guidance, else one.
        x: float32 [rows, 100, T].
        turn: float32 [2, T, 32], cosines and sines.
        prompt_mel: float32 [1, 100, T], zero after the prompt.
        prompt_len: Frames of the prompt.
        mel: float32 [1, 100, F], normed, of all the speech.
        steps: Euler steps of the version.
    """

    reference_mel: NDArray[np.float32] = field(repr=False)
    features: NDArray[np.float32] = field(repr=False)
    condition: NDArray[np.float32] = field(repr=False)
    x: NDArray[np.float32] = field(repr=False)
    turn: NDArray[np.float32] = field(repr=False)
    prompt_mel: NDArray[np.float32] = field(repr=False)
    prompt_len: int
    mel: NDArray[np.float32] = field(repr=False)
    steps: int


@dataclass(frozen=True, eq=False)
class Workload:
    """Inputs of all stages.

    Attributes:
        wave: float32 [n] at 32 kHz, the 5 s reference.
        wave_16k: float32 [m], the same as HuBERT reads it.
        ssl: float32 [1, 250, 768], stands for HuBERT's output.
        prompt_phones: int64 [40].
        phones: int64 [60].
        bert: float32 [100, 1024].
        prompt: int64 [125].
        tokens: int64 [n], what the decoder stages read.
        style: float32 [1, gin, 1], the global speaker embedding.
        state: float32 [1, 192, 2n].
        noise: float32 [1, C, 2n].
        z: float32 [1, C, 2n].
        speaker: float32 [1, 20480], read by versions that have a speaker network.
        vocab: Semantic tokens, the end of speech included.
        flow: Further inputs of versions with flow matching; else None.
    """

    wave: NDArray[np.float32] = field(repr=False)
    wave_16k: NDArray[np.float32] = field(repr=False)
    ssl: NDArray[np.float32] = field(repr=False)
    prompt_phones: NDArray[np.int64] = field(repr=False)
    phones: NDArray[np.int64] = field(repr=False)
    bert: NDArray[np.float32] = field(repr=False)
    prompt: NDArray[np.int64] = field(repr=False)
    tokens: NDArray[np.int64] = field(repr=False)
    style: NDArray[np.float32] = field(repr=False)
    state: NDArray[np.float32] = field(repr=False)
    noise: NDArray[np.float32] = field(repr=False)
    z: NDArray[np.float32] = field(repr=False)
    speaker: NDArray[np.float32] = field(repr=False)
    vocab: int
    flow: FlowWorkload | None = None

    @property
    def audio_s(self) -> float:
        """Seconds of speech that the tokens are."""
        return len(self.tokens) / TOKEN_RATE_HZ

    @property
    def all_phones(self) -> NDArray[np.int64]:
        """Phones of reference and target, int64 [100], as the GPT reads them."""
        return np.concatenate([self.prompt_phones, self.phones])

    def decoder_arrays(self) -> dict[str, Array]:
        """Returns the inputs of a decoder's stages, by the names of `SpeechDecoder.stages`."""
        names = ("tokens", "phones", "style", "state", "noise", "z")
        arrays: dict[str, Array] = {name: getattr(self, name) for name in names}
        if self.flow is None:
            return arrays
        return {
            **arrays,
            "window_features": self.flow.features,
            "condition": self.flow.condition,
            "x": self.flow.x,
            "turn": self.flow.turn,
            "moves": (np.arange(self.flow.x.shape[2]) >= self.flow.prompt_len).astype(np.float32)[None, None],
            "prompt_mel": self.flow.prompt_mel,
            "time": np.zeros(1, np.float32),
            "step_size": np.array([1 / self.flow.steps], np.float32),
            "prompt_len": np.array([self.flow.prompt_len], np.int64),
            "mel": self.flow.mel,
        }

    def token_noise(self) -> Callable[[int], NDArray[np.float32]]:
        """Returns a fresh source of the sampling noise, the same at every call."""
        return seeded_noise(np.random.default_rng(SEED), self.vocab)

    def describe(self) -> dict[str, float]:
        """Returns the lengths, for reports."""
        return {
            "prompt_phones": len(self.prompt_phones),
            "target_phones": len(self.phones),
            "prompt_tokens": len(self.prompt),
            "generated_tokens": len(self.tokens),
            "reference_s": len(self.wave) / REFERENCE_RATE,
            "audio_s": self.audio_s,
        }


def make_workload(
    *,
    tokens: int,
    style_width: int,
    channels: int,
    n_symbols: int,
    bert_width: int,
    vocab: int,
    flow: FlowSpec | None = None,
    condition_width: int | None = None,
) -> Workload:
    """Makes the inputs; the same arguments give the same numbers.

    Args:
        tokens: How many semantic tokens are generated and decoded.
        style_width: Channels of the global speaker embedding.
        channels: Channels of the decoder's latent.
        n_symbols: Rows of the phone table.
        bert_width: Width of the BERT features.
        vocab: Semantic tokens, the end of speech included.
        flow: Numbers of the version's flow matching, if it has one.
        condition_width: Numbers a frame of what its steps are told; None: as many as the features have.
    """
    rng = np.random.default_rng(SEED)

    def normal(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    wave = _voice_like(rng)
    frames = _FRAMES_PER_TOKEN * tokens
    return Workload(
        wave=wave,
        wave_16k=hubert_wave(wave, REFERENCE_RATE),
        ssl=normal(1, _FRAMES_PER_TOKEN * PROMPT_TOKENS, _SSL_WIDTH, scale=0.3),
        prompt_phones=rng.integers(0, n_symbols, PROMPT_PHONES),
        phones=rng.integers(0, n_symbols, TARGET_PHONES),
        bert=normal(PROMPT_PHONES + TARGET_PHONES, bert_width, scale=0.5),
        prompt=rng.integers(0, vocab - 1, PROMPT_TOKENS),
        tokens=rng.integers(0, vocab - 1, tokens),
        style=normal(1, style_width, 1, scale=0.1),
        state=normal(1, STATE_CHANNELS, frames),
        noise=normal(1, channels, frames),
        z=normal(1, channels, frames),
        speaker=normal(1, _SPEAKER_WIDTH, scale=0.2),
        vocab=vocab,
        flow=None
        if flow is None
        else _flow_workload(flow, frames, normal, condition_width or flow.feature_width),
    )


def _flow_workload(flow: FlowSpec, frames: int, normal: Normal, condition_width: int) -> FlowWorkload:
    up, down = flow.feature_rate
    speech = frames * up // down
    reference_frames = int(REFERENCE_S * flow.mel_sample_rate) // flow.mel_hop
    prompt_len = min(flow.prompt_frames, reference_frames, _FRAMES_PER_TOKEN * PROMPT_TOKENS * up // down)
    window = prompt_len + min(flow.window_speech(prompt_len), speech)
    rows = 2 if flow.guidance else 1
    prompt_mel = np.zeros((1, flow.mel_bands, window), np.float32)
    prompt_mel[:, :, :prompt_len] = normal(1, flow.mel_bands, prompt_len, scale=0.4)
    angles = np.arange(window, dtype=np.float32)[:, None] * 10000 ** (-np.arange(32, dtype=np.float32) / 32)
    return FlowWorkload(
        reference_mel=normal(flow.mel_bands, reference_frames, scale=2.0) - np.float32(5),
        features=normal(1, flow.feature_width, window),
        condition=normal(rows, window, condition_width),
        x=normal(rows, flow.mel_bands, window),
        turn=np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32),
        prompt_mel=prompt_mel,
        prompt_len=prompt_len,
        mel=normal(1, flow.mel_bands, speech, scale=0.4),
        steps=flow.steps,
    )


def _voice_like(rng: np.random.Generator) -> NDArray[np.float32]:
    seconds = np.arange(int(REFERENCE_S * REFERENCE_RATE)) / REFERENCE_RATE
    phase = 2 * np.pi * np.cumsum(150 + 30 * np.sin(2 * np.pi * 1.1 * seconds)) / REFERENCE_RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    wave = 0.1 * tone + 0.003 * rng.standard_normal(len(seconds))
    return np.asarray(wave, np.float32)
