"""What a scheduler knows of requests and their sentences: numbers and states, and nothing of graphs or threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from sovits_runtime.engine.types import JobTiming
from sovits_runtime.speech.types import Chunk
from sovits_runtime.t2s.generator import StopReason

FIRST_SOUND_S = 0.5
"""A first chunk is due this long after its request came; a later one when a player would have nothing left."""
PRIORITY_S = 5.0
"""How much earlier everything of a request is due for one more of priority."""


class Phase(Enum):
    """Where a sentence is."""

    WAITING = "waiting"  # for a place in a batch
    PREFILL = "prefill"  # its first token is being made
    STEPPING = "stepping"  # it is a row of a batch
    SPOKEN = "spoken"  # all tokens are there, sound is left to make
    OVER = "over"


class Content(Protocol):
    """What a device has of a sentence, as far as a scheduler asks for it.

    Attributes:
        phone_count: How many phones it has, for messages.
    """

    phone_count: int

    def problem_of_tokens(self, sentence: Sentence) -> str:
        """Why another attempt must be made of tokens that are all there, or nothing."""

    def end_tokens(self) -> None:
        """Frees what tokens are made with; a second call does nothing."""

    def free(self) -> None:
        """Frees all of the attempt; a second call does nothing."""


@dataclass(frozen=True)
class Piece:
    """What one piece of sound came to.

    Attributes:
        chunks: To be given out, maybe none.
        over: Whether the sentence is over with them.
        problem: Why the sentence must be made again; without chunks then.
    """

    chunks: tuple[Chunk, ...]
    over: bool
    problem: str = ""


@dataclass(eq=False)
class Job:
    """One request.

    Attributes:
        number: In the order in which they came.
        batch: Whose batch its rows are in: a number of its voice, known once there is a sentence.
        came: When, on the scheduler's clock.
        priority: See `SpeechRequest`.
        deadline: Until when its sound must have begun, on the same clock.
        deliver: Called with each chunk.
        over: Called once, with what went wrong or None.
        sentences: Those that are not over, in order.
        text_ended: Whether no more come.
        begun: When the first got a place.
        first_sound: When the first chunk was there.
        given_s: Sound made, in seconds.
        unread_s: Of it, what nobody has taken yet.
        worst_gap_s: See `JobTiming`.
        tokens: Made so far.
        ended: When it was over.
        error: What ended it, if anything.
        cancelled: Whether it was told to end.
    """

    number: int
    came: float
    deliver: Callable[[Chunk], None]
    over: Callable[[BaseException | None], None]
    batch: int = 0
    priority: int = 0
    deadline: float | None = None
    sentences: list[Sentence] = field(default_factory=list)
    text_ended: bool = False
    begun: float | None = None
    first_sound: float | None = None
    given_s: float = 0.0
    unread_s: float = 0.0
    worst_gap_s: float = 0.0
    tokens: int = 0
    ended: float | None = None
    error: BaseException | None = None
    cancelled: bool = False

    @property
    def due(self) -> float:
        """When its next sound is due: the earlier, the sooner it is served."""
        first = self.came + FIRST_SOUND_S
        wanted = first if self.first_sound is None else self.first_sound + self.given_s
        return wanted - PRIORITY_S * self.priority

    @property
    def at_work(self) -> bool:
        """Whether a sentence of it has a place and is not over."""
        return any(s.phase is not Phase.WAITING for s in self.sentences)

    @property
    def busy(self) -> bool:
        """Whether something runs for it right now, and must end before it can be freed."""
        return any(s.claimed or s.sounding for s in self.sentences)

    def timing(self) -> JobTiming:
        """When things happened, as its caller sees it."""

        def since(moment: float | None) -> float | None:
            return None if moment is None else moment - self.came

        return JobTiming(
            since(self.begun),
            since(self.first_sound),
            since(self.ended),
            audio_s=self.given_s,
            tokens=self.tokens,
            worst_gap_s=self.worst_gap_s,
        )

    def sound(self, chunk: Chunk, now: float) -> None:
        """Counts a chunk that was made now, and delivers it."""
        if self.first_sound is None:
            self.first_sound = now
        self.worst_gap_s = max(self.worst_gap_s, now - self.first_sound - self.given_s)
        self.given_s += chunk.duration_s
        self.unread_s += chunk.duration_s
        self.deliver(chunk)


@dataclass(eq=False)
class Sentence:
    """One sentence of a request.

    Attributes:
        job: Its request.
        index: Which sentence, counted from 0.
        content: What the device has of it.
        needs: How many tokens each piece of sound takes that can be made before the end; made anew for an attempt.
        most_tokens: Its limit.
        attempts: How many may be made.
        phase: Where it is.
        attempt: Number of the present one.
        tokens: Of the attempt, so far.
        stop_reason: Why they ended.
        need: Tokens that the next piece of sound takes; None: the whole sentence.
        claimed: Whether a prefill or a step of it runs now.
        sounding: Whether a piece of its sound is being made now.
    """

    job: Job
    index: int
    content: Content
    needs: Callable[[], Iterator[int]]
    most_tokens: int
    attempts: int = 1
    phase: Phase = Phase.WAITING
    attempt: int = 1
    tokens: list[int] = field(default_factory=list)
    stop_reason: StopReason | None = None
    need: int | None = None
    claimed: bool = False
    sounding: bool = False

    @property
    def count(self) -> int:
        """How many tokens there are; with `stop_reason` what verdicts ask of a `TokenStream`."""
        return len(self.tokens)

    def start(self) -> None:
        """Begins the present attempt."""
        self.phase, self.tokens, self.stop_reason = Phase.PREFILL, [], None
        self._needs = self.needs()
        self.need = next(self._needs, None)

    def take(self, token: int, *, stop: bool) -> None:
        """Takes a token that was made, by the rules of `t2s.generator.tokens_until`."""
        if stop:
            self.stop_reason = "eos"
        else:
            self.tokens.append(token)
            self.stop_reason = "max_tokens" if self.count >= self.most_tokens else None
        self.phase = Phase.STEPPING if self.stop_reason is None else Phase.SPOKEN

    def sounded(self) -> None:
        """A piece of sound was made."""
        self.need = next(self._needs, None)

    @property
    def sound_ready(self) -> bool:
        """Whether the next piece of sound can be made."""
        if self.sounding or self.phase not in (Phase.STEPPING, Phase.SPOKEN):
            return False
        return self.phase is Phase.SPOKEN or (self.need is not None and self.count >= self.need)
