"""What the windows of flow matching begin with, and how features are cut into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sovits_runtime.speech.decoder import resampled
from sovits_runtime.speech.types import Floats

OVERLAP_FRAMES = 12


@dataclass(frozen=True, eq=False)
class FlowPrompt:
    """What a window begins with.

    Attributes:
        features: float32 [1, 512, P].
        mel: float32 [1, 100, P], normed.
    """

    features: Floats
    mel: Floats

    def __len__(self) -> int:
        return int(self.mel.shape[2])

    def then(self, features: Floats, mel: Floats, *, tail: int | None) -> FlowPrompt:
        """Returns the prompt of the window after one of these features and this mel.

        Args:
            features: float32 [1, 512, F], without this prompt's.
            mel: float32 [1, 100, F], normed.
            tail: How many frames of them it ends with, after the first ones of this prompt; None: as many as it has.
        """
        end = min(len(self), mel.shape[2], len(self) if tail is None else tail)
        start = 0 if tail is None else len(self) - end
        joined = (
            np.concatenate([old[:, :, :start], new[:, :, -end:]], axis=2)
            for old, new in ((self.features, features), (self.mel, mel))
        )
        return FlowPrompt(*joined)


def stretch(state: Floats, frames: int) -> Floats:
    """Interpolates linearly along time, half-pixel centres.

    Source: torch.nn.functional.interpolate (mode linear, align_corners False).

    Args:
        state: float32 [1, C, N].
        frames: Wanted number of frames; N gives the state itself.

    Returns:
        float32 [1, C, frames].
    """
    n = state.shape[2]
    if frames == n:
        return state
    centre = (np.arange(frames, dtype=np.float32) + np.float32(0.5)) * np.float32(n / frames)
    return resampled(state, centre - np.float32(0.5))


def split_windows(features: Floats, size: int) -> tuple[Floats, int]:
    """Cuts features into windows that overlap by 12 frames, with 12 zero frames in front and zeros behind.

    Args:
        features: float32 [1, C, F].
        size: Frames of a window, above 12.

    Returns:
        float32 [windows, C, size], and how many zero frames the last window ends with.
    """
    total = features.shape[2] + OVERLAP_FRAMES
    starts = range(0, total, size - OVERLAP_FRAMES)
    padding = starts[-1] + size - total
    padded = np.pad(features[0], ((0, 0), (OVERLAP_FRAMES, padding)))
    return np.stack([padded[:, start : start + size] for start in starts]), padding


def cut_along(pieces: Iterable[Floats], ends: Iterator[int]) -> Iterator[Floats]:
    """Cuts pieces where their frames, counted through all of them, reach one of these ends, and where a piece ends.

    Args:
        pieces: float32 [1, C, f] each.
        ends: Rising counts of frames, without end.
    """
    begun, end = 0, next(ends)
    for piece in pieces:
        start, frames = 0, piece.shape[2]
        while start < frames:
            stop = min(frames, start + end - begun)
            yield piece[:, :, start:stop]
            begun += stop - start
            start = stop
            if begun == end:
                end = next(ends)
