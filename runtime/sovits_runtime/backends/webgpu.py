"""A voice whose sound is made by ONNX Runtime on WebGPU, which GPUs of AMD, Intel and Apple have; experimental.

Tokens are made on the CPU, by the C kernels where they are. A step of the GPT is a few hundred small operators, and on
WebGPU each of them costs more than it computes; its caches would also go there and back with every step.
"""

from __future__ import annotations

from typing import Any

from sovits_runtime.backends.cpu import CpuVoice
from sovits_runtime.backends.onnxruntime import open_session
from sovits_runtime.backends.plan import take_plan
from sovits_runtime.backends.voice import LoadOptions
from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.session import Session, SessionOptions

DEVICE = "webgpu"


class WebGpuVoice(CpuVoice):
    """One bundle, its GPT on the CPU and every other graph on WebGPU; see `VoiceBackend`.

    Args:
        bundle: An opened bundle.
        options: `threads`, `gpt_steps` and `strict` count.

    Raises:
        BackendError: ONNX Runtime has no WebGPU, or cannot open a graph.
    """

    overlaps = True  # sound is made elsewhere than tokens

    def __init__(self, bundle: Bundle, options: LoadOptions) -> None:
        super().__init__(bundle, options, take_plan(bundle, "none"))
        self._opened: list[Session] = []

    def graph(self, name: str) -> Session:
        """Opens a graph other than the GPT's; see `VoiceBackend.graph`."""
        options = SessionOptions(DEVICE, keep_buffers=False, strict=self.options.strict)
        session = open_session(self.bundle.graph_path(name), self.bundle.graph_spec(name), options)
        self._opened.append(session)
        self.runs_on[name] = session.provider
        return session

    def warm(self) -> None:
        """Runs the graphs opened so far once, since shaders are compiled when a graph first runs."""
        for session in self._opened:
            session.run(session.spec.zeros())

    def describe(self) -> dict[str, Any]:
        """Nothing beside what runs each graph."""
        return {}
