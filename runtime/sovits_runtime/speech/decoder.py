"""Semantic tokens to waveform: what every decoder does, and the HiFi-GAN one: encoder, prior and flow, vocoder.

Source: GPT-SoVITS, module/models.py, SynthesizerTrn.decode and decode_streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.bundle.session import Session
from sovits_runtime.errors import ShapeError
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import (
    DEFAULT_NOISE_SCALE,
    Floats,
    NormalNoise,
    SpeechOptions,
    Utterance,
)

FRAMES_PER_TOKEN = 2

GraphOpener = Callable[[str], Session]
"""Opens the graph of a name."""


class SpeechDecoder(Protocol):
    """What speaks semantic tokens. Safe to use from several threads.

    Attributes:
        encoder: The graph `sovits_encoder`.
    """

    encoder: Session

    def speak(
        self, utterance: Utterance, reference: Reference, *, options: SpeechOptions, noise: NormalNoise
    ) -> Floats:
        """Returns the samples float32 [n] of one utterance."""

    def speak_joined(
        self,
        utterances: Sequence[Utterance],
        reference: Reference,
        *,
        options: SpeechOptions,
        noise: NormalNoise,
    ) -> list[Floats]:
        """Returns the samples of every utterance, decoded in one go where the options allow it."""


def frame_count(state_frames: int, speed: float) -> int:
    """Returns how many latent frames `state_frames` frames become at a speech speed (above 1 is faster).

    Raises:
        ShapeError: The speed is not between 0.1 and 10.
    """
    if not 0.1 <= speed <= 10:
        raise ShapeError(f"speed: got {speed}, expected 0.1 to 10 (1 is as spoken, 2 is twice as fast)")
    return state_frames if speed == 1 else int(state_frames / speed) + 1


def resampled(state: Floats, positions: NDArray[np.floating[Any]]) -> Floats:
    """Linear interpolation of state [1, C, N] at fractional frames [F], clamped to its ends: float32 [1, C, F]."""
    last = state.shape[2] - 1
    positions = np.clip(positions, 0, last)
    left = np.floor(positions).astype(np.int64)
    weight = (positions - left).astype(np.float32)
    result: Floats = state[:, :, left] * (1 - weight) + state[:, :, np.minimum(left + 1, last)] * weight
    return result


def crossfade_state(state: Floats, previous: Floats) -> Floats:
    """Fades the tail of the previous chunk's state into the start of this one, as the original streams.

    The two weights are sines whose sum is not 1; that is the original's rule.

    Args:
        state: float32 [1, C, N].
        previous: float32 [1, C, o], o <= N.

    Returns:
        float32 [1, C, N].
    """
    o = previous.shape[2]
    if o > state.shape[2]:
        raise ShapeError(f"overlap of {o} frames is longer than the chunk of {state.shape[2]} frames")
    window = (
        np.sin(np.arange(2 * o, dtype=np.float32) * np.float32(np.pi / (2 * o)))
        if o
        else np.zeros(0, np.float32)
    )
    result = state.copy()
    result[:, :, :o] = state[:, :, :o] * window[:o] + previous * window[o:]
    return result


def encode_tokens(
    encoder: Session, tokens: NDArray[np.int64], phones: NDArray[np.int64], style: Floats
) -> Floats:
    """Runs the graph `sovits_encoder`.

    Args:
        encoder: The graph.
        tokens: int64 [n].
        phones: int64 [T], of the sentence that the tokens say.
        style: float32 [1, gin, 1].

    Returns:
        The state before speed, float32 [1, 192, 2n].
    """
    feeds: dict[str, Array] = {"tokens": tokens[None], "phones": phones[None], "style": style}
    return encoder.run(feeds)["state"]


def _channels(graph: Session, tensor: str) -> int:
    channels = graph.spec.tensor(tensor).shape[1]
    if isinstance(channels, str):
        raise ShapeError(f"graph {graph.spec.name}: the channels of {tensor!r} must be a fixed size")
    return channels


class SemanticDecoder:
    """The three graphs behind the GPT of v1 to v2ProPlus, each callable alone; see `SpeechDecoder`."""

    def __init__(self, encoder: Session, flow: Session, vocoder: Session) -> None:
        self.encoder = encoder
        self.flow = flow
        self.vocoder = vocoder
        self.state_channels, self.latent_channels = _channels(flow, "state"), _channels(flow, "noise")

    @classmethod
    def open(cls, graph: GraphOpener, spec: ModelSpec) -> SemanticDecoder:
        """Opens the graphs of a bundle."""
        return cls(graph("sovits_encoder"), graph("sovits_flow"), graph("sovits_vocoder"))

    def encode(self, tokens: NDArray[np.int64], phones: NDArray[np.int64], style: Floats) -> Floats:
        """See `encode_tokens`."""
        return encode_tokens(self.encoder, tokens, phones, style)

    def latent(
        self, state: Floats, style: Floats, noise: Floats, noise_scale: float = DEFAULT_NOISE_SCALE
    ) -> Floats:
        """State [1, 192, N] and normal noise [1, C, F] to the vocoder's latent float32 [1, C, F]."""
        feeds: dict[str, Floats] = {
            "state": state,
            "style": style,
            "noise": noise,
            "noise_scale": np.array([noise_scale], np.float32),
        }
        return self.flow.run(feeds)["z"]

    def vocode(self, z: Floats, style: Floats) -> Floats:
        """Latent [1, C, F] to samples float32 [hop * F], in [-1, 1]."""
        samples: Floats = self.vocoder.run({"z": z, "style": style})["waveform"][0]
        return samples

    def noise_shape(self, tokens: int, speed: float) -> tuple[int, int, int]:
        """Returns the shape [1, C, F] of the prior's noise for `tokens` tokens."""
        return 1, self.latent_channels, frame_count(FRAMES_PER_TOKEN * tokens, speed)

    def speak(
        self, utterance: Utterance, reference: Reference, *, options: SpeechOptions, noise: NormalNoise
    ) -> Floats:
        """See `SpeechDecoder.speak`.

        Raises:
            ShapeError: The speed is out of range, or flow steps are asked for.
        """
        if options.flow_steps is not None:
            raise ShapeError(
                f"flow_steps: got {options.flow_steps}, but only v3 and v4 take such steps and this voice is another "
                "version; leave it out"
            )
        return self.decode(
            utterance.tokens,
            utterance.phones,
            style=reference.style,
            noise=noise(self.noise_shape(len(utterance.tokens), options.speed)),
            noise_scale=options.noise_scale,
        )

    def speak_joined(
        self,
        utterances: Sequence[Utterance],
        reference: Reference,
        *,
        options: SpeechOptions,
        noise: NormalNoise,
    ) -> list[Floats]:
        """Decodes tokens and phones end to end and cuts the waveform; at another speed than 1 one by one.

        Source: GPT-SoVITS, TTS_infer_pack/TTS.py, TTS.run.
        """
        if options.speed != 1:
            return [self.speak(u, reference, options=options, noise=noise) for u in utterances]
        whole = Utterance(
            np.concatenate([u.tokens for u in utterances]), np.concatenate([u.phones for u in utterances])
        )
        samples = self.speak(whole, reference, options=options, noise=noise)
        per_token = len(samples) // len(whole.tokens)
        ends = np.cumsum([per_token * len(u.tokens) for u in utterances])
        return np.split(samples, ends[:-1])

    def decode(
        self,
        tokens: NDArray[np.int64],
        phones: NDArray[np.int64],
        *,
        style: Floats,
        noise: Floats,
        noise_scale: float = DEFAULT_NOISE_SCALE,
    ) -> Floats:
        """Whole sentence at once.

        Args:
            tokens: int64 [n].
            phones: int64 [T], of the target alone.
            style: float32 [1, gin, 1].
            noise: float32 [1, C, F]; F sets the speed, see `frame_count`.
            noise_scale: Scale of the noise.

        Returns:
            Samples float32 [hop * F].

        Raises:
            ShapeError: Wrong shapes, or no tokens or phones.
        """
        state = self.encode(tokens, phones, style)
        return self.vocode(self.latent(state, style, noise, noise_scale), style)
