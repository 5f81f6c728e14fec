"""What an engine is asked for, what it takes on, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sovits_runtime.errors import BackendError, ShapeError, SovitsError, shown
from sovits_runtime.speech.reference import Reference
from sovits_runtime.speech.types import ChunkOptions, PhoneInput, Phrase, SpeechOptions
from sovits_runtime.t2s.limits import check_count, check_number

MAX_ROWS, MAX_QUEUE, MAX_PRIORITY = 64, 100_000, 100
LONGEST_DEADLINE_S = 86_400.0


class QueueFull(SovitsError):  # noqa: N818 - says what it found
    """As many requests wait as may; the caller should say so, or try again later."""


class UnknownVoice(SovitsError, LookupError):  # noqa: N818
    """No voice has that name."""


class DeadlinePassed(SovitsError):  # noqa: N818
    """A request's sound did not begin within the time that it gave."""


class JobCancelled(SovitsError):  # noqa: N818
    """The engine was closed before the request was spoken."""


class EngineClosed(BackendError):  # noqa: N818
    """The engine takes no more requests."""


@dataclass(frozen=True)
class EngineLimits:
    """How much an engine takes on.

    Attributes:
        rows: Requests that are spoken at once; each has caches of its own, which grow with its sentence.
        queue: Requests that may wait for their turn.
        memory_bytes: Of the weights of loaded voices; beyond it, those that nobody speaks with are closed, the one
            not used for longest first, and loaded again when asked for. None: no limit.

    Raises:
        ShapeError: A limit is out of range.
    """

    rows: int = 16
    queue: int = 256
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        check_count("rows", self.rows, 1, high=MAX_ROWS)
        check_count("queue", self.queue, 0, high=MAX_QUEUE)
        if self.memory_bytes is not None:
            check_count("memory_bytes", self.memory_bytes, 0, high=1 << 50, hint=", or None")


@dataclass(frozen=True, kw_only=True, eq=False)
class SpeechRequest:
    """One thing to say.

    Attributes:
        voice: Name, as given to `SpeechEngine.add_voice`.
        text: Phrases as `Synthesizer.stream` takes them; with `language`, a text or its parts as `stream_text` does.
            Read one by one, in a thread of the engine's: it may wait for what comes later.
        reference: The voice to clone.
        language: Of a text; None where `text` is phrases.
        options: How to speak.
        chunks: How to cut. None: each sentence comes whole, as from `Synthesizer.synthesize`, and is made again where
            it fails.
        priority: Whoever has one more goes before those who came up to five seconds earlier.
        deadline_s: Seconds within which the sound must begin, or the request fails; None: whenever.

    Raises:
        ShapeError: A field has the wrong type or is out of range.
    """

    voice: str
    text: str | Iterable[Phrase | PhoneInput | str]
    reference: Reference
    language: str | None = None
    options: SpeechOptions = field(default_factory=SpeechOptions)
    chunks: ChunkOptions | None = field(default_factory=ChunkOptions)
    priority: int = 0
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.text, str) and self.language is None:
            raise ShapeError(f"text: got {shown(self.text)} without a language; name it, or give phrases")
        if not isinstance(self.text, Iterable):
            raise ShapeError(f"text: got {shown(self.text)}, expected phrases, or a text with its language")
        for name, value, kind in (
            ("reference", self.reference, Reference),
            ("options", self.options, SpeechOptions),
            ("chunks", self.chunks, ChunkOptions | None),
        ):
            if not isinstance(value, kind):
                raise ShapeError(
                    f"{name}: got {type(value).__name__}, expected {getattr(kind, '__name__', kind)}"
                )
        check_count("priority", self.priority, -MAX_PRIORITY, high=MAX_PRIORITY)
        if self.deadline_s is not None:
            check_number("deadline_s", self.deadline_s, 0, high=LONGEST_DEADLINE_S, above=True)


@dataclass(frozen=True)
class JobTiming:
    """When things happened to a request, in seconds since it was submitted; None: not yet.

    Attributes:
        begun_s: Its first sentence got a place in a batch.
        first_sound_s: Its first chunk was there.
        ended_s: It was over.
        audio_s: Length of the sound made so far.
        tokens: Semantic tokens made so far.
        worst_gap_s: Longest time that a player would have had nothing to play, had it begun with the first chunk.
    """

    begun_s: float | None
    first_sound_s: float | None
    ended_s: float | None
    audio_s: float
    tokens: int
    worst_gap_s: float


@dataclass(frozen=True)
class EngineStats:
    """What an engine is doing, and has done since it began.

    Attributes:
        waiting: Requests that have not begun.
        running: Requests that have, and are not over.
        rows: Sentences whose tokens are being made now.
        submitted, finished, cancelled, failed, refused: Requests so far, by how they ended; `failed` has those whose
            deadline passed, `refused` those that found the queue full.
        tokens: Semantic tokens made.
        steps: Steps of batches that made them.
        prefills: Sentences begun.
        audio_s: Seconds of sound made.
        loaded: Names of the voices in memory, the latest used last.
        memory_bytes: Weights of those.
    """

    waiting: int
    running: int
    rows: int
    submitted: int
    finished: int
    cancelled: int
    failed: int
    refused: int
    tokens: int
    steps: int
    prefills: int
    audio_s: float
    loaded: tuple[str, ...]
    memory_bytes: int
