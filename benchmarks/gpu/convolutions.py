"""How ONNX Runtime's CUDA provider does one-dimensional convolutions best: the vocoder, by its options."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from sovits_runtime.backends.onnxruntime import cuda_options, import_onnxruntime, open_raw, ort_options
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import FP16, SOVITS_VOCODER
from sovits_runtime.bundle.session import SessionOptions

VOCODER = SOVITS_VOCODER
FRAMES = (36, 300)
"""A first chunk, and six seconds."""
WAYS = {
    "as it is": {},
    "maps of one row": {"cudnn_conv1d_pad_to_nc1d": "1"},
    "channels last": {"prefer_nhwc": "1"},
    "every algorithm timed": {"cudnn_conv_algo_search": "EXHAUSTIVE"},
    "bias in the convolution": {"fuse_conv_bias": "1"},
}


def time_vocoder(bundle: Bundle, *, repeats: int) -> dict[str, dict[str, float]]:
    """Times the vocoder by way and number of frames, in milliseconds (medians, copies included).

    Args:
        bundle: A bundle of v1 to v2ProPlus.
        repeats: Runs that count, after two that do not.
    """
    ort, spec = import_onnxruntime("cuda"), bundle.graph_spec(VOCODER)
    half = bundle.manifest["graphs"][VOCODER]["precision"] == FP16
    options, rng = SessionOptions("cuda", tf32=half), np.random.default_rng(0)
    medians_ms: dict[str, dict[str, float]] = {}
    for way, changed in WAYS.items():
        session: Any = open_raw(
            ort,
            bundle.graph_path(VOCODER),
            options,
            ort_options(ort, options),
            {**cuda_options(options), **changed},
        )
        medians_ms[way] = {}
        for frames in FRAMES:
            feeds = {
                t.name: rng.standard_normal(t.resolve({"frames": frames}), np.float32) for t in spec.inputs
            }
            seconds = []
            for _ in range(2 + repeats):
                start = time.perf_counter()
                session.run(None, feeds, None)
                seconds.append(time.perf_counter() - start)
            medians_ms[way][str(frames)] = round(1000 * statistics.median(seconds[2:]), 3)
    return medians_ms
