"""Whether the server can speak: found out by speaking."""

from __future__ import annotations

import asyncio
import logging
import time

from sovits_runtime.errors import SovitsError, first_line, printable
from sovits_server.core.desk import Desk

logger = logging.getLogger(__name__)

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
                await asyncio.to_thread(self._desk.speak_a_word)
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
