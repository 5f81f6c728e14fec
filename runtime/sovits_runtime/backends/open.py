"""Opens a voice on the backend that its options name."""

from __future__ import annotations

import logging
import sys

from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.backends.onnxruntime import PROVIDERS
from sovits_runtime.backends.voice import LoadOptions, VoiceBackend
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.names import CPU_PRECISIONS, PREFILL, STEP
from sovits_runtime.errors import BackendError
from sovits_runtime.machine.cuda_packages import installed_mix

logger = logging.getLogger(__name__)

BACKENDS = ("onnxruntime", "tensorrt")
"""What runs a voice: graph by graph on ONNX Runtime, or as a whole on TensorRT."""


def open_voice(bundle: Bundle, options: LoadOptions) -> VoiceBackend:
    """Opens the GPT of a bundle, and gives what opens its other graphs.

    Args:
        bundle: An opened bundle.
        options: How to load it.

    Raises:
        BackendError: The device or backend is unknown, cannot be used, or cannot run this bundle.
        BundleError: The bundle lacks what the backend needs.
    """
    _check(bundle, options)
    if options.device == "cpu":
        return CpuVoice(bundle, options)
    if options.device == "webgpu":
        from sovits_runtime.backends.webgpu import WebGpuVoice

        return WebGpuVoice(bundle, options)
    if mix := installed_mix(torch="torch" in sys.modules):
        logger.warning("%s", mix)
    # The modules of GPUs are imported where there is one to use.
    if options.backend == "onnxruntime":
        from sovits_runtime.backends.onnxruntime_cuda import OrtCudaVoice

        return OrtCudaVoice(bundle, options)
    from sovits_runtime.backends.tensorrt import TensorRtVoice

    return TensorRtVoice(bundle, options)


def _check(bundle: Bundle, options: LoadOptions) -> None:
    """Refuses what cannot go together, before anything is opened."""
    if options.backend not in BACKENDS:
        raise BackendError(f"backend {options.backend!r} is unknown; known backends: {', '.join(BACKENDS)}")
    if options.device not in PROVIDERS:
        raise BackendError(
            f"device {options.device!r} is unknown; ONNX Runtime runs on: {', '.join(PROVIDERS)}"
        )
    on_gpu = set(bundle.graph_names) - ({PREFILL, STEP} if options.device == "webgpu" else set())
    if options.device != "cpu" and not CPU_PRECISIONS.isdisjoint(map(bundle.graph_precision, on_gpu)):
        raise BackendError(
            f"{bundle.path}: is {bundle.precision} for ONNX Runtime's CPU, and cannot run on "
            f"{options.device!r}; use device 'cpu', or the FP32 or FP16 bundle"
        )
    if options.gpt_steps == "native" and options.backend != "onnxruntime":
        raise BackendError(f"native kernels run beside backend 'onnxruntime', asked for {options.backend!r}")
    if options.vocoder_engine == "native" and options.device != "cpu":
        raise BackendError(f"the native vocoder runs on device 'cpu', got {options.device!r}")
    if options.device != "cpu" and options.plan not in ("auto", "none"):
        raise BackendError(f"plan {options.plan!r}: plans are for device 'cpu', got {options.device!r}")
    if options.backend == "tensorrt" and options.device != "cuda":
        raise BackendError(
            f"backend 'tensorrt' runs on device 'cuda', got {options.device!r}; name both, or use "
            "backend 'onnxruntime'"
        )
