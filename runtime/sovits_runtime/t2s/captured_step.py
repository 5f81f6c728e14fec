"""Captures a token step as a CUDA graph, and says why where that cannot be."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sovits_runtime.errors import BackendError
from sovits_runtime.gpu.device import Graph, Stream

logger = logging.getLogger(__name__)


class StepCapture:
    """Captures steps of one stream.

    Args:
        capture: Whether to try.
        strict: Whether a step that cannot be captured is an error.

    Attributes:
        fallback: Why steps are enqueued although `capture` is set; empty when they are captured.
    """

    def __init__(self, *, capture: bool, strict: bool) -> None:
        self.fallback = ""
        self._capture = capture
        self._strict = strict

    @property
    def wanted(self) -> bool:
        """Whether steps are captured, as far as is known."""
        return self._capture and not self.fallback

    def captured(self, stream: Stream, step: Callable[[], None]) -> Graph | None:
        """Captures what `step` enqueues; None where that cannot be, or is not wanted. Waits for the stream.

        Raises:
            BackendError: It cannot be captured, and must be.
        """
        if not self.wanted:
            return None
        problem = None
        for _ in range(2):  # a call of another thread may spoil one
            stream.synchronize()
            try:
                return stream.capture(step)
            except BackendError as error:
                problem = error
        if self._strict:
            raise BackendError(
                f"the token step cannot be captured as a CUDA graph: {problem}; without strict, steps are "
                "enqueued one by one"
            ) from problem
        self.fallback = str(problem)
        logger.warning("token steps are enqueued one by one, not replayed as a CUDA graph: %s", problem)
        return None
