"""Voices in memory: opened when first needed, counted while in use, the one not used for longest closed first."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sovits_runtime import Synthesizer
from sovits_server.problems import NotThereError

logger = logging.getLogger(__name__)


@dataclass
class _Loaded:
    voice: Synthesizer
    size: int
    users: int = 0
    forgotten: bool = False


@dataclass
class _Known:
    path: Path
    opening: threading.Lock = field(default_factory=threading.Lock)


class LoadedVoices:
    """Names, bundles, and which of them are open. Safe to use from several threads.

    Args:
        load: Opens a bundle.
        memory_bytes: What open voices may take, counted as the size of their files; None: no limit. A voice in use is
            never closed, so it can be exceeded.
    """

    def __init__(self, load: Callable[[Path], Synthesizer], memory_bytes: int | None) -> None:
        self._load = load
        self._most = memory_bytes
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._open: dict[str, _Loaded] = {}  # latest use last

    def paths(self) -> Mapping[str, Path]:
        """Name -> bundle."""
        with self._lock:
            return {name: known.path for name, known in self._known.items()}

    def open_names(self) -> list[str]:
        """Those in memory, latest use last."""
        with self._lock:
            return list(self._open)

    def size(self) -> int:
        """Bytes of those in memory."""
        with self._lock:
            return sum(loaded.size for loaded in self._open.values())

    def add(self, name: str, path: Path) -> None:
        """Names a bundle; under a name that is there, the older one is closed once nobody uses it."""
        with self._lock:
            known = self._known.get(name)
            if known is not None and known.path == path:
                return
            self._known[name] = _Known(path)
            closing = self._forget(name)
        _close(closing)

    def remove(self, name: str) -> None:
        """Forgets a name."""
        with self._lock:
            self._known.pop(name, None)
            closing = self._forget(name)
        _close(closing)

    def _forget(self, name: str) -> Synthesizer | None:
        """Takes a voice out; returns it where nobody uses it any more."""
        loaded = self._open.pop(name, None)
        if loaded is None:
            return None
        loaded.forgotten = True
        return None if loaded.users else loaded.voice

    @contextmanager
    def lease(self, name: str) -> Iterator[Synthesizer]:
        """The voice, opened now where it is not.

        Raises:
            NotThereError: No such voice.
            SovitsError: It cannot be opened.
        """
        loaded = self._use(name)
        try:
            yield loaded.voice
        finally:
            with self._lock:
                loaded.users -= 1
                closing = loaded.voice if loaded.forgotten and not loaded.users else None
            _close(closing)

    def _use(self, name: str) -> _Loaded:
        with self._lock:
            known = self._known.get(name)
        if known is None:
            raise NotThereError(f"there is no voice {name!r}", param="voice")
        with known.opening:  # others open other voices meanwhile
            with self._lock:
                loaded = self._open.pop(name, None)
                if loaded is not None:
                    self._open[name] = loaded
                    loaded.users += 1
                    return loaded
            logger.info("opening voice %s", name)
            loaded = _Loaded(self._load(known.path), _size_of(known.path), users=1)
            with self._lock:
                if self._known.get(name) is known:
                    self._open[name] = loaded
                else:  # renamed or removed meanwhile
                    loaded.forgotten = True
                closing = self._surplus()
        for voice in closing:
            _close(voice)
        return loaded

    def _surplus(self) -> list[Synthesizer]:
        """Takes out what is too much and not in use, the one not used for longest first."""
        out: list[Synthesizer] = []
        if self._most is None:
            return out
        taken = sum(loaded.size for loaded in self._open.values())
        for name in list(self._open):
            if taken <= self._most:
                break
            loaded = self._open[name]
            if not loaded.users:
                del self._open[name]
                taken -= loaded.size
                out.append(loaded.voice)
                logger.info("closing voice %s, to make room", name)
        return out

    def close(self) -> None:
        """Closes all of them, those in use too."""
        with self._lock:
            voices = [loaded.voice for loaded in self._open.values()]
            self._open.clear()
            self._known.clear()
        for voice in voices:
            voice.close()


def _close(voice: Synthesizer | None) -> None:
    """Closes a voice in a thread of its own: that waits for work, which whoever is here must not."""
    if voice is not None:
        threading.Thread(target=voice.close, name="closing").start()


def _size_of(bundle: Path) -> int:
    graphs = bundle / "graphs"
    return sum(path.stat().st_size for path in graphs.iterdir()) if graphs.is_dir() else 0
