"""Who is served next: a state machine in plain Python, without threads, graphs or a clock of its own.

    a sentence:  WAITING --prefill--> STEPPING --its last token--> SPOKEN --its last sound--> OVER
                    ^                     |  a batch joins and leaves here, between two tokens
                    '---- an attempt without usable tokens, where another is left

Two kinds of work are handed out. **Steps** make one token for each row of one voice's batch; batches of several voices
take turns. **Graphs** are run one at a time: the prefill of a sentence that gets a place, or a piece of sound whose
tokens are there. Which graph comes next is decided by when its sound is due (`Job.due`): a first chunk half a second
after its request came, a later one when a player would run dry. So a first chunk goes before a later chunk of somebody
else, unless that somebody would hear a gap; nobody starves, since a due time stands still while others come.

With two lanes, a driver runs steps and graphs beside each other, and a prefill stalls nobody. With one lane they take
turns: between two graphs every batch that has rows steps at least once, so one graph is the longest stall.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sovits_runtime.engine.states import Job, Phase, Piece, Sentence
from sovits_runtime.engine.types import DeadlinePassed, EngineLimits, QueueFull
from sovits_runtime.speech.attempts import failure, log_problem
from sovits_runtime.t2s.generator import Step

AHEAD_S = 20.0
"""Sound of a request that nobody has taken, from which on its next sentence is not begun: a row is never held by a
listener, and a book does not fill the memory."""
NEAR = 2
"""Times as many requests as there are rows have their voices in memory and their text read while they wait."""
TOGETHER_S = 0.25
"""Requests that come within this time of each other begin before any of them steps, and share their steps then."""
LIVE_SENTENCES = 2
"""Of one request: one that sounds, one whose tokens are being made."""


@dataclass(frozen=True)
class Steps:
    """The next token of each row of a voice's batch."""

    rows: tuple[Sentence, ...]


@dataclass(frozen=True)
class Prefill:
    """The first token of a sentence."""

    sentence: Sentence


@dataclass(frozen=True)
class Sound:
    """The next piece of a sentence's sound."""

    sentence: Sentence


Graph = Prefill | Sound


@dataclass
class Counts:
    """What was done so far; see `EngineStats`."""

    submitted: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    refused: int = 0
    tokens: int = 0
    steps: int = 0
    prefills: int = 0
    audio_s: float = 0.0


class Scheduler:
    """Requests of all voices. Not safe to use from several threads: its driver has a lock.

    Args:
        limits: How much it takes on.
        clock: Gives seconds.
    """

    def __init__(self, limits: EngineLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self.jobs: list[Job] = []  # that are not over, in the order in which they came
        self.counts = Counts()
        self._last_batch = -1
        self._step_is_next = False

    # --- requests -----------------------------------------------------------------------------------------------------

    def check_room(self) -> None:
        """Raises QueueFull where as many wait as may."""
        waiting = sum(job.begun is None for job in self.jobs)
        places = max(self._limits.rows - (len(self.jobs) - waiting), 0)
        if waiting >= self._limits.queue + places:
            self.counts.refused += 1
            raise QueueFull(
                f"{waiting} requests wait already, the queue takes {self._limits.queue}; try again later"
            )

    def submit(self, job: Job) -> None:
        """Takes a request; its sentences come by `add`.

        Raises:
            QueueFull: As many wait as may.
        """
        self.check_room()
        self.counts.submitted += 1
        self.jobs.append(job)

    def add(self, sentence: Sentence) -> None:
        """The next sentence of a request."""
        if sentence.job.ended is None:
            sentence.job.sentences.append(sentence)

    def end_text(self, job: Job) -> None:
        """No more sentences come."""
        job.text_ended = True
        self._settle(job)

    def wants_text(self, job: Job) -> bool:
        """Whether the next sentence should be read: one is kept ready, no more."""
        return job.ended is None and not any(s.phase is Phase.WAITING for s in job.sentences)

    def may_read(self, job: Job) -> bool:
        """Whether a request is so near its turn that its voice should be loaded and its text read."""
        if job.begun is not None or job.ended is not None or job.error is not None or job.cancelled:
            return True
        before = sum((j.due, j.number) < (job.due, job.number) for j in self.jobs if j.begun is None)
        return before < NEAR * self._limits.rows

    def cancel(self, job: Job) -> None:
        """Ends a request; what runs for it now ends first."""
        if job.ended is None and job.error is None:
            job.cancelled = True
            self._settle(job)

    def fail(self, job: Job, error: BaseException) -> None:
        """Ends a request with an error."""
        if job.ended is None:
            job.error = job.error or error
            self._settle(job)

    def expire(self) -> None:
        """Ends the requests whose sound should have begun by now."""
        now = self._clock()
        for deadline, job in self._deadlines():
            if now >= deadline:
                given = f"{deadline - job.came:.1f} s"
                self.fail(
                    job, DeadlinePassed(f"no sound within {given}, which is all that the request gave it")
                )

    def next_deadline(self) -> float | None:
        """When `expire` has something to do next."""
        return min((deadline for deadline, _ in self._deadlines()), default=None)

    def _deadlines(self) -> list[tuple[float, Job]]:
        silent = (job for job in self.jobs if job.first_sound is None and not _ends(job))
        return [(job.deadline, job) for job in silent if job.deadline is not None]

    # --- what is next -------------------------------------------------------------------------------------------------

    def next_steps(self) -> Steps | None:
        """The batch to step now, which is taken; batches of several voices take turns."""
        rows: dict[int, list[Sentence]] = {}
        for job in self.jobs:
            for sentence in job.sentences:
                if sentence.phase is Phase.STEPPING and not sentence.claimed and not _ends(job):
                    rows.setdefault(job.batch, []).append(sentence)
        if not rows:
            return None
        self._last_batch = min((b for b in rows if b > self._last_batch), default=min(rows))
        for sentence in rows[self._last_batch]:
            sentence.claimed = True
        return Steps(tuple(rows[self._last_batch]))

    def next_graph(self) -> Graph | None:
        """The graph to run now, which is taken: what is due first."""
        best: tuple[float, int, Graph] | None = None
        places = self._limits.rows - sum(job.at_work for job in self.jobs)
        for job in self.jobs:
            graph = None if _ends(job) else self._graph_of(job, places)
            if graph is not None and (best is None or (job.due, job.number) < best[:2]):
                best = (job.due, job.number, graph)
        if best is None:
            return None
        graph = best[2]
        if isinstance(graph, Sound):
            graph.sentence.sounding = True
            return graph
        graph.sentence.claimed = True
        graph.sentence.start()
        if graph.sentence.job.begun is None:
            graph.sentence.job.begun = self._clock()
        self.counts.prefills += 1
        return graph

    def next_in_turn(self) -> Steps | Graph | None:
        """The work for a driver of one lane: between two graphs, the batches step once."""
        work: Steps | Graph | None
        if self._step_is_next or not self._has_urgent_graph():
            work = self.next_steps() or self.next_graph()
        else:
            work = self.next_graph() or self.next_steps()
        self._step_is_next = not isinstance(work, Steps)
        return work

    def _has_urgent_graph(self) -> bool:
        """Whether a graph is due before any sentence that steps; who comes at about the same time shares its steps."""
        stepping = [j.due for j in self.jobs if any(s.phase is Phase.STEPPING for s in j.sentences)]
        places = self._limits.rows - sum(job.at_work for job in self.jobs)
        graphs = [(job, self._graph_of(job, places)) for job in self.jobs if not _ends(job)]
        dues = [job.due - (TOGETHER_S if isinstance(graph, Prefill) else 0) for job, graph in graphs if graph]
        return bool(dues) and min(dues) <= min(stepping, default=float("inf"))

    def _graph_of(self, job: Job, places: int) -> Graph | None:
        """What could run for a request: its sound first, which listeners wait for, then its next sentence."""
        if job.sentences and job.sentences[0].sound_ready:
            return Sound(job.sentences[0])
        live = [s for s in job.sentences if s.phase is not Phase.WAITING]
        if any(s.phase in (Phase.PREFILL, Phase.STEPPING) for s in live):
            return None
        waiting = next((s for s in job.sentences if s.phase is Phase.WAITING), None)
        if waiting is None or len(live) >= LIVE_SENTENCES or job.unread_s >= AHEAD_S:
            return None
        return Prefill(waiting) if live or places > 0 else None

    # --- what was done ------------------------------------------------------------------------------------------------

    def prefilled(self, sentence: Sentence, made: Step | Exception) -> None:
        """The prefill has run."""
        self._made(sentence, made)
        self._settle(sentence.job)

    def stepped(self, steps: Steps, made: Sequence[Step | Exception]) -> None:
        """A batch has stepped."""
        self.counts.steps += 1
        for sentence, one in zip(steps.rows, made, strict=True):
            self._made(sentence, one)
        for sentence in steps.rows:
            self._settle(sentence.job)

    def sounded(self, sentence: Sentence, made: Piece | Exception) -> None:
        """A piece of sound was made, or failed."""
        job, sentence.sounding = sentence.job, False
        if isinstance(made, Exception):
            job.error = job.error or made
        elif made.problem:
            self._again(sentence, made.problem)
        elif not _ends(job):
            now = self._clock()
            for chunk in made.chunks:
                self.counts.audio_s += chunk.duration_s
                job.sound(chunk, now)
            sentence.sounded()
            if made.over:
                self._drop(sentence)
        self._settle(job)

    def heard(self, job: Job, seconds: float) -> None:
        """Somebody took so much of a request's sound."""
        job.unread_s -= seconds

    def _made(self, sentence: Sentence, made: Step | Exception) -> None:
        sentence.claimed = False
        if isinstance(made, Exception):
            sentence.job.error = sentence.job.error or made
            return
        sentence.take(made.token, stop=made.stop)
        if not made.stop:
            sentence.job.tokens += 1
            self.counts.tokens += 1
        if sentence.phase is Phase.SPOKEN:
            sentence.content.end_tokens()
            if problem := sentence.content.problem_of_tokens(sentence):
                self._again(sentence, problem)

    def _again(self, sentence: Sentence, problem: str) -> None:
        """Another attempt, or the end of the request."""
        phones = sentence.content.phone_count
        log_problem(phones, sentence.attempt, problem)
        if sentence.attempt >= sentence.attempts:
            sentence.job.error = failure(phones, sentence.attempt, problem)
            return
        sentence.content.free()
        sentence.attempt += 1
        sentence.phase, sentence.need = Phase.WAITING, None

    def _drop(self, sentence: Sentence) -> None:
        sentence.phase = Phase.OVER
        sentence.content.free()
        sentence.job.sentences.remove(sentence)

    def _settle(self, job: Job) -> None:
        """Ends a request that is to end, once nothing of it runs."""
        done = job.text_ended and not job.sentences
        if job.ended is not None or job.busy or not (_ends(job) or done):
            return
        for sentence in list(job.sentences):
            self._drop(sentence)
        job.ended = self._clock()
        self.jobs.remove(job)
        kind = "failed" if job.error else "cancelled" if job.cancelled else "finished"
        setattr(self.counts, kind, getattr(self.counts, kind) + 1)
        job.over(job.error)


def _ends(job: Job) -> bool:
    """Whether a request was told to end, or cannot go on."""
    return job.cancelled or job.error is not None
