"""Graphs on ONNX Runtime: the backend that works on every CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sovits_runtime.errors import BackendError, ShapeError
from sovits_runtime.graph import Array, GraphSpec
from sovits_runtime.session import SessionOptions

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
INSTALL = {"cpu": 'pip install "sovits-export[cpu]"', "cuda": 'pip install "sovits-export[cuda]"'}
QUIET = 3  # errors only


def open_session(path: Path, spec: GraphSpec, options: SessionOptions) -> OrtSession:
    """Opens a graph on the one provider that `options.device` names; see `sovits_runtime.session.open_session`."""
    if options.device not in PROVIDERS:
        raise BackendError(
            f"device {options.device!r} is unknown; ONNX Runtime runs on: {', '.join(PROVIDERS)}"
        )
    ort = _import(options.device)
    provider = PROVIDERS[options.device]
    if provider not in ort.get_available_providers():
        raise BackendError(
            f"device {options.device!r} needs ONNX Runtime's {provider}, but the installed onnxruntime "
            f"{ort.__version__} offers {ort.get_available_providers()}; {INSTALL[options.device]} or use device 'cpu'"
        )
    try:
        session = ort.InferenceSession(str(path), _ort_options(ort, options), providers=[provider])
    except Exception as error:  # ONNX Runtime raises a class of its own for each kind of failure
        raise BackendError(
            f"{path}: ONNX Runtime {ort.__version__} cannot open it: {_first_line(error)}"
        ) from error
    if provider not in session.get_providers():
        raise BackendError(
            f"{path}: asked for {provider}, ONNX Runtime fell back to {session.get_providers()}; check the CUDA and "
            "cuDNN installation with 'sovits-export doctor' or use device 'cpu'"
        )
    return OrtSession(ort, session, spec, provider)


def _import(device: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(f"onnxruntime is not installed; {INSTALL[device]}") from error
    return onnxruntime


def _ort_options(ort: Any, options: SessionOptions) -> Any:
    result = ort.SessionOptions()
    result.log_severity_level = QUIET
    if options.threads is not None:
        result.intra_op_num_threads = options.threads
    if not options.prepack:
        result.add_session_config_entry("session.disable_prepacking", "1")
    return result


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


class OrtSession:
    """One graph in ONNX Runtime."""

    def __init__(self, ort: Any, session: Any, spec: GraphSpec, provider: str) -> None:
        self.spec = spec
        self.provider = provider
        self._ort = ort
        self._session = session

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph on NumPy arrays; see `Session.run`."""
        self.spec.check(feeds)
        try:
            outputs = self._session.run(list(self.spec.output_names), dict(feeds))
        except Exception as error:
            raise BackendError(
                f"graph {self.spec.name}: ONNX Runtime failed: {_first_line(error)}"
            ) from error
        return dict(zip(self.spec.output_names, outputs, strict=True))

    def bind(self, arrays: Mapping[str, Array]) -> OrtBinding:
        """Binds every input and output to an array; see `Session.bind`."""
        self.spec.check({name: arrays[name] for name in self.spec.input_names if name in arrays})
        missing = set(self.spec.output_names) - set(arrays)
        if missing:
            raise ShapeError(f"graph {self.spec.name}: no array bound to outputs {sorted(missing)}")
        return OrtBinding(self._ort, self._session, self.spec, arrays)


class OrtBinding:
    """A graph bound to NumPy arrays, which it reads and writes without copying."""

    def __init__(self, ort: Any, session: Any, spec: GraphSpec, arrays: Mapping[str, Array]) -> None:
        self._session = session
        self._name = spec.name
        self._binding = session.io_binding()
        # An OrtValue borrows the array's memory and keeps the array alive; one value an array, so that aliased
        # names are seen to be the same buffer.
        values: dict[int, Any] = {}
        for name in (*spec.input_names, *spec.output_names):
            array = np.ascontiguousarray(arrays[name])
            if array is not arrays[name]:
                raise ShapeError(f"graph {spec.name}: the array bound to {name} is not contiguous")
            if id(array) not in values:
                values[id(array)] = ort.OrtValue.ortvalue_from_numpy(array)
        self._values = values
        for name in spec.input_names:
            self._binding.bind_ortvalue_input(name, values[id(arrays[name])])
        for name in spec.output_names:
            self._binding.bind_ortvalue_output(name, values[id(arrays[name])])

    def run(self) -> None:
        """Runs the graph once; see `Binding.run`."""
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise BackendError(f"graph {self._name}: ONNX Runtime failed: {_first_line(error)}") from error
