"""Semantic tokens to waveform in one pass, by HiFi-GAN (v1 to v2ProPlus): whole sentences, several in one go, chunks.

Source: GPT-SoVITS, module/models.py, SynthesizerTrn.decode and decode_streaming.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.bundle.names import SOVITS_ENCODER, SOVITS_FLOW, SOVITS_VOCODER
from sovits_runtime.speech.decoder import (
    FRAMES_PER_TOKEN,
    GraphOpener,
    Stage,
    frame_count,
)
from sovits_runtime.speech.hifigan_graphs import HifiganGraphs
from sovits_runtime.speech.hifigan_stream import HifiganStream
from sovits_runtime.speech.noise import NormalNoise
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import (
    DEFAULT_NOISE_SCALE,
    ChunkOptions,
    Floats,
    SpeechOptions,
    TokenSequence,
)


class HifiganDecoder(HifiganGraphs):
    """The decoder of v1 to v2ProPlus; see `SpeechDecoder`."""

    waveform_tolerance: ClassVar[float] = 1e-4

    @classmethod
    def open(cls, graph: GraphOpener, spec: ModelSpec) -> HifiganDecoder:
        """Opens the graphs of a bundle."""
        return cls(graph(SOVITS_ENCODER), graph(SOVITS_FLOW), graph(SOVITS_VOCODER))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Encoder, prior and flow, vocoder."""
        return (
            Stage(
                SOVITS_ENCODER,
                ("state",),
                lambda a: {"state": self.encode(a["tokens"], a["phones"], a["style"])},
            ),
            Stage(SOVITS_FLOW, ("z",), lambda a: {"z": self.latent(a["state"], a["style"], a["noise"])}),
            Stage(SOVITS_VOCODER, ("waveform",), lambda a: {"waveform": self.vocode(a["z"], a["style"])}),
        )

    def noise_shape(self, tokens: int, speed: float) -> tuple[int, int, int]:
        """Returns the shape [1, C, F] of the prior's noise for `tokens` tokens."""
        return 1, self.latent_channels, frame_count(FRAMES_PER_TOKEN * tokens, speed)

    def speak(
        self, utterance: TokenSequence, reference: Reference, *, options: SpeechOptions, noise: NormalNoise
    ) -> Floats:
        """Decodes one utterance; see `SpeechDecoder.speak`.

        Raises:
            ShapeError: The speed is out of range.
        """
        return self.decode(
            utterance.tokens,
            utterance.phones,
            style=reference.style,
            noise=noise(self.noise_shape(len(utterance.tokens), options.speed)),
            noise_scale=options.noise_scale,
        )

    def speak_joined(
        self,
        utterances: Sequence[TokenSequence],
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
        whole = TokenSequence(
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
            style: float32 [1, gin, 1], the global speaker embedding.
            noise: float32 [1, C, F]; F sets the speed, see `frame_count`.
            noise_scale: Scale of the noise.

        Returns:
            Samples float32 [hop * F].

        Raises:
            ShapeError: Wrong shapes, or no tokens or phones.
        """
        state = self.encode(tokens, phones, style)
        return self.vocode(self.latent(state, style, noise, noise_scale), style)

    def token_needs(self, chunks: ChunkOptions) -> Iterator[int]:
        """A chunk takes its tokens and the look-ahead; see `SpeechDecoder.token_needs`."""
        return (end + chunks.lookahead_tokens for end in chunks.ends())

    def stream(
        self,
        tokens: Iterable[int],
        phones: NDArray[np.int64],
        *,
        reference: Reference,
        options: SpeechOptions,
        chunks: ChunkOptions,
        noise: NormalNoise,
    ) -> Iterator[Floats]:
        """Decodes while tokens come in; see `SpeechDecoder.stream`. One empty chunk at most, the last.

        Noise is sampled for one stretch of frames after the other.
        """
        stream = HifiganStream(self, phones, reference.style, options=options, chunks=chunks, noise=noise)
        yield from stream.run(tokens)
