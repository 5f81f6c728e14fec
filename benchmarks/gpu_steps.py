"""The CUDA kernels of the GPT's step alone: proved against ONNX Runtime's CPU, and timed. Wants no more than NVRTC.

The prefill runs on the CPU here, so neither TensorRT nor ONNX Runtime with CUDA is needed; only steps are timed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovits_runtime import Synthesizer
from sovits_runtime.bundle import DEVICE_FILE, Bundle
from sovits_runtime.gpu.device import Device, DeviceArray, Engine, Stream
from sovits_runtime.gpu.step_spec import PREFILL, rows_spec
from sovits_runtime.gpu.token_slot import GptEngines
from sovits_runtime.gpu.tokens import DeviceTextToSemantic
from sovits_runtime.sampling import SamplingOptions
from sovits_runtime.session import SessionOptions, open_session
from sovits_runtime.t2s import seeded_noise

ENDLESS = SamplingOptions(min_tokens=10_000)
PHONES, PROMPT = 40, 60


class HostPrefill:
    """`gpt_prefill` on ONNX Runtime's CPU as an engine; see `sovits_runtime.gpu.device.Engine`. It waits."""

    provider = "CPUExecutionProvider"
    weight_bytes = scratch_bytes = 0

    def __init__(self, bundle: Bundle, device: Device) -> None:
        self.spec = rows_spec(bundle.graph_spec(PREFILL))
        self.device = device
        self.session = open_session(
            bundle.graph_path(PREFILL, form=DEVICE_FILE), self.spec, options=SessionOptions()
        )

    def context(self, scratch: DeviceArray) -> HostContext:
        """See `Engine.context`."""
        return HostContext(self)


class HostContext:
    """What the prefill is bound to."""

    def __init__(self, engine: HostPrefill) -> None:
        self._engine = engine
        self._arrays: dict[str, DeviceArray] = {}
        self._kept: dict[str, NDArray[Any]] = {}

    def bind(self, arrays: Mapping[str, DeviceArray]) -> None:
        """See `Context.bind`."""
        self._arrays |= arrays

    def enqueue(self, stream: Stream) -> None:
        """See `Context.enqueue`."""
        spec, arrays = self._engine.spec, self._arrays
        self._kept = {n: self._engine.device.pinned(a.shape, a.dtype) for n, a in arrays.items()}
        for name in spec.input_names:
            if arrays[name].nbytes:
                stream.download(self._kept[name], arrays[name])
        stream.synchronize()
        made = self._engine.session.run({name: self._kept[name].copy() for name in spec.input_names})
        for name, value in made.items():
            self._kept[name][...] = value
            stream.upload(arrays[name], self._kept[name])


def prove_steps(
    bundle: Bundle,
    device: Device,
    steps: tuple[Engine, ...],
    *,
    tokens: int = 100,
    count: int = 400,
    repeats: int = 5,
) -> dict[str, Any]:
    """Compares steps with the CPU's, then times them.

    Args:
        bundle: The bundle they were made of.
        device: Where they are.
        steps: One a cache length.
        tokens: Tokens that are compared.
        count: Tokens that are timed.
        repeats: Runs that count; 0: nothing is timed.

    Returns:
        Largest difference of the logits over teacher-forced steps, as a share of the largest, and fewest equal tokens
        of a free run, of captured and enqueued steps; tokens per second of each.

    Raises:
        AssertionError: Too large a difference.
    """
    rng = np.random.default_rng(0)
    with Synthesizer.load(bundle, native=False) as voice:
        t2s = voice.text_to_semantic
        given = (
            rng.integers(0, voice.spec.n_symbols, PHONES),
            rng.standard_normal((PHONES, t2s.bert_width), np.float32),
            rng.integers(0, t2s.vocab - 1, PROMPT),
        )

        def noise() -> Callable[[int], Any]:
            return seeded_noise(np.random.default_rng(1), t2s.vocab)

        free = t2s.generate(*given, options=ENDLESS, noise=noise(), max_tokens=tokens).tokens
        forced = {"options": ENDLESS, "forced": free}
        expected = [s.logits.copy() for s in t2s.steps(*given, noise=noise(), **forced)]
    engines = GptEngines(HostPrefill(bundle, device), steps)
    scale = max(float(np.abs(e).max()) for e in expected)
    result: dict[str, Any] = {"logits": 0.0, "equal_tokens": tokens}
    for name, capture in (("captured", True), ("enqueued", False)):
        ours = DeviceTextToSemantic(device, engines, strict=capture, capture=capture)
        got = [s.logits.copy() for s in ours.steps(*given, noise=noise(), **forced)]
        error = max(float(np.abs(a - b).max()) for a, b in zip(got, expected, strict=True))
        result["logits"] = max(result["logits"], error / scale)
        made = ours.generate(*given, options=ENDLESS, noise=noise(), max_tokens=tokens).tokens
        result["equal_tokens"] = min(result["equal_tokens"], int((made == free).sum()))
        rates = [_rate(ours, given, noise(), count) for _ in range(repeats)]
        if rates:
            result[f"tokens_per_s_{name}"] = round(statistics.median(rates))
        ours.close()
    limit = 1e-4 if bundle.precision == "fp32" else 2e-2
    if not result["logits"] <= limit:
        raise AssertionError(f"logits differ by {result['logits']:.1e} of the largest, limit {limit}")
    return result


def _rate(t2s: DeviceTextToSemantic, given: Any, noise: Callable[[int], Any], count: int) -> float:
    """Steps per second behind the first batch, so that the prefill on the CPU does not count."""
    stream = t2s.tokens(*given, options=ENDLESS, noise=noise, max_tokens=count)
    tokens = iter(stream)
    for _ in range(20):
        next(tokens)
    start = time.perf_counter()
    rest = sum(1 for _ in tokens)
    return rest / (time.perf_counter() - start)
