"""The interface of a decoder, from semantic tokens to waveform, and the arithmetic of frames that decoders share.

A decoder declares its graphs once, as `Stage`s: verification feeds them recorded arrays, the benchmark made-up ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.bundle.session import Session
from sovits_runtime.speech.noise import NormalNoise
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import (
    FASTEST,
    SLOWEST,
    ChunkOptions,
    Floats,
    SpeechOptions,
    TokenSequence,
)
from sovits_runtime.t2s.limits import check_number

FRAMES_PER_TOKEN = ModelSpec.frames_per_token

GraphOpener = Callable[[str], Session]
"""Opens the graph of a name."""

Arrays = Mapping[str, Array]
"""Arrays by the names that stages know them by."""


@dataclass(frozen=True)
class Stage:
    """One graph of a decoder.

    Attributes:
        name: Of the graph.
        outputs: Names of what it gives; the last one is what the next stage reads.
        run: Runs it on the arrays that it needs, which may lie among others, and returns its outputs.
        calls: Takes the arrays of a recorded sentence apart: what the stage was called, what it was fed and what it
            gave, for each time that it ran. Unless given, it ran once.
    """

    name: str
    outputs: tuple[str, ...]
    run: Callable[[Arrays], Arrays]
    calls: Callable[[Arrays], Iterator[tuple[str, Arrays]]] | None = None

    def output(self, arrays: Arrays) -> Array:
        """Runs it and returns what the next stage reads."""
        return self.run(arrays)[self.outputs[-1]]

    def recorded_calls(self, recording: Arrays) -> Iterator[tuple[str, Arrays]]:
        """Yields name and arrays, inputs and outputs, of each time that the stage ran in a recording."""
        yield from self.calls(recording) if self.calls else ((self.name, recording),)


class SpeechDecoder(Protocol):
    """Makes a waveform of semantic tokens. Safe to use from several threads.

    Attributes:
        waveform_tolerance: How far a sample of FP32 speech may be from PyTorch's.
        encoder: The graph `sovits_encoder`.
    """

    waveform_tolerance: ClassVar[float]
    encoder: Session

    @classmethod
    def open(cls, graph: GraphOpener, spec: ModelSpec) -> SpeechDecoder:
        """Opens the graphs of a bundle."""

    @property
    def latent_channels(self) -> int:
        """Channels of the latent behind the encoder; of a decoder without one, those of the encoder's state."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The graphs, in the order in which a sentence goes through them.

        They read arrays of these names: `tokens`, `phones`, `style` and `noise` of a sentence, and what stages before
        them give.
        """

    def speak(
        self, utterance: TokenSequence, reference: Reference, *, options: SpeechOptions, noise: NormalNoise
    ) -> Floats:
        """Returns the samples float32 [n] of one utterance."""

    def speak_joined(
        self,
        utterances: Sequence[TokenSequence],
        reference: Reference,
        *,
        options: SpeechOptions,
        noise: NormalNoise,
    ) -> list[Floats]:
        """Returns the samples of every utterance, decoded in one go where the options allow it."""

    def token_needs(self, chunks: ChunkOptions) -> Iterator[int]:
        """Yields, for each piece of `stream` that can be made before the sentence's end, how many tokens it takes.

        None at all where the decoder needs the whole sentence first.
        """

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
        """Yields the samples float32 [n] of one sentence piece by piece; a piece may be empty.

        Args:
            tokens: Semantic tokens of the sentence, as they are made.
            phones: int64 [T], of the sentence.
            options: How to speak.
            chunks: How to cut, where tokens are decoded as they come in.
            noise: Source of the normal noise.

        Raises:
            BundleError: The bundle was built by a release that did not speak in chunks.
        """


def frame_count(state_frames: int, speed: float) -> int:
    """Returns how many latent frames `state_frames` frames become at a speech speed (above 1 is faster).

    Raises:
        ShapeError: The speed is not between 0.1 and 10.
    """
    check_number("speed", speed, SLOWEST, high=FASTEST)
    return state_frames if speed == 1 else int(state_frames / speed) + 1


def resampled(state: Floats, positions: NDArray[np.floating[Any]]) -> Floats:
    """Linear interpolation of state [1, C, N] at fractional frames [F], clamped to its ends: float32 [1, C, F]."""
    last = state.shape[2] - 1
    positions = np.clip(positions, 0, last)
    left = np.floor(positions).astype(np.int64)
    weight = (positions - left).astype(np.float32)
    result: Floats = state[:, :, left] * (1 - weight) + state[:, :, np.minimum(left + 1, last)] * weight
    return result


def encode_tokens(
    encoder: Session, tokens: NDArray[np.int64], phones: NDArray[np.int64], style: Floats
) -> Floats:
    """Runs the graph `sovits_encoder`.

    Args:
        tokens: int64 [n].
        phones: int64 [T], of the sentence that the tokens say.
        style: float32 [1, gin, 1], the global speaker embedding.

    Returns:
        The state before speed, float32 [1, 192, 2n].
    """
    feeds: dict[str, Array] = {"tokens": tokens[None], "phones": phones[None], "style": style}
    return encoder.run(feeds)["state"]
