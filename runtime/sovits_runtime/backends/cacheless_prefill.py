"""The GPT's prefill for an ONNX Runtime without TensorScatter: keys and values come out and are copied into the caches.

The graph is the one that GPUs run (`sovits_runtime.t2s.device_step`), in operators of opset 18. Its numbers are those
of the portable graph up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping

from sovits_runtime.backends.onnxruntime import OrtSession, open_session
from sovits_runtime.bundle import DEVICE_FILE, Bundle
from sovits_runtime.bundle.graph_spec import Array
from sovits_runtime.bundle.names import PREFILL
from sovits_runtime.bundle.session import CPU_CACHE_QUANTUM, SessionOptions, caches_in_memory
from sovits_runtime.errors import BundleError
from sovits_runtime.machine.onnx_runtime import SCATTER_ONNXRUNTIME
from sovits_runtime.t2s.device_step import rows_spec

FORM = "form without TensorScatter"
"""Added to the name of what runs a graph."""


class CachelessPrefill:
    """The prefill as the portable graph is seen, see `BindableSession`; within is the graph that has no caches.

    Args:
        bundle: An opened bundle.
        options: How to open the graph.

    Raises:
        BackendError: ONNX Runtime cannot open the graph.
        BundleError: The bundle has no such form of its prefill.
    """

    cache_quantum = CPU_CACHE_QUANTUM

    def __init__(self, bundle: Bundle, options: SessionOptions) -> None:
        if not bundle.has_form(PREFILL, DEVICE_FILE):
            raise BundleError(
                f"{bundle.path}: has its {PREFILL} with TensorScatter alone, which ONNX Runtime has since "
                f"{SCATTER_ONNXRUNTIME}; install that, or build or convert the voice again"
            )
        self.spec = bundle.graph_spec(PREFILL)
        path = bundle.graph_path(PREFILL, form=DEVICE_FILE)
        self._session: OrtSession = open_session(path, rows_spec(self.spec), options)
        self.provider = f"{self._session.provider}, {FORM}"

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph on NumPy arrays; see `Session.run`."""
        self.spec.check(feeds)
        inputs = {out: name for name, out in self.spec.aliases}
        made = self._run(feeds)
        for out, name in inputs.items():
            made[out] = _filled(feeds[name].copy(), made[out])
        return made

    def grown_caches(self, capacity: int, *, old: Mapping[str, Array], rows: int) -> dict[str, Array]:
        """Makes all caches; see `BindableSession.grown_caches`."""
        return caches_in_memory(self.spec, capacity, old=old, rows=rows)

    def bind(self, arrays: Mapping[str, Array]) -> PrefillBinding:
        """Binds every input and output to an array; see `BindableSession.bind`."""
        self.spec.check_bound(arrays)
        self.spec.check({name: arrays[name] for name in self.spec.input_names})
        return PrefillBinding(self, arrays)

    def fill(self, arrays: Mapping[str, Array]) -> None:
        """Runs the graph on arrays of all inputs and outputs."""
        caches = {out for _, out in self.spec.aliases}
        for name, value in self._run(arrays).items():
            if name in caches:
                _filled(arrays[name], value)
            else:
                arrays[name][...] = value

    def _run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return self._session.run({name: arrays[name] for name in self._session.spec.input_names})


class PrefillBinding:
    """The prefill bound to arrays."""

    def __init__(self, prefill: CachelessPrefill, arrays: Mapping[str, Array]) -> None:
        self._prefill, self._arrays = prefill, dict(arrays)

    def run(self) -> None:
        """Runs the graph once; see `Binding.run`."""
        self._prefill.fill(self._arrays)


def _filled(cache: Array, rows: Array) -> Array:
    """Puts rows [1, H, R, D] at the head of a cache [1, H, C, D] and returns that."""
    cache[:, :, : rows.shape[2]] = rows
    return cache
