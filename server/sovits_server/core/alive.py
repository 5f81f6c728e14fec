"""Whether the server can speak: found out by speaking."""

from __future__ import annotations

import asyncio
import logging
import time

from sovits_runtime import Phrase, SpeechOptions, SpeechRequest
from sovits_runtime.errors import SovitsError, first_line, printable
from sovits_server.core.ask import Whom
from sovits_server.core.desk import Desk

logger = logging.getLogger(__name__)

WORDS = ("HH", "AH0", "L", "OW1", ".")
"""Phones that every version knows."""
SHORT = SpeechOptions(max_tokens=12, pause_s=0.0, retries=5)
AGAIN_S = 5.0


class Readiness:
    """Speaks a word at the start, and again while that fails.

    Attributes:
        ready: Whether it has spoken.
        reason: Why it has not.
        took_s: How long the first word took.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.ready = False
        self.reason = "the first voice is being opened"
        self.took_s = 0.0

    async def find_out(self) -> None:
        """Returns once it has spoken."""
        while not self.ready:
            start = time.perf_counter()
            try:
                await asyncio.to_thread(self._speak)
            except SovitsError as error:
                self._tell(printable(first_line(error)))
                await asyncio.sleep(AGAIN_S)
            else:
                self.ready, self.took_s = True, time.perf_counter() - start
                logger.info("ready: opened and spoken in %.2f s", self.took_s)

    def _tell(self, reason: str) -> None:
        if reason != self.reason:
            logger.warning("not ready: %s", reason)
        self.reason = reason

    def _speak(self) -> None:
        """Says a word with the default voice.

        Raises:
            SovitsError: It cannot.
        """
        desk = self._desk
        voice = desk.casting.default()
        name = desk.known(voice)
        with desk.engine.lease(name) as synthesizer:
            part = desk.casting.cast(synthesizer, voice, Whom())
            request = SpeechRequest(
                voice=name, text=[Phrase(WORDS)], reference=part.reference, options=SHORT, priority=1
            )
            for _ in desk.engine.submit(request):
                pass
