"""A voice on ONNX Runtime's CUDA provider: what runs on an NVIDIA GPU without anything to build."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sovits_runtime.backends.onnxruntime import CUDA_OPTIONS, import_onnxruntime, open_raw, ort_options
from sovits_runtime.bundle import DEVICE_FILE, Bundle
from sovits_runtime.errors import BundleError
from sovits_runtime.gpu.cuda import open_cuda
from sovits_runtime.gpu.device import Device
from sovits_runtime.gpu.ort_engine import NO_WAIT, DeviceWeights, OrtEngine
from sovits_runtime.gpu.step_spec import (
    CACHE_LENGTHS,
    PREFILL,
    STEP,
    device_step_spec,
    rows_spec,
    step_sizes,
)
from sovits_runtime.gpu.token_slot import GptEngines
from sovits_runtime.gpu.tokens import DeviceTextToSemantic
from sovits_runtime.graph import GraphSpec
from sovits_runtime.session import Session, SessionOptions


class OrtCudaVoice:
    """One bundle on one GPU: the GPT's steps feed themselves there, the other graphs are called one by one.

    Args:
        bundle: An opened bundle.
        options: `requests` and `strict` as in `Synthesizer.load`.
        session: Opens a graph on ONNX Runtime's CUDA provider.
        device: The GPU; None: the first one.
        ort: The module `onnxruntime`; None: the one that is installed.
        cache_lengths: Rows of the caches, shortest first.

    Attributes:
        runs_on: What runs each graph of the GPT.

    Raises:
        BackendError: No GPU, or no ONNX Runtime with CUDA.
        BundleError: The bundle holds no graphs for this.
    """

    def __init__(
        self,
        bundle: Bundle,
        options: SessionOptions,
        *,
        session: Callable[[str], Session],
        device: Device | None = None,
        ort: Any = None,
        cache_lengths: Sequence[int] = CACHE_LENGTHS,
    ) -> None:
        device = device or open_cuda()
        self.gpu = device.name
        self.graph = session
        self._weights = DeviceWeights(ort or import_onnxruntime("cuda"))
        engines = _open_gpt(bundle, options, self._weights, cache_lengths)
        self.text_to_semantic = DeviceTextToSemantic(
            device, engines, slots=options.requests, strict=options.strict
        )
        provider = engines.prefill.provider
        self.runs_on = {
            PREFILL: provider,
            STEP: f"{provider}, caches of {', '.join(map(str, engines.lengths))} rows",
        }

    def describe(self) -> dict[str, Any]:
        """What runs, for reports; memory in bytes, without that of the graphs beside the GPT."""
        tokens = self.text_to_semantic
        return {
            "gpu": self.gpu,
            "token_steps": tokens.fallback or "captured",
            "memory_bytes": {
                "gpt_weights": self._weights.nbytes,
                "tokens_each": tokens.slot_bytes,
                "tokens_all": tokens.memory_bytes,
            },
        }

    def close(self) -> None:
        """Frees what the voice holds on the GPU; nothing may be in flight."""
        self.text_to_semantic.close()


def _open_gpt(
    bundle: Bundle, options: SessionOptions, weights: DeviceWeights, cache_lengths: Sequence[int]
) -> GptEngines:
    """Prepares the prefill and one step a cache length, all on one copy of the weights."""
    ort = weights.ort
    no_wait = ort.RunOptions()
    no_wait.add_run_config_entry(*NO_WAIT)

    def engine(name: str, spec: GraphSpec, sizes: Mapping[str, int]) -> OrtEngine:
        if not bundle.has_form(name, DEVICE_FILE):
            raise BundleError(
                f"{bundle.path}: holds no {name} for a GPU, it was built by an older version; build it again"
            )
        path = bundle.graph_path(name, form=DEVICE_FILE)
        shared = weights.of(path)

        def open_on(stream: int) -> Any:
            settings = ort_options(ort, options)
            settings.enable_mem_pattern = False  # else the second run, which is captured, allocates anew
            for dim, size in sizes.items():
                settings.add_free_dimension_override_by_name(dim, size)
            for weight, value in shared.items():
                settings.add_initializer(weight, value)
            return open_raw(
                ort, path, options, settings, {**CUDA_OPTIONS, "user_compute_stream": str(stream)}
            )

        return OrtEngine(spec, open_on, no_wait)

    prefill, step = bundle.graph_spec(PREFILL), bundle.graph_spec(STEP)
    return GptEngines(
        engine(PREFILL, rows_spec(prefill), {"batch": 1}),
        tuple(engine(STEP, device_step_spec(step, n), step_sizes(n)) for n in cache_lengths),
    )
