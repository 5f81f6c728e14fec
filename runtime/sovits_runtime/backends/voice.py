"""The interface of a backend (CPU, ONNX Runtime on CUDA, TensorRT), and the options to load one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.session import Session
from sovits_runtime.t2s.device_step import BATCH_SIZES
from sovits_runtime.t2s.generator import SemanticGenerator
from sovits_runtime.t2s.limits import check_count

GptSteps = Literal["auto", "onnxruntime", "native"]
VocoderEngine = Literal["auto", "onnxruntime", "native"]
MAX_REQUESTS = 1024


def most_threads() -> int:
    """Threads beyond which nobody means it: every graph starts as many, and each takes memory."""
    return max(64, 4 * (os.cpu_count() or 1))


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How to load a voice.

    Attributes:
        device: "cpu", "cuda", or "webgpu" for GPUs of other makers, where tokens are made on the CPU.
        backend: "onnxruntime", or "tensorrt" on "cuda" with engines that were built for this GPU.
        threads: Threads within one operator; None: the physical cores that affinity and container allow.
        requests: On a GPU, how many requests may be in flight; each takes device memory of its own.
        rows: On a GPU, how many sentences an engine steps together, up to 32, where the bundle or its engines have
            steps for that; each takes device memory of its own. None: as many as a `SpeechEngine` speaks at once, and
            none otherwise; 0: each sentence steps by itself.
        gpt_steps: What runs the GPT's steps. "native": this project's own kernels, in C on a CPU, in CUDA on a GPU.
            "onnxruntime": the graphs, as the backend has them. "auto": on a CPU the C kernels where
            `sovits-export-native` is installed and written for the processor and for the bundle's precision; else
            the graphs. `Synthesizer.describe` says what runs.
        vocoder_engine: On a CPU, what runs the vocoder. "native": this project's own kernels, in C. "onnxruntime": the
            graph. "auto": what the plan says; without one the kernels where they are installed, fit, and are known to
            be faster, else the graph.
        plan: On a CPU, what runs each graph. "auto": what `sovits-export tune` made active for this machine, else the
            defaults. "none": the defaults. "tuned", "exact": that choice of its plan. Else the file of a plan.
        strict: Whether what cannot run as requested is an error: a graph without an engine, steps that cannot be
            captured, operators that would run on the CPU. Otherwise it runs in another way, which is logged.

    Raises:
        ShapeError: `threads`, `requests` or `rows` is out of range.
    """

    device: str = "cpu"
    backend: str = "onnxruntime"
    threads: int | None = None
    requests: int = 1
    rows: int | None = None
    gpt_steps: GptSteps = "auto"
    vocoder_engine: VocoderEngine = "auto"
    plan: str = "auto"
    strict: bool = False

    def __post_init__(self) -> None:
        if self.threads is not None:
            hint = ", or None for the cores that this process may use"
            check_count("threads", self.threads, 1, high=most_threads(), hint=hint)
        check_count("requests", self.requests, 1, high=MAX_REQUESTS)
        if self.rows is not None:
            hint = ", or None for as many as an engine speaks at once"
            check_count("rows", self.rows, 0, high=BATCH_SIZES[-1], hint=hint)


class VoiceBackend(Protocol):
    """The graphs of one bundle on one device. Safe to use from several threads.

    Attributes:
        options: How it was loaded.
        runs_on: Graph -> what runs it, of the graphs opened so far.
        text_to_semantic: The GPT.
        chunks: Fields of `ChunkOptions` that suit the speed of this machine, where that was measured; else None.
        overlaps: Whether the host is free while tokens are made, so that the next sentence's tokens can be made while
            this one's sound is.
    """

    @property
    def bundle(self) -> Bundle: ...  # noqa: D102 - see above

    @property
    def options(self) -> LoadOptions: ...  # noqa: D102

    @property
    def runs_on(self) -> dict[str, str]: ...  # noqa: D102

    @property
    def text_to_semantic(self) -> SemanticGenerator: ...  # noqa: D102

    @property
    def chunks(self) -> Mapping[str, float] | None: ...  # noqa: D102

    @property
    def overlaps(self) -> bool: ...  # noqa: D102

    def graph(self, name: str) -> Session:
        """Opens a graph other than the GPT's.

        Raises:
            BundleError: The bundle holds no such graph.
            BackendError: It cannot run here, or not as asked where `strict` was.
        """

    def warm(self) -> None:
        """Runs the graphs opened so far once, where the first run sets up something that a request should not pay for.

        Raises:
            BackendError: There is not enough memory, or a graph fails.
        """

    def describe(self) -> dict[str, Any]:
        """What runs beyond `runs_on`, for reports: on a GPU its name, how steps run, memory in bytes."""

    def close(self) -> None:
        """Frees what it holds; nothing may be in flight, which `Synthesizer.close` sees to."""
