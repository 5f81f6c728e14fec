"""A sequence of frames as windows of few lengths, laid so that nothing but rounding differs from the whole.

Engines that generate kernels for each length make a listener wait for every new one. A graph whose output frames depend
on `context` frames to either side can be run over windows of lengths that are known before:

    frames  |------------------------------|
    windows |----kept---|~~|
                  |~~|---kept---|~~|
                           |~~|-----kept---|      the last one ends where the sequence ends

No frame is made up. A window's edge is the sequence's own edge, or lies `context` frames outside of what is kept of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """One window.

    Attributes:
        start: Its first frame.
        length: How many frames it has.
        keep: The first frame that is kept of it, counted from the sequence's beginning.
        end: The first frame after those that are kept.
    """

    start: int
    length: int
    keep: int
    end: int


def cover(frames: int, lengths: Sequence[int], context: int) -> list[Window]:
    """Covers a sequence with windows; nothing where it is shorter than all lengths.

    Args:
        frames: Length of the sequence.
        lengths: Lengths that a window may have, each above twice the context.
        context: How many frames to either side an output frame depends on.
    """
    fitting = [length for length in sorted(lengths) if length <= frames]
    windows: list[Window] = []
    done = 0
    while fitting and done < frames:
        first = max(done - context, 0)
        last = next((length for length in fitting if length >= frames - first), None)
        if last is not None:
            windows.append(Window(frames - last, last, done, frames))
            break
        end = first + fitting[-1] - context
        windows.append(Window(first, fitting[-1], done, end))
        done = end
    return windows


def frames_run(frames: int, lengths: Sequence[int], context: int) -> int:
    """How many frames the windows of a sequence have together: what covering it costs."""
    return sum(window.length for window in cover(frames, lengths, context))
