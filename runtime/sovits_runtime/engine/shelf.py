"""The voices of an engine: loaded when asked for, closed when memory is short, with the parts that all share."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from sovits_runtime.backends.open import open_voice
from sovits_runtime.backends.voice import LoadOptions, VoiceBackend
from sovits_runtime.bundle import WEIGHT_FILES, Bundle
from sovits_runtime.bundle.session import Session
from sovits_runtime.engine.speaking import VoiceAtWork
from sovits_runtime.engine.types import UnknownVoice
from sovits_runtime.synthesizer import Synthesizer
from sovits_runtime.t2s.generator import SemanticGenerator

SharedSessions = WeakValueDictionary[Path, Any]
"""Graph file of a shared part -> its session, as long as a voice has it."""


class SharingBackend:
    """A backend whose shared parts (HuBERT, BERT, the speaker network) are opened once for all voices.

    Args:
        backend: Of the voice.
        sessions: Those that are open.
    """

    def __init__(self, backend: VoiceBackend, sessions: SharedSessions) -> None:
        self.bundle: Bundle = backend.bundle
        self.options: LoadOptions = backend.options
        self.runs_on = backend.runs_on
        self.text_to_semantic: SemanticGenerator = backend.text_to_semantic
        self.overlaps: bool = backend.overlaps
        self.chunks: Mapping[str, float] | None = backend.chunks
        self._backend = backend
        self._sessions = sessions

    def graph(self, name: str) -> Session:
        """Opens a graph, or gives that of another voice; see `VoiceBackend.graph`."""
        if not self.bundle.manifest["graphs"].get(name, {}).get("shared"):
            return self._backend.graph(name)
        path = self.bundle.graph_path(name).resolve()
        session: Session | None = self._sessions.get(path)
        if session is None:
            session = self._sessions[path] = self._backend.graph(name)
        self.runs_on[name] = session.provider
        return session

    def warm(self) -> None:
        """See `VoiceBackend.warm`."""
        self._backend.warm()

    def describe(self) -> dict[str, Any]:
        """See `VoiceBackend.describe`."""
        return self._backend.describe()

    def close(self) -> None:
        """See `VoiceBackend.close`."""
        self._backend.close()


@dataclass(eq=False)
class _Place:
    """A name on the shelf."""

    path: Path
    users: int = 0
    voice: Synthesizer | None = None
    at_work: VoiceAtWork | None = None
    bytes: int = 0
    gone: bool = False
    loading: threading.Lock = field(default_factory=threading.Lock)


class VoiceShelf:
    """Voices by name. Safe to use from several threads.

    Args:
        load: How voices are loaded.
        memory_bytes: See `EngineLimits`.
        open_backend: Opens a backend; for tests.
    """

    def __init__(
        self,
        load: LoadOptions,
        memory_bytes: int | None,
        *,
        open_backend: Callable[[Bundle, LoadOptions], VoiceBackend] = open_voice,
    ) -> None:
        self._load = load
        self._memory_bytes = memory_bytes
        self._open = open_backend
        self._lock = threading.Lock()
        self._places: OrderedDict[str, _Place] = OrderedDict()  # the latest used last
        self._shared: SharedSessions = WeakValueDictionary()

    def add(self, name: str, path: str | os.PathLike[str]) -> None:
        """Names a bundle; a name that is there gets the new one, and who speaks with the old one goes on.

        Raises:
            BundleError: There is no bundle.
        """
        Bundle.open(path)
        with self._lock:
            old = self._places.pop(name, None)
            self._places[name] = _Place(Path(path))
        self._retire(old)

    def remove(self, name: str) -> None:
        """Forgets a voice; it is closed once nobody speaks with it.

        Raises:
            UnknownVoice: No voice has that name.
        """
        with self._lock:
            old = self._place(name)
            del self._places[name]
        self._retire(old)

    def names(self) -> tuple[str, ...]:
        """All names, in order."""
        with self._lock:
            return tuple(sorted(self._places))

    def loaded(self) -> tuple[str, ...]:
        """Names of those in memory, the latest used last."""
        with self._lock:
            return tuple(name for name, place in self._places.items() if place.voice is not None)

    def memory(self) -> int:
        """Bytes of weights of those in memory."""
        with self._lock:
            return sum(place.bytes for place in self._places.values())

    def check(self, name: str) -> None:
        """Raises UnknownVoice where no voice has that name."""
        with self._lock:
            self._place(name)

    @contextmanager
    def using(self, name: str) -> Iterator[VoiceAtWork]:
        """The voice, loaded, which stays so within the block.

        Raises:
            UnknownVoice: No voice has that name.
            SovitsError: It cannot be loaded.
        """
        with self._lock:
            place = self._place(name)
            place.users += 1
            self._places.move_to_end(name)
        try:
            yield self._opened(place)
        finally:
            with self._lock:
                place.users -= 1
            if place.gone:
                self._retire(place)
            self._make_room()

    def close(self) -> None:
        """Closes all voices."""
        with self._lock:
            places = list(self._places.values())
            self._places.clear()
        for place in places:
            place.gone = True
            self._close(place)

    def _place(self, name: str) -> _Place:
        if name not in self._places:
            known = ", ".join(sorted(self._places)) or "none"
            raise UnknownVoice(f"voice {name!r} is unknown; known voices: {known}")
        return self._places[name]

    def _opened(self, place: _Place) -> VoiceAtWork:
        with place.loading:
            if place.at_work is None:
                bundle = Bundle.open(place.path)
                self._make_room(weight_bytes(bundle))
                voice = Synthesizer(SharingBackend(self._open(bundle, self._load), self._shared))
                place.voice, place.at_work, place.bytes = voice, VoiceAtWork(voice), weight_bytes(bundle)
            return place.at_work

    def _make_room(self, further: int = 0) -> None:
        """Closes voices that nobody uses, the one not used for longest first, until the limit is kept."""
        if self._memory_bytes is None:
            return
        while True:
            with self._lock:
                taken = further + sum(place.bytes for place in self._places.values())
                idle = (p for p in self._places.values() if p.voice is not None and not p.users)
                oldest = next(idle, None)
                if taken <= self._memory_bytes or oldest is None:
                    return
                oldest.users += 1  # nobody else closes it
            with oldest.loading:
                if oldest.users == 1:
                    self._close(oldest)
            with self._lock:
                oldest.users -= 1

    def _retire(self, place: _Place | None) -> None:
        if place is None:
            return
        with self._lock:
            place.gone = True
            unused = not place.users
        if unused:
            self._close(place)

    def _close(self, place: _Place) -> None:
        voice, place.voice, place.at_work, place.bytes = place.voice, None, None, 0
        if voice is not None:
            voice.close()


def weight_bytes(bundle: Bundle) -> int:
    """Bytes of a bundle's own weights; shared parts are in memory once for all voices."""
    files = {
        bundle.path / graph[kind]
        for graph in bundle.manifest["graphs"].values()
        if not graph.get("shared")
        for kind in WEIGHT_FILES
        if kind in graph
    }
    return sum(path.stat().st_size for path in files if path.exists())
