"""The sound of one request as it comes, with its pauses, and where each sentence is in it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sovits_runtime import Chunk, Phrase
from sovits_runtime.bundle.model_spec import ModelSpec
from sovits_runtime.errors import NothingToSay
from sovits_server.core.engine import Job
from sovits_server.problems import FailedError
from sovits_server.words import Part, Timeline

Floats = NDArray[np.float32]
NOTHING = "nothing to say: the text has no words, digits or letters that can be read"

OTHER_LANGUAGE = (
    "nothing to say: no word of the text can be read in the language {!r}; name the text's own, or auto"
)


@dataclass(frozen=True, eq=False)
class Piece:
    """Some of the sound.

    Attributes:
        samples: float32 [n].
        sentence: Which sentence it belongs to.
        last: Whether that sentence ends with it.
    """

    samples: Floats = field(repr=False)
    sentence: int
    last: bool


class Reader(Protocol):
    """What makes sentences of text."""

    def phrases(self, text: str, language: str) -> Iterator[Phrase]:
        """The sentences of a text."""


class Script:
    """The sentences of a request, read when their turn comes, and the pauses before and after them.

    Args:
        parts: Text and pauses.
        reader: Reads the text.
        language: Of the text.
        pause_s: Silence between sentences.
        tail: Whether it follows the last one too.
    """

    def __init__(
        self, parts: Sequence[Part], reader: Reader, *, language: str, pause_s: float, tail: bool
    ) -> None:
        self._parts = parts
        self._reader = reader
        self._language = language
        self._pause_s = pause_s
        self._tail = tail
        self.texts: list[str] = []
        self.before_s: list[float] = []
        self.after_s = 0.0

    def phrases(self) -> Iterator[Phrase]:
        """The sentences, in order.

        Raises:
            NothingToSay: There are none.
            TextError: The text cannot be read.
        """
        asked_s = 0.0
        for part in self._parts:
            if part.text:
                try:
                    for phrase in self._reader.phrases(part.text, self._language):
                        self.before_s.append(asked_s + (self._pause_s if self.texts else 0.0))
                        self.texts.append(phrase.text)
                        asked_s = 0.0
                        yield phrase
                except NothingToSay:  # a mark alone between two pauses
                    pass
            asked_s += part.pause_ms / 1000
        if not self.texts:
            foreign = any(char.isalpha() for part in self._parts for char in part.text)
            raise NothingToSay(OTHER_LANGUAGE.format(self._language) if foreign else NOTHING)
        self.after_s = asked_s + (self._pause_s if self._tail else 0.0)


@dataclass(frozen=True)
class Clock:
    """What is told while sound is made.

    Attributes:
        late: Called with the seconds that a piece came later than a player needed it.
        made: Called with the seconds of sound of each piece.
    """

    late: Callable[[float], None] = lambda seconds: None
    made: Callable[[float], None] = lambda seconds: None


class Utterance(ABC):
    """Sound under way. Iterate it once; close it, whatever happened.

    Attributes:
        sample_rate: In Hz; known once it has begun.
        timeline: Where each sentence is, as far as that is known.
        told: What to tell the client, by the headers that say it.
        ended: Whether all of it was made.
        held: What is given back at its end.
    """

    sample_rate: int
    timeline: Timeline
    told: Mapping[str, str]
    ended = False
    held: ExitStack

    @property
    @abstractmethod
    def tokens(self) -> int:
        """Semantic tokens of what was said so far."""

    @abstractmethod
    async def begin(self) -> None:
        """Waits for the first sound: most of what can go wrong does so before it.

        Raises:
            SovitsError: What went wrong.
        """

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Piece]:
        """Yields the sound as it is made."""

    @abstractmethod
    def close(self) -> None:
        """Ends it at the next token, where it is not over, and gives back what it held."""


class OwnUtterance(Utterance):
    """Sound that the engine of this process makes.

    Args:
        job: What makes it.
        script: Its sentences.
        sample_rate: In Hz.
        gain_db: How much louder it becomes.
        lease: Of the voice, given back at its end.
        clock: Who is told about time.
        told: What to tell the client, by the headers that say it; empty ones are left out.
    """

    def __init__(
        self,
        job: Job,
        script: Script,
        sample_rate: int,
        *,
        gain_db: float = 0.0,
        lease: ExitStack | None = None,
        clock: Clock | None = None,
        told: Mapping[str, str] | None = None,
    ) -> None:
        self.sample_rate = sample_rate
        self.timeline = Timeline(sample_rate)
        self.told = {name: text for name, text in (told or {}).items() if text}
        self._job = job
        self._script = script
        self._gain = np.float32(10 ** (gain_db / 20))
        self.held = ExitStack()
        self._lease = lease or ExitStack()
        self._clock = clock or Clock()
        self._chunks = aiter(job)
        self._first: Chunk | None = None
        self._speech_s = 0.0

    @property
    def tokens(self) -> int:
        """By the length of what was said."""
        return round(self._speech_s * ModelSpec.token_rate_hz)

    async def begin(self) -> None:
        """See `Utterance`."""
        self._first = await self._next()
        if self._first is None:
            raise FailedError("the voice made no sound")

    async def __aiter__(self) -> AsyncIterator[Piece]:
        begun, made_s, sentence, samples = 0.0, 0.0, -1, 0
        chunk = self._first or await self._next()
        while chunk is not None:
            now = time.perf_counter()
            begun = begun or now
            if made_s:
                self._clock.late(max(now - begun - made_s, 0.0))
            if chunk.sentence != sentence:
                sentence, samples = chunk.sentence, 0
                silence = self._silence(self._script.before_s[sentence])
                if len(silence):
                    self.timeline.pause(len(silence))
                    made_s += len(silence) / self.sample_rate
                    yield Piece(silence, max(sentence - 1, 0), last=False)
            samples += len(chunk.samples)
            seconds = len(chunk.samples) / self.sample_rate
            made_s += seconds
            self._speech_s += seconds
            self._clock.made(seconds)
            last = chunk.stop_reason is not None
            if last:
                self.timeline.add(self._script.texts[sentence], samples)
            yield Piece(self._louder(chunk.samples), sentence, last)
            chunk = await self._next()
        silence = self._silence(self._script.after_s)
        if len(silence):
            self.timeline.pause(len(silence))
            yield Piece(silence, max(sentence, 0), last=False)
        self.ended = True

    async def _next(self) -> Chunk | None:
        return await anext(self._chunks, None)

    def _silence(self, seconds: float) -> Floats:
        return np.zeros(round(seconds * self.sample_rate), np.float32)

    def _louder(self, samples: Floats) -> Floats:
        if self._gain == 1:
            return samples
        louder: Floats = np.clip(samples * self._gain, -1, 1)
        return louder

    def close(self) -> None:
        """See `Utterance`."""
        self._job.cancel()
        self._lease.close()
        self.held.pop_all().close()


def joined(pieces: Iterable[Floats]) -> Floats:
    """Samples in one array float32 [n]."""
    all_pieces = list(pieces)
    return np.concatenate(all_pieces) if all_pieces else np.zeros(0, np.float32)
