"""Frames to samples chunk by chunk, so that chunks laid side by side equal the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sovits_runtime.bundle.session import Session
from sovits_runtime.errors import BundleError
from sovits_runtime.speech.types import Floats


class ChunkedVocoder:
    """Turns final frames into samples as they come; holds as many as the vocoder can see.

    Where the vocoder runs at few lengths (see `lengths_of`), it is given such a length where that can be: with more
    earlier frames than are needed, or with zeros behind, further from what is kept than the vocoder sees.

    Args:
        vocode: Frames [1, C, F] to samples [hop * F].
        context: How many frames to either side a sample depends on.
        lengths: Those at which the vocoder runs at once; none: all the same.
    """

    def __init__(
        self, vocode: Callable[[Floats], Floats], context: int, *, lengths: Sequence[int] = ()
    ) -> None:
        self._vocode = vocode
        self._context = context
        self._lengths = sorted(lengths)
        self._frames: Floats | None = None
        self._returned = 0  # of the frames held, those whose samples were returned

    def feed(self, frames: Floats) -> Floats:
        """Takes final frames [1, C, F] and returns the samples that do not depend on later ones; maybe none."""
        held = self._hold(frames)
        return self._samples_to(max(held - self._context, self._returned), last=False)

    def finish(self, frames: Floats | None = None) -> Floats:
        """Takes the last frames [1, C, F], if there are more, and returns the samples that are left."""
        if frames is not None:
            self._hold(frames)
        if self._frames is None:
            return np.zeros(0, np.float32)
        return self._samples_to(self._frames.shape[2], last=True)

    def _hold(self, frames: Floats) -> int:
        self._frames = frames if self._frames is None else np.concatenate([self._frames, frames], axis=2)
        return int(self._frames.shape[2])

    def _samples_to(self, end: int, *, last: bool) -> Floats:
        assert self._frames is not None
        if end == self._returned:
            return np.zeros(0, np.float32)
        start, window = self._window(last=last)
        samples = self._vocode(np.ascontiguousarray(window))
        hop = len(samples) // window.shape[2]
        result = samples[(self._returned - start) * hop : (end - start) * hop]
        kept = max(end - max(self._context, *self._lengths, 0), 0)
        self._frames, self._returned = self._frames[:, :, kept:], end - kept
        return result

    def _window(self, *, last: bool) -> tuple[int, Floats]:
        """The frames to run, [1, C, L], and the first of them as counted in those held."""
        assert self._frames is not None
        held = self._frames.shape[2]
        start = max(self._returned - self._context, 0)
        length = next((n for n in self._lengths if n >= held - start), None)
        if length is None:
            return start, self._frames[:, :, start:]
        start = max(held - length, 0)
        missing = length - (held - start)
        if missing == 0 or last:  # the sentence's own end must be where the window ends
            return start, self._frames[:, :, start:]
        return start, np.pad(self._frames, ((0, 0), (0, 0), (0, missing)))


def lengths_of(graph: Session) -> tuple[int, ...]:
    """Returns the lengths at which a graph runs at once, as `backends.openvino` does; none where all are the same."""
    return tuple(getattr(graph, "lengths", ()))


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
