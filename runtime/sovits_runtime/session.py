"""How the runtime runs a graph, whatever the backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from sovits_runtime.errors import BackendError
from sovits_runtime.graph import Array, GraphSpec


@dataclass(frozen=True)
class SessionOptions:
    """How to open a graph.

    Attributes:
        device: Where it runs, "cpu" or "cuda".
        threads: Threads within one operator; None leaves it to the backend (all physical cores).
        prepack: Whether weights may be copied to a layout that runs faster. Without it they stay memory-mapped: the
            graph loads at once and shares its weights with other sessions and processes.
    """

    device: str = "cpu"
    threads: int | None = None
    prepack: bool = True


class Binding(Protocol):
    """One graph bound to arrays that outlive a call, for loops that change a few numbers a step."""

    def run(self) -> None:
        """Runs the graph on what the bound input arrays hold now and fills the bound output arrays."""


class Session(Protocol):
    """One graph, ready to run. Safe to use from several threads at once."""

    spec: GraphSpec
    provider: str

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph on NumPy arrays.

        Raises:
            ShapeError: An input has the wrong name, dtype or shape.
            BackendError: The backend failed.
        """


class BindableSession(Session, Protocol):
    """A graph that can also be bound to arrays."""

    def bind(self, arrays: Mapping[str, Array]) -> Binding:
        """Binds every input and output to an array; a pair of `spec.aliases` may share one and is updated in place.

        Raises:
            ShapeError: An array is missing or has the wrong dtype or shape.
        """


BACKENDS: dict[str, str] = {"onnxruntime": "sovits_runtime.backends.onnxruntime"}
"""Backend name -> module that holds `open_session(path, spec, options)`."""


def open_session(
    path: Path, spec: GraphSpec, *, options: SessionOptions, backend: str = "onnxruntime"
) -> BindableSession:
    """Opens one graph.

    Args:
        path: The `.onnx` file.
        spec: What the graph takes and gives.
        options: Device and threads.
        backend: A key of `BACKENDS`.

    Raises:
        BackendError: The backend is unknown, not installed, or cannot run the graph on the device.
    """
    if backend not in BACKENDS:
        raise BackendError(f"backend {backend!r} is unknown; known backends: {', '.join(BACKENDS)}")
    opener: Callable[[Path, GraphSpec, SessionOptions], BindableSession] = import_module(
        BACKENDS[backend]
    ).open_session
    return opener(path, spec, options)
