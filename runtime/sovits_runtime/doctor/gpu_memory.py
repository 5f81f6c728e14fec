"""How much device memory a bundle takes, before anything is loaded: weights, caches and buffers from its manifest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sovits_runtime.bundle import WEIGHT_FILES, Bundle
from sovits_runtime.bundle.names import FP16, FP32, STEP
from sovits_runtime.t2s.device_step import CACHE_LENGTHS, step_sizes

_SIZES = {FP32: 4, FP16: 2}


@dataclass(frozen=True)
class MemoryEstimate:
    """Device memory of a voice in one precision.

    Attributes:
        precision: "fp32" or "fp16".
        weights_bytes: Weights of all engines: one prefill, one step a cache length, and the other graphs.
        caches_bytes: Keys and values of one request, by cache length.
    """

    precision: str
    weights_bytes: int
    caches_bytes: dict[int, int]

    def total_bytes(self, requests: int = 1) -> int:
        """Weights and the caches of requests in flight; the engines' working memory comes on top."""
        return self.weights_bytes + requests * sum(self.caches_bytes.values())


def estimate_memory(
    bundle: Bundle, *, precision: str, cache_lengths: Sequence[int] = CACHE_LENGTHS
) -> MemoryEstimate:
    """Estimates what a voice takes with all its engines loaded.

    Args:
        bundle: An opened bundle, of any precision.
        precision: "fp32" or "fp16".
        cache_lengths: Positions that the caches have room for.
    """
    size = _SIZES[precision]
    files: dict[str, tuple[int, int]] = {}
    for name in bundle.graph_names:
        graph = bundle.manifest["graphs"][name]
        part = graph["shared"]
        records = bundle.manifest["files"] if part is None else bundle.manifest["shared"][part]["files"]
        # Prefill and steps read one file; each engine made of it holds nearly all of its own.
        copies = 1 + len(cache_lengths) if name == STEP else 1
        for file in (graph[key] for key in WEIGHT_FILES if key in graph):
            stored = int(records[file]["bytes"]) * size // _SIZES.get(graph["precision"], 4)
            key = f"{part}/{file}"
            files[key] = (stored, max(copies, files.get(key, (0, 0))[1]))
    weights = sum(stored * copies for stored, copies in files.values())
    return MemoryEstimate(precision, weights, {n: _caches(bundle, n, size) for n in cache_lengths})


def _caches(bundle: Bundle, length: int, size: int) -> int:
    spec = bundle.graph_spec(STEP)
    shapes = [spec.tensor(name).resolve(step_sizes(length)) for name, _ in spec.aliases]
    return sum(math.prod(shape) for shape in shapes) * size
