"""A voice on the CPU: ONNX Runtime, and this project's C kernels for the GPT's steps."""

from __future__ import annotations

from typing import Any

from sovits_runtime.backends.native import NativeStep, library_for, open_step
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.backends.prepacked import MEMORY_MAPPED, find_prepacked
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import CPU_FILE, Bundle
from sovits_runtime.bundle.names import PREFILL, STEP
from sovits_runtime.bundle.session import BindableSession, Session, SessionOptions
from sovits_runtime.t2s.host_loop import TextToSemantic

RUN_EVERY_TOKEN = {STEP}


class CpuVoice:
    """One bundle on the CPU, see `VoiceBackend`.

    Args:
        bundle: An opened bundle.
        options: `threads` and `gpt_steps` count.

    Raises:
        BackendError: Native kernels were asked for and cannot run, or a graph cannot be opened.
    """

    overlaps = False  # tokens and sound would compete for the same cores

    def __init__(self, bundle: Bundle, options: LoadOptions) -> None:
        self.bundle = bundle
        self.options = options
        self.runs_on: dict[str, str] = {}
        self._native = library_for(bundle, options.gpt_steps)
        self._prepacked = find_prepacked(bundle, options.gpt_steps)
        self.text_to_semantic = TextToSemantic(self._session(PREFILL), self._step())

    def graph(self, name: str) -> Session:
        """Opens a graph other than the GPT's; see `VoiceBackend.graph`."""
        return self._session(name)

    def warm(self) -> None:
        """Nothing: the first run on a CPU costs what the others cost."""

    def describe(self) -> dict[str, Any]:
        """Nothing beyond `runs_on`."""
        return {}

    def close(self) -> None:
        """Ends the threads of the native step; sessions go with the last reference to them."""
        step = self.text_to_semantic.step
        if isinstance(step, NativeStep):
            step.close()

    def _step(self) -> BindableSession:
        if self._native is None:
            return self._session(STEP)
        prepacked = self._prepacked.path(STEP) if self._prepacked else None
        step = open_step(self._native, self.bundle, prepacked, self.options.threads)
        self.runs_on[STEP] = step.provider
        return step

    def _session(self, name: str) -> BindableSession:
        prepacked = self._prepacked.path(name) if self._prepacked else None
        options = SessionOptions(
            threads=self.options.threads,
            prepack=name not in MEMORY_MAPPED or prepacked is not None,
            keep_buffers=name in RUN_EVERY_TOKEN,
            optimized=prepacked is not None,
        )
        path = prepacked or self.bundle.graph_path(name, form=CPU_FILE)
        session = open_session(path, self.bundle.graph_spec(name), options)
        self.runs_on[name] = session.provider
        return session


def open_cpu_graph(bundle: Bundle, name: str, threads: int | None) -> Session:
    """Opens one graph on the CPU, for a voice whose other graphs run elsewhere.

    Raises:
        BackendError: ONNX Runtime is not installed, or cannot open the graph.
    """
    options = SessionOptions(threads=threads, prepack=name not in MEMORY_MAPPED, keep_buffers=False)
    return open_session(bundle.graph_path(name, form=CPU_FILE), bundle.graph_spec(name), options)
