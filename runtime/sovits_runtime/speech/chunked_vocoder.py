"""Frames to samples chunk by chunk, so that chunks laid side by side equal the whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sovits_runtime.bundle.session import Session
from sovits_runtime.errors import BundleError
from sovits_runtime.speech.types import Floats


class ChunkedVocoder:
    """Turns final frames into samples as they come; holds as many as the vocoder can see.

    Args:
        vocode: Frames [1, C, F] to samples [hop * F].
        context: How many frames to either side a sample depends on.
    """

    def __init__(self, vocode: Callable[[Floats], Floats], context: int) -> None:
        self._vocode = vocode
        self._context = context
        self._frames: Floats | None = None
        self._returned = 0  # of the frames held, those whose samples were returned

    def feed(self, frames: Floats) -> Floats:
        """Takes final frames [1, C, F] and returns the samples that do not depend on later ones; maybe none."""
        held = self._hold(frames)
        return self._samples_to(max(held - self._context, self._returned))

    def finish(self, frames: Floats | None = None) -> Floats:
        """Takes the last frames [1, C, F], if there are more, and returns the samples that are left."""
        if frames is not None:
            self._hold(frames)
        return np.zeros(0, np.float32) if self._frames is None else self._samples_to(self._frames.shape[2])

    def _hold(self, frames: Floats) -> int:
        self._frames = frames if self._frames is None else np.concatenate([self._frames, frames], axis=2)
        return int(self._frames.shape[2])

    def _samples_to(self, end: int) -> Floats:
        assert self._frames is not None
        if end == self._returned:
            return np.zeros(0, np.float32)
        samples = self._vocode(np.ascontiguousarray(self._frames))
        hop = len(samples) // self._frames.shape[2]
        result = samples[self._returned * hop : end * hop]
        kept = max(end - self._context, 0)
        self._frames, self._returned = self._frames[:, :, kept:], end - kept
        return result


def context_of(graph: Session) -> int:
    """Returns how many frames to either side a frame of the graph's output depends on.

    Raises:
        BundleError: The bundle does not say.
    """
    context = graph.spec.context
    if context is None:
        raise BundleError(
            f"graph {graph.spec.name}: the bundle does not say how far it sees, which speaking in chunks needs; it was "
            "built by an older release, build it again"
        )
    return context
