"""A voice on ONNX Runtime's CUDA provider: what runs on an NVIDIA GPU without anything to build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sovits_runtime.backends.device_generator import open_generator
from sovits_runtime.backends.onnxruntime import (
    CUDA_OPTIONS,
    import_onnxruntime,
    open_raw,
    open_session,
    ort_options,
)
from sovits_runtime.backends.ort_engine import NO_WAIT, DeviceWeights, OrtEngine
from sovits_runtime.backends.prepacked import MEMORY_MAPPED
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import DEVICE_FILE, ROWS_FILE, Bundle
from sovits_runtime.bundle.feature_cache import user_cache_folder
from sovits_runtime.bundle.graph_spec import GraphSpec
from sovits_runtime.bundle.names import FP16, PREFILL, STEP
from sovits_runtime.bundle.session import Session, SessionOptions
from sovits_runtime.errors import BundleError
from sovits_runtime.gpu.cuda import CudaDevice, open_cuda
from sovits_runtime.gpu.device import Engine
from sovits_runtime.t2s.device_slot import GptEngines
from sovits_runtime.t2s.device_step import (
    BATCH_DIM,
    BATCH_SIZES,
    CACHE_LENGTHS,
    batch_size,
    batch_step_spec,
    device_step_spec,
    fixed_spec,
    rows_spec,
    step_sizes,
)
from sovits_runtime.t2s.step_compile import cuda_kernels
from sovits_runtime.t2s.step_kernel import open_kernel_steps


class OrtCudaVoice:
    """One bundle on one GPU: the GPT's steps feed themselves there, the other graphs are called one by one.

    Args:
        bundle: An opened bundle.
        options: `requests`, `gpt_steps` and `strict` count.
        cache_lengths: Positions that the KV caches hold, shortest first.

    Attributes:
        runs_on: What runs each graph opened so far.

    Raises:
        BackendError: No GPU, no ONNX Runtime with CUDA, or kernels that were asked for cannot run.
        BundleError: The bundle holds no graphs for this.
    """

    chunks = None
    overlaps = True

    def __init__(
        self, bundle: Bundle, options: LoadOptions, *, cache_lengths: Sequence[int] = CACHE_LENGTHS
    ) -> None:
        self.bundle = bundle
        self.options = options
        self.runs_on: dict[str, str] = {}
        device = open_cuda()
        self.gpu = device.name
        self._opened: list[Session] = []
        self._weights = DeviceWeights(import_onnxruntime("cuda"), device)
        try:
            self._load(device, cache_lengths)
        except BaseException:
            self._weights.free()
            raise

    def _load(self, device: CudaDevice, cache_lengths: Sequence[int]) -> None:
        bundle, options = self.bundle, self.options
        session_options = SessionOptions("cuda", strict=options.strict)
        steps: tuple[Engine, ...]
        batches: Mapping[int, tuple[Engine, ...]]
        if options.gpt_steps == "native":
            kernels = cuda_kernels(device, user_cache_folder() / "kernels")
            kernel_steps = open_kernel_steps(device, bundle, cache_lengths, kernels)
            steps, self._step_weights = kernel_steps, kernel_steps[0].shared.weight_bytes
            batches, lack = {}, "the CUDA kernel steps one row"
        else:
            steps, self._step_weights = _steps(bundle, session_options, self._weights, cache_lengths), 0
            batches, lack = _batches(bundle, options.rows, session_options, self._weights, cache_lengths)
        prefill = _prefill(bundle, session_options, self._weights)
        engines = GptEngines(prefill, steps, batches, lack if options.rows else "")
        self.text_to_semantic = open_generator(device, engines, options)
        lengths = ", ".join(map(str, engines.lengths))
        self.runs_on[PREFILL] = engines.prefill.provider
        self.runs_on[STEP] = f"{steps[0].provider}, caches of {lengths} rows"

    def graph(self, name: str) -> Session:
        """Opens a graph other than the GPT's; see `VoiceBackend.graph`."""
        options = SessionOptions(
            "cuda",
            prepack=name not in MEMORY_MAPPED,
            keep_buffers=False,
            strict=self.options.strict,
            tf32=self.bundle.manifest["graphs"][name]["precision"] == FP16,
        )
        session = open_session(self.bundle.graph_path(name), self.bundle.graph_spec(name), options)
        self._opened.append(session)
        self.runs_on[name] = session.provider
        return session

    def warm(self) -> None:
        """Runs the graphs opened so far once, so that no request pays for what the first run of each sets up.

        Raises:
            BackendError: One of them fails.
        """
        for session in self._opened:
            session.run(session.spec.zeros())

    def describe(self) -> dict[str, Any]:
        """What runs, for reports; memory in bytes, without that of the graphs beside the GPT."""
        tokens = self.text_to_semantic
        return {
            "gpu": self.gpu,
            "token_steps": tokens.fallback or "captured",
            "token_rows": tokens.rows_title,
            "memory_bytes": {
                "gpt_weights": self._weights.nbytes + self._step_weights,
                "tokens_each": tokens.slot_bytes,
                "tokens_all": tokens.memory_bytes,
            },
        }

    def close(self) -> None:
        """Frees what the voice holds on the GPU; nothing may be in flight."""
        self.text_to_semantic.close()
        self._weights.free()


def _prefill(bundle: Bundle, options: SessionOptions, weights: DeviceWeights) -> OrtEngine:
    return _engine(
        bundle, options, weights, PREFILL, spec=rows_spec(bundle.graph_spec(PREFILL)), sizes={"batch": 1}
    )


def _steps(
    bundle: Bundle, options: SessionOptions, weights: DeviceWeights, cache_lengths: Sequence[int]
) -> tuple[OrtEngine, ...]:
    """One step a cache length; all of them and the prefill read one copy of the weights."""
    spec = bundle.graph_spec(STEP)
    return tuple(
        _engine(bundle, options, weights, STEP, spec=device_step_spec(spec, n), sizes=step_sizes(n))
        for n in cache_lengths
    )


def _batches(
    bundle: Bundle,
    rows: int | None,
    options: SessionOptions,
    weights: DeviceWeights,
    cache_lengths: Sequence[int],
) -> tuple[dict[int, tuple[OrtEngine, ...]], str]:
    """Steps for batches of up to so many rows, each number with sessions of its own; or why there are none."""
    if not rows:
        return {}, ""
    if not bundle.has_form(STEP, ROWS_FILE):
        return {}, "the bundle was built by an older version; build it again"
    spec = bundle.graph_spec(STEP)

    def step(size: int, length: int) -> OrtEngine:
        sizes = {**step_sizes(length), BATCH_DIM: size}
        made_for = fixed_spec(batch_step_spec(spec, length), {BATCH_DIM: size})
        return _engine(bundle, options, weights, STEP, spec=made_for, sizes=sizes, form=ROWS_FILE)

    numbers = [size for size in BATCH_SIZES if size <= batch_size(rows)]
    return {size: tuple(step(size, length) for length in cache_lengths) for size in numbers}, ""


def _engine(
    bundle: Bundle,
    options: SessionOptions,
    weights: DeviceWeights,
    name: str,
    *,
    spec: GraphSpec,
    sizes: Mapping[str, int],
    form: str = DEVICE_FILE,
) -> OrtEngine:
    if not bundle.has_form(name, form):
        raise BundleError(
            f"{bundle.path}: holds no {name} for a GPU, it was built by an older version; build it again"
        )
    ort, path = weights.ort, bundle.graph_path(name, form=form)
    no_wait = ort.RunOptions()
    no_wait.add_run_config_entry(*NO_WAIT)

    # Where sizes vary, each that is larger than all before would leave the memory of the one before unused.
    exact = {} if spec.dims else {"arena_extend_strategy": "kSameAsRequested"}

    def open_on(stream: int) -> Any:
        settings = ort_options(ort, options)
        settings.enable_mem_pattern = False  # else the second run, which is captured, allocates anew
        for dim, size in sizes.items():
            settings.add_free_dimension_override_by_name(dim, size)
        for weight, value in weights.of(path).items():
            settings.add_initializer(weight, value)
        cuda = {**CUDA_OPTIONS, **exact, "user_compute_stream": str(stream)}
        return open_raw(ort, path, options, settings, cuda)

    return OrtEngine(spec, open_on, no_wait)
