"""A replica: a process that has voices open and makes sound."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack

from ray import serve

from sovits_runtime.errors import first_line, printable
from sovits_server.app import Server
from sovits_server.cluster.messages import Begun, Ended, Heard, Message
from sovits_server.cluster.settings import ClusterSettings
from sovits_server.core.ask import Ask
from sovits_server.core.engine import Engine
from sovits_server.security.words import problem_of

logger = logging.getLogger(__name__)

INGRESS = "ingress"
"""The one client of a replica."""


class OpenVoice:
    """A voice that a replica keeps open until Ray calls `__del__`, to make room for another; Python calls it again.

    Args:
        engine: Of the replica.
        name: The engine's name of the voice.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._held = ExitStack()
        self._held.callback(engine.unload, name)
        self._held.enter_context(engine.lease(name))

    def __del__(self) -> None:
        self._held.close()


class VoiceReplica:
    """Voices in one process, found in the folders that the ingress knows.

    Args:
        settings: Of the application.

    Raises:
        SovitsError: Its default voice cannot speak: a replica that is there has spoken.
    """

    async def __init__(self, settings: ClusterSettings) -> None:  # type: ignore[misc]  # Ray awaits it
        self._server = Server(settings.of_a_replica())
        self._id = serve.get_replica_context().replica_id.unique_id
        self._spoke = True
        desk = self._server.desk

        async def open_voice(name: str) -> OpenVoice:
            return await desk.in_thread(lambda: OpenVoice(desk.engine, name), heavy=True)

        self._open = serve.multiplexed(max_num_models_per_replica=settings.voices_each)(open_voice)
        name = await desk.in_thread(lambda: desk.known(desk.casting.default()))
        await self._open(name)
        await asyncio.to_thread(desk.speak_a_word)

    async def speak(self, ask: Ask) -> AsyncIterator[Message]:
        """Speaks.

        Args:
            ask: What to say.

        Yields:
            See `messages`. What goes wrong is the last of them.
        """
        desk, samples = self._server.desk, 0
        try:
            voice = await desk.in_thread(lambda: desk.known(desk.casting.voice_of(ask.whom)))
            await self._open(voice)
            utterance = await desk.begin(ask, INGRESS)
            try:
                yield Begun(utterance.sample_rate, {**utterance.told, "X-Replica": self._id})
                told = 0
                async for piece in utterance:
                    spoken = tuple(utterance.timeline.sentences[told:])
                    told += len(spoken)
                    samples += len(piece.samples)
                    yield Heard(piece.samples, piece.sentence, piece.last, spoken, utterance.tokens)
            finally:
                utterance.close()
            self._spoke = True
            yield Ended(samples)
        except Exception as error:
            problem = problem_of(error)
            if problem is not error:
                logger.error("%s", printable(first_line(error)), exc_info=problem.status >= 500)
            yield problem

    async def check_health(self) -> None:
        """Ray asks for it: speaks a word where nobody was spoken to since it last asked.

        Raises:
            SovitsError: It cannot; Ray starts another in its place.
        """
        if not self._spoke and not self._server.desk.admission.total:
            await asyncio.to_thread(self._server.desk.speak_a_word)
        self._spoke = False

    async def __del__(self) -> None:
        await self._server.desk.close()
