"""Whether the server can speak: found out by speaking."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Future

from sovits_runtime.errors import SovitsError, first_line, printable
from sovits_server.core.desk import Desk

logger = logging.getLogger(__name__)

AGAIN_S = 5.0


class Readiness:
    """Speaks a word at the start, and again while that fails.

    Args:
        desk: Speaks.
        begun: A first word that is on its way already; gives its seconds.

    Attributes:
        ready: Whether it has spoken.
        reason: Why it has not.
        took_s: How long the first word took.
    """

    def __init__(self, desk: Desk, begun: Future[float] | None = None) -> None:
        self._desk = desk
        self._begun = begun
        self.ready = False
        self.reason = "the first voice is being opened"
        self.took_s = 0.0

    async def find_out(self) -> None:
        """Returns once it has spoken."""
        while not self.ready:
            try:
                took_s = await self._speak()
            except SovitsError as error:
                self._tell(printable(first_line(error)))
                await asyncio.sleep(AGAIN_S)
            else:
                self.ready, self.took_s = True, took_s
                logger.info("ready: opened and spoken in %.2f s", self.took_s)

    async def _speak(self) -> float:
        """Seconds that a word took."""
        begun, self._begun = self._begun, None
        if begun is not None:
            return await asyncio.wrap_future(begun)
        start = time.perf_counter()
        await asyncio.to_thread(self._desk.speak_a_word)
        return time.perf_counter() - start

    def _tell(self, reason: str) -> None:
        if reason != self.reason:
            logger.warning("not ready: %s", reason)
        self.reason = reason
