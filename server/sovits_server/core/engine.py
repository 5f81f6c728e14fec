"""What the server asks of an engine: a `SpeechRequest` in, a `SpeechJob` out, whoever makes the sound.

`core.threads.ThreadedEngine` is one, over `Synthesizer`; an engine that batches token steps has the same methods.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sovits_runtime import ChunkOptions, Phrase, Reference, SpeechOptions, Synthesizer


@dataclass(frozen=True)
class EngineLimits:
    """How much an engine takes on.

    Attributes:
        rows: Requests that are spoken at once.
        queue: Requests that may wait for their turn.
        memory_bytes: Of loaded voices; beyond it those not used for longest are closed. None: no limit.
    """

    rows: int = 2
    queue: int = 32
    memory_bytes: int | None = None


@dataclass(frozen=True, eq=False)
class SpeechRequest:
    """One thing to say.

    Attributes:
        voice: Name, as given to `Engine.add_voice`.
        phrases: Sentences in order; read one by one, when their turn comes, in a thread of the engine's.
        reference: Whom it sounds like.
        options: How to speak.
        chunks: How sentences are cut into chunks; None: each comes as a whole, and is made again where it fails.
        priority: Higher goes first.
        deadline_s: Seconds within which the sound must begin; None: whenever.
    """

    voice: str
    phrases: Iterable[Phrase]
    reference: Reference
    options: SpeechOptions = field(default_factory=SpeechOptions)
    chunks: ChunkOptions | None = None
    priority: int = 0
    deadline_s: float | None = None


@dataclass(frozen=True, eq=False)
class AudioChunk:
    """A piece of speech.

    Attributes:
        samples: float32 [n]; may be empty where a sentence ends.
        sample_rate: In Hz.
        sentence: Which of the phrases, counted from 0.
        last: Whether the sentence ends with it.
    """

    samples: NDArray[np.float32] = field(repr=False)
    sample_rate: int
    sentence: int
    last: bool


class SpeechJob(Protocol):
    """A request under way. Iterate it, or iterate it asynchronously, once."""

    def __iter__(self) -> Iterator[AudioChunk]:
        """Yields the chunks; raises what went wrong."""

    def __aiter__(self) -> AsyncIterator[AudioChunk]:
        """Yields the chunks without blocking the event loop."""

    def cancel(self) -> None:
        """Ends it at the next token; what is iterated ends. May be called from any thread, and more than once."""

    @property
    def done(self) -> bool:
        """Whether nothing of it is left at work."""


@dataclass(frozen=True)
class EngineStats:
    """What an engine is doing.

    Attributes:
        running: Requests being spoken.
        waiting: Requests in the queue.
        loaded: Names of voices in memory, latest use last.
        memory_bytes: What those take, as far as the engine counts it.
    """

    running: int
    waiting: int
    loaded: Sequence[str]
    memory_bytes: int


class Engine(Protocol):
    """Speaks requests of any of its voices at any time. Safe to use from several threads."""

    def add_voice(self, name: str, path: Path) -> None:
        """Names a bundle; it is loaded when first needed. A name that is there gets the new bundle."""

    def remove_voice(self, name: str) -> None:
        """Forgets a voice; what uses it goes on."""

    def voices(self) -> Mapping[str, Path]:
        """Name -> bundle."""

    def lease(self, name: str) -> AbstractContextManager[Synthesizer]:
        """The voice, loaded now where it is not, and kept until the context is left.

        Raises:
            NotThereError: No such voice.
            SovitsError: It cannot be loaded.
        """

    def submit(self, request: SpeechRequest) -> SpeechJob:
        """Takes a request.

        Raises:
            BusyError: The queue is full, or the engine is closing.
            NotThereError: No such voice.
        """

    def stats(self) -> EngineStats:
        """What it is doing."""

    def close(self, *, drain: bool = True) -> None:
        """Takes nothing more; waits for what is under way, or cancels it. Then closes the voices."""
