"""A device, listeners and a clock that are not there: the scheduler of the engine without threads, graphs or time."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from itertools import count, pairwise

import numpy as np

from sovits_runtime.engine.scheduler import Prefill, Scheduler, Steps
from sovits_runtime.engine.states import Job, Piece, Sentence
from sovits_runtime.engine.types import EngineLimits
from sovits_runtime.speech.types import Chunk, ChunkOptions
from sovits_runtime.t2s.generator import Step

RATE = 1000
TOKEN_S = 0.04
NONE = np.zeros(0, np.float32)


@dataclass(eq=False)
class Content:
    """A sentence of so many tokens; knows what is open of it.

    Attributes:
        length: Tokens before the model ends.
        bad_attempts: How many attempts end before their first token.
        breaks: "prefill", "step" or "sound", where that fails; None: nothing does.
        mute_attempts: How many are all but silent.
    """

    length: int
    bad_attempts: int = 0
    breaks: str | None = None
    mute_attempts: int = 0
    phone_count: int = 9
    row_open: bool = False
    sound_open: bool = False
    given: int = 0

    def problem_of_tokens(self, sentence):
        return "it ended before the first token" if sentence.attempt <= self.bad_attempts else ""

    def end_tokens(self):
        self.row_open = False

    def free(self):
        self.row_open = self.sound_open = False
        self.given = 0


@dataclass(eq=False)
class Listener:
    """A request as who made it sees it."""

    job: Job | None = None
    chunks: list[Chunk] = field(default_factory=list)
    overs: list[BaseException | None] = field(default_factory=list)
    reads: bool = True

    @property
    def sentences(self):
        return [c.sentence for c in self.chunks]


class World:
    """Runs a scheduler against costs in seconds.

    Args:
        beside: As in `Lanes`.
        rows, queue: As in `EngineLimits`.
        prefill, step, step_row, per_token: What things cost: a prefill, a step, each row of it, sound per token.
    """

    def __init__(
        self, *, beside=False, rows=4, queue=1000, prefill=0.2, step=0.005, step_row=0.001, per_token=0.006
    ):
        self.now = 0.0
        self.scheduler = Scheduler(EngineLimits(rows=rows, queue=queue), lambda: self.now)
        self.beside, self.rows = beside, rows
        self.costs = prefill, step, step_row, per_token
        self.events, self.order, self.numbers = [], count(), count()
        self.lanes: dict[str, object] = {"steps": None, "graphs": None} if beside else {"speech": None}
        self.log: list[
            tuple[str, float, float, tuple[int, ...]]
        ] = []  # what, from, to, numbers of the requests
        self.contents: list[Content] = []

    def at(self, when, action):
        heapq.heappush(self.events, (when, next(self.order), action))

    def say(self, *lengths, at=0.0, batch=0, priority=0, deadline=None, chunks=None, reads=True, **content):
        """A request of sentences so long comes at a time."""
        listener = Listener(reads=reads)

        def come():
            job = Job(
                next(self.numbers),
                self.now,
                deliver=lambda c: self._deliver(listener, c),
                over=listener.overs.append,
                batch=batch,
                priority=priority,
                deadline=None if deadline is None else self.now + deadline,
            )
            listener.job = job
            self.scheduler.submit(job)
            cut = chunks or ChunkOptions()

            def needs():
                return (end + cut.lookahead_tokens for end in cut.ends())

            for index, length in enumerate(lengths):
                self.contents.append(Content(length, **content))
                self.scheduler.add(Sentence(job, index, self.contents[-1], needs, 1500, attempts=3))
            self.scheduler.end_text(job)

        self.at(at, come)
        return listener

    def _deliver(self, listener, chunk):
        listener.chunks.append(chunk)
        if listener.reads:
            self.at(self.now, lambda: self.scheduler.heard(listener.job, chunk.duration_s))

    def run(self, until=float("inf")):
        while True:
            self._hand_out()
            if not self.events or self.events[0][0] > until:
                return self
            self.now, _, action = heapq.heappop(self.events)
            action()

    def _hand_out(self):
        choose = {
            "steps": self.scheduler.next_steps,
            "graphs": self.scheduler.next_graph,
            "speech": self.scheduler.next_in_turn,
        }
        self.scheduler.expire()
        if (deadline := self.scheduler.next_deadline()) is not None:
            self.at(max(deadline, self.now), lambda: None)
        for lane in self.lanes:
            if self.lanes[lane] is None and (work := choose[lane]()) is not None:
                self.lanes[lane] = work
                self._start(lane, work)

    def _start(self, lane, work):
        prefill, step, step_row, per_token = self.costs
        sentences = work.rows if isinstance(work, Steps) else (work.sentence,)
        kind = type(work).__name__
        if isinstance(work, Steps):
            cost = step + step_row * len(sentences)
            assert len(sentences) <= self.rows
            assert len({s.job.batch for s in sentences}) == 1
        else:
            cost = prefill if isinstance(work, Prefill) else per_token * self._to_sound(sentences[0])
        numbers = tuple(s.job.number for s in sentences)
        self.log.append((kind, self.now, self.now + cost, numbers))
        self.at(self.now + cost, lambda: self._end(lane, work))

    @staticmethod
    def _to_sound(sentence):
        content = sentence.content
        return (
            sentence.count if sentence.need is None else min(sentence.need, sentence.count)
        ) - content.given

    def _end(self, lane, work):
        self.lanes[lane] = None
        if isinstance(work, Steps):
            self.scheduler.stepped(work, [self._token(s, "step") for s in work.rows])
        elif isinstance(work, Prefill):
            work.sentence.content.row_open = True
            self.scheduler.prefilled(work.sentence, self._token(work.sentence, "prefill"))
        else:
            self.scheduler.sounded(work.sentence, self._sound(work.sentence))

    @staticmethod
    def _token(sentence, what):
        content = sentence.content
        if content.breaks == what:
            return ValueError(what)
        length = 0 if sentence.attempt <= content.bad_attempts else content.length
        return Step(sentence.count, sentence.count >= length, NONE)

    def _sound(self, sentence):
        content = sentence.content
        content.sound_open = True
        if content.breaks == "sound":
            return ValueError("sound")
        if sentence.stop_reason and sentence.attempt <= content.mute_attempts:
            return Piece((), over=False, problem="it is all but silent")
        whole = sentence.stop_reason is not None and (sentence.need is None or sentence.need > sentence.count)
        made = self._to_sound(sentence)
        content.given += made
        samples = np.zeros(round(RATE * TOKEN_S * made), np.float32)
        reason = sentence.stop_reason if whole else None
        return Piece((Chunk(samples, RATE, sentence=sentence.index, stop_reason=reason),), over=whole)

    def stalls(self):
        """Seconds between the end of a step and the beginning of the next one while there were rows to step."""
        steps = [(a, b, numbers) for kind, a, b, numbers in self.log if kind == "Steps"]
        return [c - b for (_, b, before), (c, _, after) in pairwise(steps) if set(before) & set(after)]

    def nothing_is_left(self):
        assert not self.scheduler.jobs
        assert all(work is None for work in self.lanes.values())
        assert not any(c.row_open or c.sound_open for c in self.contents)


def random_world(seed, **world):
    """Requests of many kinds at odd times, a third of them cancelled at odd times."""
    rng = random.Random(seed)
    w = World(beside=rng.random() < 0.5, rows=rng.randint(1, 6), **world)
    listeners = []
    for _ in range(20):
        lengths = [rng.choice((1, 5, 24, 25, 60)) for _ in range(rng.randint(1, 3))]
        breaks = rng.choice([None] * 9 + ["prefill", "step", "sound"])
        at, bad = rng.uniform(0, 5), rng.choice([0] * 8 + [1, 3])
        listener = w.say(
            *lengths,
            at=at,
            batch=rng.randint(0, 2),
            priority=rng.randint(-1, 1),
            breaks=breaks,
            bad_attempts=bad,
            deadline=rng.choice([None, None, None, 2.0]),
        )
        if rng.random() < 1 / 3:
            w.at(at + rng.uniform(0, 3), lambda x=listener: x.job and w.scheduler.cancel(x.job))
        listeners.append((listener, lengths, breaks, bad))
    return w, listeners
