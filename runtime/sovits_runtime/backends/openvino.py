"""Graphs on OpenVINO: an engine that a plan may choose for a graph beside ONNX Runtime; see `backends.plan`.

It generates kernels for each length, which takes longer than the run itself, and keeps them: 100 MB for each length of
a vocoder. So graphs whose reach is known run in windows of few lengths, compiled when they are opened. Others run at
every length; they forget what they learned once that is much.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar
from weakref import WeakSet

import numpy as np

from sovits_runtime.backends.windows import cover
from sovits_runtime.bundle.graph_spec import Array, GraphSpec
from sovits_runtime.bundle.session import Session
from sovits_runtime.errors import BackendError
from sovits_runtime.machine.openvino import OpenVinoPrecision, compile_model, openvino_errors

MOST_SHAPES = 24
"""Sizes after which a graph that runs at every length is opened anew: each takes memory for good."""

T = TypeVar("T")

_open: WeakSet[Any] = WeakSet()
_in_forks: list[Any] = []
"""What a forked process must not free: OpenVINO would wait for threads that a fork does not copy."""


class Compiled:
    """A compiled graph; its runs take turns. It does not run in a forked process, which lacks its threads.

    Args:
        spec: Inputs and outputs.
        compiled: From `compile_model`.
    """

    def __init__(self, spec: GraphSpec, compiled: Any) -> None:
        self.spec = spec
        self._compiled = compiled
        self._turn = threading.Lock()
        with openvino_errors(f"graph {spec.name}: OpenVINO cannot make room for it"):
            self._request = compiled.create_infer_request()
        _keep_in_forks()
        _open.add(self)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs it; arrays are copied out."""
        with self._turn, openvino_errors(f"graph {self.spec.name}: OpenVINO failed"):
            self._request.infer({name: np.ascontiguousarray(a) for name, a in feeds.items()})
            return {name: self._request.get_tensor(name).data.copy() for name in self.spec.output_names}


@functools.cache
def _keep_in_forks() -> None:
    """Has graphs stay where a fork copies them; see `_in_forks`."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _in_forks.extend(list(_open)))


class OpenVinoSession:
    """A graph that runs at every length; see `Session`. It opens in a thread of its own, as `WindowSession` does.

    Args:
        path: The `.onnx` file.
        spec: Inputs and outputs.
        precision: What it computes in.
        threads: Threads; None: as many as there are cores.
        elsewhere: Opens the graph on ONNX Runtime, for a forked process.
    """

    def __init__(
        self,
        path: Path,
        spec: GraphSpec,
        *,
        precision: OpenVinoPrecision,
        threads: int | None,
        elsewhere: Callable[[], Session],
    ) -> None:
        self.spec = spec
        self.provider = f"OpenVINO {precision}"
        make: Callable[[], Any] = partial(compile_model, path, precision=precision, threads=threads)
        self._make = lambda: Compiled(spec, make())
        self._elsewhere = Lazily(elsewhere)
        self._process = os.getpid()
        self._turn = threading.Lock()
        self._sizes: set[tuple[tuple[int, ...], ...]] = set()
        self._compiled = Later(self._make)

    def wait(self) -> None:
        """Waits until it is open; errors come with the first run."""
        if self._process == os.getpid():
            self._compiled.wait()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph on NumPy arrays; see `Session.run`."""
        self.spec.check(feeds)
        if self._process != os.getpid():
            return self._elsewhere.run(feeds)
        with self._turn:
            self._sizes.add(tuple(feeds[name].shape for name in self.spec.input_names))
            if len(self._sizes) > MOST_SHAPES:
                self._sizes.clear()
                self._compiled = Later(self._make)
            compiled = self._compiled
        return compiled.get().run(feeds)


class WindowSession:
    """A graph that runs in windows of few lengths, whatever the length of its input; see `Session`.

    It opens in a thread of its own, while the first tokens are made; whoever runs it before waits. The input must have
    one size of its own, its frames, on the last axis; see `can_run_in_windows`.

    Args:
        path: The `.onnx` file.
        spec: Inputs and outputs.
        lengths: Those of the windows, in frames.
        precision: What it computes in.
        threads: Threads; None: as many as there are cores.
        elsewhere: Opens the graph on ONNX Runtime, for inputs shorter than every window, and for a forked process.

    Attributes:
        lengths: Those of the windows, shortest first: inputs of such a length run as they are.

    """

    def __init__(
        self,
        path: Path,
        spec: GraphSpec,
        lengths: Sequence[int],
        *,
        precision: OpenVinoPrecision,
        threads: int | None,
        elsewhere: Callable[[], Session],
    ) -> None:
        assert can_run_in_windows(spec), spec.name
        assert spec.context is not None
        self.spec = spec
        self.lengths = tuple(sorted(lengths))
        self.provider = f"OpenVINO {precision}"
        self._context: int = spec.context
        self._elsewhere = Lazily(elsewhere)
        self._process = os.getpid()
        self._windows = Later(
            lambda: {
                n: Compiled(
                    spec,
                    compile_model(path, precision=precision, threads=threads, shapes=_fixed(spec, n)),
                )
                for n in self.lengths
            }
        )

    def wait(self) -> None:
        """Waits until it is open; errors come with the first run."""
        if self._process == os.getpid():
            self._windows.wait()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph on NumPy arrays; see `Session.run`."""
        (frames,) = self.spec.check(feeds).values()
        windows = cover(frames, self.lengths, self._context)
        if not windows or self._process != os.getpid():
            return self._elsewhere.run(feeds)
        opened = self._windows.get()
        (output,) = self.spec.output_names
        pieces = []
        for window in windows:
            part = {name: self._part(feeds[name], name, window.start, window.length) for name in feeds}
            result = opened[window.length].run(part)[output]
            scale, rest = divmod(result.shape[-1], window.length)
            if rest:
                raise BackendError(f"graph {self.spec.name}: {output} has no whole number of values a frame")
            first = window.keep - window.start
            pieces.append(result[..., scale * first : scale * (window.end - window.start)])
        return {output: np.concatenate(pieces, axis=-1)}

    def _part(self, array: Array, name: str, start: int, length: int) -> Array:
        return array[..., start : start + length] if _has_frames(self.spec, name) else array


class Later(Generic[T]):
    """What a thread makes meanwhile.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._result: T | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="open a graph")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._make()
        except Exception as error:
            self._error = error

    def wait(self) -> None:
        """Waits until it is made, or cannot be."""
        self._thread.join()

    def get(self) -> T:
        """Waits for it; raises what was raised while it was made."""
        self.wait()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result


class Lazily:
    """A session that is opened when it first runs, in a forked process once more."""

    def __init__(self, opener: Callable[[], Session]) -> None:
        self._opener = opener
        self._turn = threading.Lock()
        self._session: Session | None = None
        self._process = os.getpid()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Opens it if need be, and runs it."""
        if self._process != os.getpid():
            self._process, self._session, self._turn = os.getpid(), None, threading.Lock()
        with self._turn:
            self._session = self._session or self._opener()
        return self._session.run(feeds)


def can_run_in_windows(spec: GraphSpec) -> bool:
    """Whether a graph has one size of its own, frames on the last axis, a known reach, and one output."""
    if spec.context is None or len(spec.dims) != 1 or len(spec.outputs) != 1:
        return False
    (frames,) = (d.name for d in spec.dims)
    return all(frames not in t.shape[:-1] for t in spec.inputs)


def _has_frames(spec: GraphSpec, name: str) -> bool:
    return isinstance(spec.tensor(name).shape[-1], str)


def _fixed(spec: GraphSpec, length: int) -> dict[str, tuple[int, ...]]:
    dims = {d.name: length for d in spec.dims}
    return {t.name: t.resolve(dims) for t in spec.inputs}
