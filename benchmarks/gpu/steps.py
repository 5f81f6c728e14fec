"""The CUDA kernels of the GPT's step alone: proved against ONNX Runtime's CPU, and timed. Wants no more than NVRTC.

The prefill runs on the CPU here, so neither TensorRT nor ONNX Runtime with CUDA is needed; only steps are timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from latency import TOKENS, summary, token_figures, tokens_of, used_bytes
from numpy.typing import NDArray

from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.bench.runner import ENDLESS, BundleRunner
from sovits_runtime.bundle import DEVICE_FILE, Bundle
from sovits_runtime.bundle.names import FP32, PREFILL
from sovits_runtime.bundle.session import SessionOptions
from sovits_runtime.gpu.device import Device, DeviceArray, Engine, Stream
from sovits_runtime.machine import usable_cores
from sovits_runtime.t2s.device_loop import DeviceTextToSemantic
from sovits_runtime.t2s.device_slot import GptEngines
from sovits_runtime.t2s.device_step import rows_spec


class HostPrefill:
    """`gpt_prefill` on ONNX Runtime's CPU as an engine; see `sovits_runtime.gpu.device.Engine`. It waits."""

    provider = "CPUExecutionProvider"
    scratch_bytes = 0

    def __init__(self, bundle: Bundle, device: Device) -> None:
        self.spec = rows_spec(bundle.graph_spec(PREFILL))
        self.device = device
        self.session = open_session(
            bundle.graph_path(PREFILL, form=DEVICE_FILE), self.spec, options=SessionOptions()
        )

    def context(self, scratch: DeviceArray) -> HostContext:
        """A way to run it; see `Engine.context`."""
        return HostContext(self)


class HostContext:
    """What the prefill is bound to."""

    def __init__(self, engine: HostPrefill) -> None:
        self._engine = engine
        self._arrays: dict[str, DeviceArray] = {}
        self._kept: dict[str, NDArray[Any]] = {}

    def bind(self, arrays: Mapping[str, DeviceArray]) -> None:
        """Takes the arrays of later runs; see `Context.bind`."""
        self._arrays |= arrays

    def enqueue(self, stream: Stream) -> None:
        """Runs it once; see `Context.enqueue`."""
        spec, arrays = self._engine.spec, self._arrays
        self._kept = {n: self._engine.device.pinned(a.shape, a.dtype) for n, a in arrays.items()}
        for name in spec.input_names:
            if arrays[name].nbytes:
                stream.download(self._kept[name], arrays[name])
        stream.synchronize()
        outputs = self._engine.session.run({name: self._kept[name].copy() for name in spec.input_names})
        for name, value in outputs.items():
            self._kept[name][...] = value
            stream.upload(arrays[name], self._kept[name])


def prove_steps(
    bundle: Bundle,
    device: Device,
    steps: tuple[Engine, ...],
    *,
    tokens: int = 100,
    count: int = TOKENS,
    repeats: int = 5,
) -> dict[str, Any]:
    """Compares steps with the CPU's on the workload of the latency parts, then times them.

    Args:
        bundle: The bundle they were made of.
        device: Where they are.
        steps: One a cache length.
        tokens: Tokens that are compared.
        count: Tokens that are timed.
        repeats: Runs that count; 0: nothing is timed.

    Returns:
        Largest difference of the logits over teacher-forced steps, as a fraction of the largest, and fewest equal
        tokens of a free run, of captured and enqueued steps; tokens per second of each, without the prefill.

    Raises:
        AssertionError: Too large a difference.
    """
    runner = BundleRunner(bundle, device="cpu", threads=usable_cores(), gpt_steps="onnxruntime", plan="none")
    with runner.voice as voice:
        work = runner.workload(max(tokens, count))
        inputs = (work.all_phones, work.bert, work.prompt)
        t2s = voice.text_to_semantic
        free = tokens_of(t2s, work, tokens).finish().tokens
        forced = {"options": ENDLESS, "forced": free}
        expected = [s.logits.copy() for s in t2s.steps(*inputs, noise=work.token_noise(), **forced)]
    engines = GptEngines(HostPrefill(bundle, device), steps)
    scale = max(float(np.abs(e).max()) for e in expected)
    result: dict[str, Any] = {"logits": 0.0, "equal_tokens": tokens}
    for name, capture in (("captured", True), ("enqueued", False)):
        ours = DeviceTextToSemantic(device, engines, strict=capture, capture=capture)
        got = [s.logits.copy() for s in ours.steps(*inputs, noise=work.token_noise(), **forced)]
        error = max(float(np.abs(a - b).max()) for a, b in zip(got, expected, strict=True))
        result["logits"] = max(result["logits"], error / scale)
        tokens_made = tokens_of(ours, work, tokens).finish().tokens
        result["equal_tokens"] = min(result["equal_tokens"], int((tokens_made == free).sum()))
        if repeats:
            figures = token_figures(lambda ours=ours: tokens_of(ours, work, count), repeats=repeats)
            result[f"tokens_per_s_{name}"] = round(figures["decode_tokens_per_s"])
        ours.close()
    limit = 1e-4 if bundle.precision == FP32 else 2e-2
    if not result["logits"] <= limit:
        raise AssertionError(f"logits differ by {result['logits']:.1e} of the largest, limit {limit}")
    return result


def latency_of_steps(
    bundle: Bundle, device: Device, make: Callable[[], tuple[Engine, ...]], *, repeats: int
) -> dict[str, Any]:
    """Times the workload's tokens with the prefill on the CPU: what there is of ours where only NVRTC is installed.

    Args:
        device: A GPU.
        make: Opens the steps, one a cache length.
        repeats: Runs that count.
    """
    runner = BundleRunner(bundle, device="cpu", threads=usable_cores(), gpt_steps="onnxruntime", plan="none")
    with runner.voice:
        work = runner.workload(TOKENS)
    before = used_bytes()
    ours = DeviceTextToSemantic(device, GptEngines(HostPrefill(bundle, device), make()))
    ours.warm()
    figures = token_figures(lambda: tokens_of(ours, work, TOKENS), repeats=repeats)
    facts = {
        "gpu_bytes": used_bytes() - before,
        "repeats": repeats,
        "runs": {
            "gpt_prefill": f"{ours.prefill.provider}, on the CPU: its time is not one of a GPU",
            "gpt_step": ours.step.provider,
            "token_steps": ours.fallback or "captured",
        },
    }
    ours.close()
    return {"summary": f"{summary(figures)} on the CPU", **figures, **facts}
