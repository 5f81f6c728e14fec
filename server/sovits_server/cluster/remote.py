"""The ingress's side of a replica: a desk without a model, and sound that is made elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from sovits_runtime import EngineLimits
from sovits_runtime.backends.voice import LoadOptions
from sovits_server.cluster.messages import Begun, Ended, Heard, Message
from sovits_server.config import Config
from sovits_server.core.ask import Ask
from sovits_server.core.casting import Casting
from sovits_server.core.desk import Desk
from sovits_server.core.engine import RETRY_AFTER_S, Engine
from sovits_server.core.utterance import Clock, Piece, Utterance
from sovits_server.operations.metrics import Meters
from sovits_server.problems import BusyError, FailedError, Problem
from sovits_server.words import Timeline

TRIES = 3
"""How often a request is sent to a replica before it is given up; what has been heard is never sent again."""
WORD_S = 600.0
"""Within it a replica has spoken for the first time."""
LOST = "the process that spoke was lost; ask again"
NO_MODEL = EngineLimits(1, 0, None)


class RemoteDesk(Desk):
    """A desk whose requests are spoken by replicas. The engine beside it has no voice.

    Args:
        casting: Finds voices.
        config: Of the operator.
        meters: What is counted.
        handle: Of the replicas.
        replicas: As many as there may be.
    """

    def __init__(
        self, casting: Casting, config: Config, meters: Meters, *, handle: Any, replicas: int
    ) -> None:
        engine = Engine(LoadOptions(), NO_MODEL)
        super().__init__(engine, casting, config, meters, elsewhere=config.at_once * replicas)
        self._handle = handle

    async def _submitted(self, ask: Ask) -> Utterance:
        voice = await self.in_thread(lambda: self.casting.voice_of(ask.whom))
        handle = self._handle.options(stream=True, multiplexed_model_id=str(voice.bundle.resolve()))
        clock = Clock(self.meters.gap.observe, partial(self._made, voice.name))
        return RemoteUtterance(lambda: handle.speak.remote(ask), clock)

    def speak_a_word(self) -> None:
        """Waits until a replica is there, each of which has spoken before it says so. In a thread.

        Raises:
            FailedError: None is.
        """
        try:
            self._handle.check_health.remote().result(timeout_s=WORD_S)
        except (RayError, RayServeException, TimeoutError) as error:
            raise FailedError("no replica can speak yet; the log of Ray Serve says why") from error


class RemoteUtterance(Utterance):
    """Sound that a replica makes.

    Args:
        send: Sends the request to a replica; gives its messages.
        clock: Who is told about time.
    """

    def __init__(self, send: Any, clock: Clock) -> None:
        self._send = send
        self._clock = clock
        self._answer: Any = None
        self._tokens = 0
        self.told = {}
        self.held = ExitStack()

    @property
    def tokens(self) -> int:
        """As the replica counts them."""
        return self._tokens

    async def begin(self) -> None:
        """See `Utterance`. Where a replica is lost before it is heard, another is asked."""
        for _ in range(TRIES):
            self._answer = self._send()
            try:
                begun = await self._message()
            except _LostError:
                continue
            if not isinstance(begun, Begun):
                break
            self.sample_rate, self.told = begun.sample_rate, begun.told
            self.timeline = Timeline(begun.sample_rate)
            return
        raise BusyError(LOST, retry_after_s=RETRY_AFTER_S)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        loop, begun, made_s, samples = asyncio.get_running_loop(), 0.0, 0.0, 0
        while isinstance(heard := await self._message(), Heard):
            begun = begun or loop.time()
            self._clock.late(max(loop.time() - begun - made_s, 0.0))
            seconds = len(heard.samples) / self.sample_rate
            made_s += seconds
            samples += len(heard.samples)
            self._clock.made(seconds)
            self.timeline.sentences.extend(heard.spoken)
            self._tokens = heard.tokens
            yield Piece(heard.samples, heard.sentence, heard.last)
        if not isinstance(heard, Ended) or heard.samples != samples:
            raise FailedError(LOST)
        self.timeline.pause(samples)
        self.ended = True

    async def _message(self) -> Message | None:
        """The next message; None where the stream is over without its end.

        Raises:
            Problem: What went wrong in the replica.
            FailedError: The replica is lost.
        """
        try:
            message: Message | None = await anext(self._answer, None)
        except (RayError, RayServeException) as error:
            raise _LostError(LOST) from error
        if isinstance(message, Problem):
            raise message
        return message

    def close(self) -> None:
        """See `Utterance`."""
        if not self.ended and self._answer is not None:
            with suppress(RayError, RayServeException):
                self._answer.cancel()
        self.held.pop_all().close()


class _LostError(FailedError):
    """The process that spoke is gone."""
