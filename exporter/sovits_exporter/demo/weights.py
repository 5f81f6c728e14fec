"""Deterministic weights: name, shape and seed give the values, and float16 holds each of them exactly.

The values have no training behind them, yet the scale of trained ones, so that activations stay sane through
all layers and rounding shows as it does in real models. The rules below must never change: recorded outputs
of the original implementation were made with them.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Shape = tuple[int, ...]

_MIDDLE_OF_16_BITS = 32768.0
_TABLES = ("word_embeddings.weight", "text_embedding.weight", "embed", "embed_avg")

# The first pattern found in the full name scales the tensor.
_GAINS = tuple(
    (re.compile(pattern), gain)
    for pattern, gain in (
        (r"^model\.h\..*in_proj_weight$", 2.0),
        (r"^model\.h\..*out_proj\.weight$", 0.15),
        (r"^model\.h\..*linear2\.weight$", 0.25),
        (r"^model\.h\..*bias$", 0.1),
        (r"word_embeddings\.weight$", 2.0),
        (r"^model\.ar_predict_layer\.weight$", 3.0),
        (r"_codebook\.embed(_avg)?$", 0.3),
        (r"^enc_p\.proj\.weight$", 0.5),
        (r"^dec\.conv_post\.weight$", 0.4),
        (r"^conv_pre\.weight(_g)?$", 0.1),
        (r"^conv_post\.weight$", 0.5),
        (r"^conv_post\.weight_g$", 0.01),
        (r"^layer\d.*bn3\.weight$", 0.4),
    )
)


def fill(name: str, shape: Shape, seed: int) -> Floats:
    """Returns the weights of one tensor.

    Args:
        name: Its name as it stands in the official file.
        shape: Its sizes.
        seed: Selects the set of weights.

    Returns:
        float32, every value exactly representable in float16.
    """
    last = name.rsplit(".", 1)[-1]
    if last in _CONSTANTS:
        return _rounded_to_fp16(_CONSTANTS[last](shape))
    values = _scaled(name, last, unit(name, shape, seed))
    gain = next((gain for pattern, gain in _GAINS if pattern.search(name)), None)
    if gain is not None:
        values = values * values.dtype.type(gain)
    return _rounded_to_fp16(values)


def unit(name: str, shape: Shape, seed: int) -> Floats:
    """Returns uniform values of zero mean and unit variance, sampled from the hash of the seed and the name.

    Args:
        name: Any text.
        shape: Sizes of the array.
        seed: Selects the set of values.
    """
    count = math.prod(shape)
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    words = np.random.PCG64(int.from_bytes(digest[:8], "little")).random_raw(-(-count // 4))
    values = words.astype("<u8").view("<u2")[:count].astype(np.float32)
    values -= np.float32(_MIDDLE_OF_16_BITS - 0.5)
    values *= np.float32(math.sqrt(3.0) / _MIDDLE_OF_16_BITS)
    return values.reshape(shape)


def _scaled(name: str, last: str, u: Floats) -> NDArray[np.floating]:
    near_one = last in {"weight", "gamma", "alpha"} and u.ndim != 2 and sum(n > 1 for n in u.shape) <= 1
    if name.endswith("prelu.weight"):
        return np.float32(0.25) + np.float32(0.1) * u
    if name.endswith(("act.alpha", "act.beta")):
        return np.float32(0.3) * u
    if last == "running_var":
        return np.float32(1.0) + np.float32(0.25) * u
    if last == "weight_g" or near_one:
        return np.float32(1.0) + np.float32(0.1) * u
    if last in {"bias", "beta", "running_mean"} or last.endswith("_bias"):
        return np.float32(0.1) * u
    if name.endswith(_TABLES):
        return u
    fan_in = u.shape[-1] if last in {"emb_rel_k", "emb_rel_v"} else math.prod(u.shape[1:])
    return u.astype(np.float64) / math.sqrt(max(1, fan_in))


def _rounded_to_fp16(values: NDArray[np.floating]) -> Floats:
    return values.astype(np.float32).astype(np.float16).astype(np.float32)


def _rotary_frequencies(shape: Shape) -> NDArray[np.float64]:
    return np.asarray(10000.0 ** (-np.arange(shape[0]) / shape[0]), dtype=np.float64)


def _low_pass(shape: Shape) -> NDArray[np.float64]:
    """A Kaiser-windowed sinc: cutoff 0.25, half width 0.3, sum 1."""
    taps, cutoff, half_width = shape[-1], 0.25, 0.3
    attenuation = 2.285 * (taps // 2 - 1) * math.pi * 4 * half_width + 7.95
    times = np.arange(-(taps // 2), taps // 2) + 0.5
    window = np.kaiser(taps, _kaiser_beta(attenuation))
    kernel = 2 * cutoff * window * np.sinc(2 * cutoff * times)
    return np.asarray(kernel / kernel.sum(), dtype=np.float64).reshape(shape)


def _kaiser_beta(attenuation: float) -> float:
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation >= 21:
        return float(0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21))
    return 0.0


_CONSTANTS: dict[str, Callable[[Shape], NDArray[np.floating]]] = {
    "num_batches_tracked": np.zeros,
    "inited": np.ones,
    "cluster_size": np.ones,
    "inv_freq": _rotary_frequencies,
    "filter": _low_pass,
}
