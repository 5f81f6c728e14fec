"""A voice on the CPU: ONNX Runtime, this project's C kernels for GPT and vocoder, OpenVINO where a plan says so."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from sovits_runtime.backends.cacheless_prefill import CachelessPrefill
from sovits_runtime.backends.native import NativeStep, library_for, open_step
from sovits_runtime.backends.native_packing import BF16, F32, INT8
from sovits_runtime.backends.native_prefill import open_prefill
from sovits_runtime.backends.native_vocoder import NativeVocoder, open_vocoder, vocoder_library
from sovits_runtime.backends.onnxruntime import import_onnxruntime, open_session
from sovits_runtime.backends.openvino import OpenVinoSession, WindowSession, can_run_in_windows
from sovits_runtime.backends.plan import (
    NATIVE,
    NATIVE_BF16,
    NATIVE_INT8,
    ONNX_RUNTIME,
    OPENVINO_ENGINES,
    Taken,
    take_plan,
)
from sovits_runtime.backends.prepacked import MEMORY_MAPPED, NATIVE_FILE, find_prepacked
from sovits_runtime.backends.voice import GptSteps, LoadOptions, VocoderEngine
from sovits_runtime.bundle import CPU_FILE, Bundle
from sovits_runtime.bundle.names import CPU_PRECISIONS, PREFILL, STEP, VOCODERS
from sovits_runtime.bundle.session import BindableSession, Session, SessionOptions
from sovits_runtime.errors import BackendError
from sovits_runtime.machine.onnx_runtime import (
    SCATTER_ONNXRUNTIME,
    has_tensor_scatter,
    installed_onnxruntimes,
    upgrade,
)
from sovits_runtime.machine.openvino import OpenVinoPrecision
from sovits_runtime.t2s.host_loop import TextToSemantic

logger = logging.getLogger(__name__)

RUN_EVERY_TOKEN = {STEP}
WINDOWS: Mapping[str, tuple[int, ...]] = {"f32": (64, 128), "bf16": (64,), "f16": (64,)}
"""Lengths of windows in OpenVINO, in frames. In bf16 the kernels of one frame more take 2 MB and a longer load."""

INT8_STEP = f"{STEP}.int8.native"
"""File of a plan: the step's matrices, quantized and packed for the native kernels."""


VOCODER_FORMS = {NATIVE: F32, NATIVE_BF16: BF16, NATIVE_INT8: INT8}
"""What convolutions of a native vocoder are packed in, by its engine."""


def rounded_file(name: str, engine: str) -> str:
    """File of a plan: a vocoder's weights, rounded and packed for the native kernels of an engine."""
    return f"{name}.{engine.removeprefix('native-')}{NATIVE_FILE}"


class CpuVoice:
    """One bundle on the CPU, see `VoiceBackend`.

    Args:
        bundle: An opened bundle.
        options: `threads`, `gpt_steps`, `vocoder_engine` and `plan` count.
        taken: What runs it; None: what the options say.

    Raises:
        BackendError: Native kernels, or a plan, were asked for and cannot run, or a graph cannot be opened.
        BundleError: What `tune` or `prepack` made is damaged.
    """

    overlaps = False  # tokens and sound would compete for the same cores

    def __init__(self, bundle: Bundle, options: LoadOptions, taken: Taken | None = None) -> None:
        self.bundle = bundle
        self.options = options
        self.runs_on: dict[str, str] = {}
        self._taken = taken or take_plan(bundle, options.plan)
        self._opening: list[OpenVinoSession | WindowSession] = []
        self._vocoders: list[NativeVocoder] = []
        self._native = library_for(bundle, self._gpt_steps)
        self._prepacked = find_prepacked(
            bundle, self._gpt_steps, vocoder_engine=self._vocoder_engine, quiet=taken is not None
        )
        self._scatters = has_tensor_scatter(import_onnxruntime("cpu"))
        step = self._step()
        self.text_to_semantic = TextToSemantic(self._prefill(step), step)

    @property
    def chunks(self) -> Mapping[str, float] | None:
        """What suits this machine; see `VoiceBackend`."""
        return self._taken.choice.chunks

    def graph(self, name: str) -> Session:
        """Opens a graph other than the GPT's; see `VoiceBackend.graph`."""
        asked = self.options.vocoder_engine
        if name in VOCODERS and asked != "auto":
            return self.open_with(name, NATIVE if asked == "native" else ONNX_RUNTIME)
        return self.open_with(name, self._taken.choice.engine(name))

    def open_with(self, name: str, engine: str) -> Session:
        """Opens a graph other than the GPT's on an engine of `plan.ENGINES`, whatever the plan says.

        Without one it is what runs the graph where there is no plan.
        """
        if engine in OPENVINO_ENGINES:
            return self._openvino(name, engine)
        return self._native_vocoder(name, engine) or self._session(name)

    def warm(self) -> None:
        """Nothing: the first run on a CPU costs what the others cost."""

    def describe(self) -> dict[str, Any]:
        """The plan: which one, where it lies, and why another one was not taken."""
        plan = self._taken.plan
        facts: dict[str, Any] = {"plan": self._taken.kind, "plan_folder": str(plan.folder) if plan else ""}
        facts["exact"] = self._taken.choice.exact
        return facts | ({"plan_ignored": self._taken.ignored} if self._taken.ignored else {})

    def close(self) -> None:
        """Waits for graphs that are being opened, ends the kernels' threads; sessions go with the last reference."""
        for session in self._opening:
            session.wait()
        self._opening.clear()
        while self._vocoders:
            self._vocoders.pop().close()
        step = self.text_to_semantic.step
        if isinstance(step, NativeStep):
            step.close()

    @property
    def _gpt_steps(self) -> GptSteps:
        """What runs the step: what was asked for, else what the plan says."""
        return self._taken.choice.gpt_steps if self.options.gpt_steps == "auto" else self.options.gpt_steps

    @property
    def _vocoder_engine(self) -> VocoderEngine:
        """What runs the vocoder in the numbers of its graph: what was asked for, else what the plan says."""
        asked = self.options.vocoder_engine
        return self._taken.choice.vocoder_engine if asked == "auto" else asked

    def _native_vocoder(self, name: str, engine: str) -> NativeVocoder | None:
        """Opens a vocoder on the native kernels, where an engine means those."""
        must = engine in VOCODER_FORMS
        lib = (
            None
            if engine == ONNX_RUNTIME
            else vocoder_library(self.bundle, name, "native" if must else "auto")
        )
        if lib is None:
            return None
        form = VOCODER_FORMS.get(engine, F32)
        if form != F32:
            packed = self._taken.plan.file(rounded_file(name, engine)) if self._taken.plan else None
        else:
            packed = self._prepacked.path(name, NATIVE_FILE) if self._prepacked else None
        threads = self.options.threads
        session = open_vocoder(lib, self.bundle, name, packed=packed, threads=threads, form=form)
        if session is None:
            if must:
                raise BackendError(
                    f"{self.bundle.path}: native kernels make sound by a HiFi-GAN in float32, its {name} is another "
                    "network; use --vocoder-engine onnxruntime"
                )
            return None
        self._vocoders.append(session)
        self.runs_on[name] = session.provider
        return session

    def _step(self) -> BindableSession:
        if self._native is None:
            return self._session(STEP) if self._scatters else self._step_without_scatter()
        int8 = self._taken.choice.engine(STEP) == NATIVE_INT8 and self.options.gpt_steps == "auto"
        threads = self.options.threads
        if int8:
            packed = self._taken.plan.file(INT8_STEP) if self._taken.plan else None
            step = open_step(
                self._native,
                self.bundle,
                packed,
                threads,
                precision="int8",
                half_caches=self._taken.choice.native_prefill,
            )
        else:
            packed = self._prepacked.path(STEP, NATIVE_FILE) if self._prepacked else None
            step = open_step(self._native, self.bundle, packed, threads)
        self.runs_on[STEP] = step.provider + (", int8" if int8 else "")
        return step

    def _prefill(self, step: BindableSession) -> BindableSession:
        planned = self._taken.choice.native_prefill and self.options.gpt_steps == "auto"
        if planned and isinstance(step, NativeStep):
            self.runs_on[PREFILL] = self.runs_on[STEP]
            return open_prefill(step, self.bundle)
        if self._scatters:
            return self._session(PREFILL)
        prefill = CachelessPrefill(self.bundle, SessionOptions(threads=self.options.threads, prepack=False))
        self.runs_on[PREFILL] = prefill.provider
        return prefill

    def _step_without_scatter(self) -> BindableSession:
        """Opens the step where ONNX Runtime has no TensorScatter, or says what to do."""
        precision = self.bundle.graph_precision(STEP)
        newer = upgrade(installed_onnxruntimes(), SCATTER_ONNXRUNTIME)
        if precision not in CPU_PRECISIONS and not self.bundle.has_form(STEP, CPU_FILE):
            ort = import_onnxruntime("cpu")
            raise BackendError(
                f"{self.bundle.path}: its {precision} step needs TensorScatter, which ONNX Runtime {ort.__version__} "
                f"has not; {newer}, or take the FP32 bundle"
            )
        try:
            return self._session(STEP)
        except BackendError as error:  # earlier versions wrote a newer opset into it than it needs
            raise BackendError(f"{error}; build or convert the voice again, or {newer}") from error

    def _session(self, name: str) -> BindableSession:
        session = self._on_onnxruntime(name)
        self.runs_on[name] = session.provider
        return session

    def _on_onnxruntime(self, name: str) -> BindableSession:
        prepacked = self._prepacked.path(name) if self._prepacked else None
        options = SessionOptions(
            threads=self.options.threads,
            prepack=name not in MEMORY_MAPPED or prepacked is not None,
            keep_buffers=name in RUN_EVERY_TOKEN,
            optimized=prepacked is not None,
        )
        path = prepacked or self.bundle.graph_path(name, form=CPU_FILE)
        return open_session(path, self.bundle.graph_spec(name), options)

    def _openvino(self, name: str, engine: str) -> Session:
        precision = cast(OpenVinoPrecision, OPENVINO_ENGINES[engine])
        path, spec, threads = self.bundle.graph_path(name), self.bundle.graph_spec(name), self.options.threads

        def elsewhere() -> Session:
            logger.info("graph %s: ONNX Runtime runs what OpenVINO has no window for", name)
            return self._on_onnxruntime(name)

        if not can_run_in_windows(spec):
            session = OpenVinoSession(path, spec, precision=precision, threads=threads, elsewhere=elsewhere)
            self._opening.append(session)
            self.runs_on[name] = session.provider
            return session
        lengths = WINDOWS[precision]
        window = WindowSession(path, spec, lengths, precision=precision, threads=threads, elsewhere=elsewhere)
        self._opening.append(window)
        sizes = " and ".join(map(str, lengths))
        self.runs_on[name] = f"{window.provider}, windows of {sizes} frames; below them ONNX Runtime"
        return window


def open_cpu_graph(bundle: Bundle, name: str, threads: int | None) -> Session:
    """Opens one graph on the CPU, for a voice whose other graphs run elsewhere.

    Raises:
        BackendError: ONNX Runtime is not installed, or cannot open the graph.
    """
    options = SessionOptions(threads=threads, prepack=name not in MEMORY_MAPPED, keep_buffers=False)
    return open_session(bundle.graph_path(name, form=CPU_FILE), bundle.graph_spec(name), options)
