"""Types of a request and its result: options, phrases, tokens, spoken sentences, chunks."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sovits_runtime.audio import Audio
from sovits_runtime.bundle.model_spec import MODEL_SPECS, ModelSpec
from sovits_runtime.errors import ShapeError
from sovits_runtime.t2s.generator import MAX_NEW_TOKENS, StopReason
from sovits_runtime.t2s.limits import check_count, check_number
from sovits_runtime.t2s.sampling import SamplingOptions

Floats = NDArray[np.float32]
PhoneInput = Sequence[str] | NDArray[np.int64]

DEFAULT_NOISE_SCALE = 0.5
MAX_FLOW_STEPS = 1000
MAX_GUIDANCE = 2.0
RANDOM_SEED = -1
MAX_SEED = 2**64 - 1
SLOWEST, FASTEST = 0.1, 10.0
MAX_NOISE_SCALE = 10.0
MAX_PAUSE_S = 60.0
MAX_RETRIES = 100
MAX_CHUNK_TOKENS = 1_000_000
MAX_GROWTH = 1000.0


@dataclass(frozen=True)
class SpeechOptions:
    """How to speak.

    Attributes:
        sampling: How tokens are sampled.
        seed: Same seed, same speech, bit for bit on one machine. -1: another one for every request, which the result
            names.
        speed: 0.1 to 10; above 1 is faster.
        noise_scale: Liveliness of the decoder of v1 to v2ProPlus.
        pause_s: Silence after each sentence, in seconds.
        max_tokens: Limit of one sentence (25 tokens are one second), 1500 at most. Reaching a limit that was given ends
            the sentence there; without one, a sentence that does not end by itself is generated again.
        retries: How often a failed sentence is generated again with another seed: one that is empty, far too short for
            its phones, without an end, or all but silent.
        flow_steps: Euler steps of v3 to v5: more are slower and finer; None: what the version is made for.
        guidance: 0 to 2, of v5: how far each of these steps is led towards the sound of the reference; above 0 a step
            costs twice as much; None: what the version is made for.

    Raises:
        ShapeError: A value is out of range.
    """

    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    seed: int = 0
    speed: float = 1.0
    noise_scale: float = DEFAULT_NOISE_SCALE
    pause_s: float = 0.3
    max_tokens: int | None = None
    retries: int = 2
    flow_steps: int | None = None
    guidance: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.sampling, SamplingOptions):
            raise ShapeError(f"sampling: got {type(self.sampling).__name__}, expected SamplingOptions")
        check_count("seed", self.seed, RANDOM_SEED, high=MAX_SEED, hint=" (-1 is another one every time)")
        check_number("speed", self.speed, SLOWEST, high=FASTEST)
        check_number("noise_scale", self.noise_scale, 0, high=MAX_NOISE_SCALE)
        check_number("pause_s", self.pause_s, 0, high=MAX_PAUSE_S)
        if self.max_tokens is not None:
            check_count("max_tokens", self.max_tokens, 1, high=MAX_NEW_TOKENS, hint=", or None")
        check_count("retries", self.retries, 0, high=MAX_RETRIES)
        if self.flow_steps is not None:
            hint = ", or None for the version's own"
            check_count("flow_steps", self.flow_steps, 1, high=MAX_FLOW_STEPS, hint=hint)
        if self.guidance is not None:
            check_number("guidance", self.guidance, 0, high=MAX_GUIDANCE)

    def check_version(self, spec: ModelSpec) -> None:
        """Checks that a version takes what is asked.

        Raises:
            ShapeError: Flow steps are asked of a version without flow matching, or guidance of one that was not trained
                for it.
        """
        if self.flow_steps is not None and spec.flow is None:
            raise _unknown_to(spec, "flow_steps", self.flow_steps, [m.version for m in flow_versions()])
        if self.guidance is not None and (spec.flow is None or spec.flow.guidance is None):
            takers = [m.version for m in flow_versions() if m.flow and m.flow.guidance is not None]
            raise _unknown_to(spec, "guidance", self.guidance, takers)

    def with_seed(self) -> SpeechOptions:
        """These options, with a seed drawn by chance where none is given (-1)."""
        return self if self.seed != RANDOM_SEED else replace(self, seed=secrets.randbelow(2**32))


def flow_versions() -> list[ModelSpec]:
    """The versions with flow matching."""
    return [spec for spec in MODEL_SPECS.values() if spec.flow is not None]


def _unknown_to(spec: ModelSpec, name: str, asked: float, takers: Sequence[str]) -> ShapeError:
    return ShapeError(
        f"{name}: got {asked:g}, but only {', '.join(takers[:-1])} and {takers[-1]} take it and this voice is "
        f"{spec.version}; leave it out"
    )


@dataclass(frozen=True)
class ChunkOptions:
    """How a sentence is cut into chunks while it is being made. 25 tokens are one second at speed 1.

    Attributes:
        first_tokens: Length of the first chunk; smaller sounds sooner.
        growth: From the third on, each chunk is this much longer than the one before; above 1 / RTF a player can run
            dry. The second is as long as the first, of which the decoder keeps back what the next tokens may change.
        most_tokens: Longest chunk.
        lookahead_tokens: How many tokens beyond the end of a chunk are made before it is decoded: the later it
            sounds, the closer to the sentence decoded as a whole.
        history_tokens: How many tokens before a chunk the encoder reads again; bounds the cost of a chunk.

    Raises:
        ShapeError: A length is not positive, the look-ahead is negative, or chunks would shrink.
    """

    first_tokens: int = 18
    growth: float = 1.25
    most_tokens: int = 50
    lookahead_tokens: int = 6
    history_tokens: int = 100

    def __post_init__(self) -> None:
        for name in ("first_tokens", "most_tokens", "history_tokens"):
            check_count(name, getattr(self, name), 1, high=MAX_CHUNK_TOKENS)
        check_count("lookahead_tokens", self.lookahead_tokens, 0, high=MAX_CHUNK_TOKENS)
        check_number("growth", self.growth, 1, high=MAX_GROWTH)

    def ends(self) -> Iterator[int]:
        """Yields the token counts at which chunks end, without end."""
        end, length = self.first_tokens, float(self.first_tokens)
        yield end
        while True:
            end += int(length)
            yield end
            length = max(min(length * self.growth, self.most_tokens), self.first_tokens)


@dataclass(frozen=True, eq=False)
class Phrase:
    """One sentence to speak, or the transcript of a recording.

    Attributes:
        phones: Symbols, or ids int64 [T].
        bert: float32 [T, 1024] of a Chinese sentence; None: zeros.
        text: What was read, where it was read from text.
        notes: What the text front end dropped or did differently.
    """

    phones: PhoneInput
    bert: NDArray[np.float32] | None = None
    text: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TokenSequence:
    """Semantic tokens of one sentence, ready to be decoded.

    Attributes:
        tokens: int64 [n].
        phones: int64 [T], of the sentence.
        stop_reason: "eos", or "max_tokens" when the given limit cut it.
        attempts: 1, or more when generation had to be repeated.
        generate_s: Seconds spent on tokens.
        seed: That they were sampled with; None where that is unknown.
    """

    tokens: NDArray[np.int64]
    phones: NDArray[np.int64]
    stop_reason: StopReason = "eos"
    attempts: int = 1
    generate_s: float = 0.0
    seed: int | None = None


@dataclass(frozen=True, eq=False)
class AudioSentence(Audio):
    """One spoken sentence, with how it was made.

    Attributes:
        tokens: int64 [n], its semantic tokens.
        stop_reason: "eos", or "max_tokens" when the given limit cut it.
        attempts: 1, or more when generation had to be repeated.
        generate_s: Seconds spent on tokens.
        decode_s: Seconds spent on the waveform; of sentences that were decoded in one go, an equal share.
        seed: That its tokens were sampled with; None where that is unknown.
    """

    tokens: NDArray[np.int64] = field(repr=False)
    stop_reason: StopReason
    attempts: int
    generate_s: float
    decode_s: float
    seed: int | None = None


@dataclass(frozen=True, eq=False)
class Chunk(Audio):
    """A piece of a sentence, given out while the rest is being made.

    Attributes:
        sentence: Which sentence, counted from 0.
        stop_reason: Of the sentence, when this is its last chunk; None before. "max_tokens" without a limit that was
            given: the model did not end by itself.
    """

    sentence: int
    stop_reason: StopReason | None = None
