"""The threads that do what the scheduler hands out: steps in one, other graphs in another, or both in one.

A lane takes work under the lock, runs it without, and reports under the lock. That is all that threads do here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sovits_runtime.engine.scheduler import Graph, Prefill, Scheduler, Steps
from sovits_runtime.engine.states import Piece, Sentence
from sovits_runtime.t2s.generator import Step

Work = Steps | Graph | None


class Device(Protocol):
    """What runs the graphs of the voices; see `speaking.VoiceAtWork`."""

    def prefill(self, sentence: Sentence) -> Step | Exception:
        """Makes the first token."""

    def step(self, rows: Sequence[Sentence], *, lean: bool) -> list[Step | Exception]:
        """Makes the next token of each row, all of one voice."""

    def sound(self, sentence: Sentence) -> Piece | Exception:
        """Makes the next piece of sound."""


class Lanes:
    """Threads over a scheduler.

    Args:
        scheduler: Touched only with `turn` held.
        device: Runs what it hands out.
        beside: Whether steps and graphs have a thread each; else they take turns in one.
        clock: The scheduler's.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        device: Device,
        *,
        beside: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.turn = threading.Condition()
        self._scheduler = scheduler
        self._device = device
        self._clock = clock
        self._ending = False
        self._graph_runs = False
        choices: Mapping[str, Callable[[], Work]] = (
            {"steps": scheduler.next_steps, "graphs": scheduler.next_graph}
            if beside
            else {"speech": scheduler.next_in_turn}
        )
        self._threads = [
            threading.Thread(target=self._run, args=(choose,), name=f"engine {name}", daemon=True)
            for name, choose in choices.items()
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Ends the threads; each finishes what it runs."""
        with self.turn:
            self._ending = True
            self.turn.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _run(self, choose: Callable[[], Work]) -> None:
        while True:
            with self.turn:
                while (work := self._next(choose)) is None:
                    if self._ending:
                        return
                    self.turn.wait(self._wait_s())
                lean = self._graph_runs
                self._graph_runs = self._graph_runs or not isinstance(work, Steps)
            if isinstance(work, Steps):
                self._step(work, lean=lean)
            else:
                self._graph(work)

    def _next(self, choose: Callable[[], Work]) -> Work:
        self._scheduler.expire()
        return choose()

    def _wait_s(self) -> float | None:
        deadline = self._scheduler.next_deadline()
        return None if deadline is None else max(deadline - self._clock(), 0.001)

    def _step(self, work: Steps, *, lean: bool) -> None:
        made = self._device.step(work.rows, lean=lean)
        with self.turn:
            self._scheduler.stepped(work, made)
            self.turn.notify_all()

    def _graph(self, work: Graph) -> None:
        if isinstance(work, Prefill):
            token = self._device.prefill(work.sentence)
        else:
            piece = self._device.sound(work.sentence)
        with self.turn:
            self._graph_runs = False
            if isinstance(work, Prefill):
                self._scheduler.prefilled(work.sentence, token)
            else:
                self._scheduler.sounded(work.sentence, piece)
            self.turn.notify_all()
