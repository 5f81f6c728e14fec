"""Sizes of the flow matching's transformer, which no config states."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_WIDTH, MEL_BANDS = 64, 100


@dataclass(frozen=True)
class DitDims:
    """Sizes of the flow matching's transformer, which no config states.

    Attributes:
        width: Of the residual stream, in heads of 64.
        depth: Blocks.
        inner: Width of the feed-forward.
        text_width: Width of the condition.
        text_layers: ConvNeXt blocks of the condition.
    """

    width: int
    depth: int
    inner: int
    text_width: int
    text_layers: int


OFFICIAL_DIT = DitDims(1024, 22, 2048, 512, 4)
DEMO_DIT = DitDims(128, 2, 256, 512, 1)
