"""Attention as smaller operators: which ones, in which order, with which constants.

TensorRT has no fused kernel for some attention, and calibration may keep some in FP32. Both write it out as told here,
each into what it holds a graph in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Mask = Literal["none", "boolean", "added"]

BLOCKED: Mapping[str, float] = {"float16": -3e4, "bfloat16": -1e30, "float32": -1e30}
"""By type, the score of what must not be seen; softmax makes exactly zero of it, and FP16 holds it."""


@dataclass(frozen=True)
class Operation:
    """One operator.

    Attributes:
        op: Its type.
        inputs: What it reads: "query", "key", "value", "mask", the constants "scale" and "blocked", or what an earlier
            one made.
        output: What it makes; the last one's is "result".
        attributes: ONNX attributes.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


def operations(mask: Mask) -> tuple[Operation, ...]:
    """Attention of [B, H, n, D] queries over [B, H, m, D] keys and values, as operators in order."""
    masked = {
        "none": (),
        "boolean": (Operation("Where", ("mask", "scores", "blocked"), "seen"),),
        "added": (Operation("Add", ("scores", "mask"), "seen"),),
    }[mask]
    return (
        # Scaled before the product, which an FP16 product of long keys might not survive.
        Operation("Mul", ("query", "scale"), "scaled"),
        Operation("Transpose", ("key",), "turned", {"perm": [0, 1, 3, 2]}),
        Operation("MatMul", ("scaled", "turned"), "scores"),
        *masked,
        Operation("Softmax", ("seen" if masked else "scores",), "share", {"axis": -1}),
        Operation("MatMul", ("share", "value"), "result"),
    )


def constants(dtype: str, *, width: int, scale: float | None, mask: Mask) -> dict[str, float]:
    """Values of the constants that `operations` names.

    Args:
        dtype: Type of the attention, a NumPy dtype name.
        width: Of a head.
        scale: As the node gives it; None: one over the root of the width.
        mask: As for `operations`.
    """
    found = {"scale": scale or 1 / math.sqrt(width)}
    return {**found, "blocked": BLOCKED[dtype]} if mask == "boolean" else found
