"""Walks through a folder once, and keeps the few kinds of files that a voice can be made of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sovits_exporter.folders.archives import FOREIGN_SUFFIXES, is_archive
from sovits_exporter.folders.names import AUDIO_SUFFIXES, TEXT_SUFFIXES, WEIGHT_SUFFIXES
from sovits_runtime.errors import CheckpointError

PRETRAINED = "pretrained_models"
CLIPS = "5-wav32k"
NAMES_TO_TEXT = "2-name2text.txt"
_SKIPPED = {
    "runtime",
    ".git",
    ".venv",
    "venv",
    "env",
    "node_modules",
    "__pycache__",
    "__macosx",
    "site-packages",
    "uvr5_weights",
    "3-bert",
    "4-cnhubert",
    "7-sv_cn",
    "temp",
}
"""Folders without anything of a voice, and large ones."""
_UNFINISHED = (
    ".crdownload",
    ".part",
    ".partial",
    ".download",
    ".aria2",
    ".incomplete",
    ".opdownload",
    ".!ut",
)
_MOST_FILES, _MOST_DEPTH = 400_000, 16


@dataclass(frozen=True)
class Tree:
    """What lies in a folder.

    Attributes:
        root: The folder.
        files: Every file that may matter, in order.
        folders: Every folder, in order, `root` included.
    """

    root: Path
    files: tuple[Path, ...]
    folders: tuple[Path, ...]

    @cached_property
    def _by_suffix(self) -> Mapping[str, Sequence[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self.files:
            found.setdefault(path.suffix.lower(), []).append(path)
        return found

    def with_suffix(self, *suffixes: str, under: Path | None = None) -> Iterator[Path]:
        """Files with one of these suffixes, whatever the case."""
        for suffix in suffixes:
            for path in self._by_suffix.get(suffix, ()):
                if under is None or path.is_relative_to(under):
                    yield path

    def named(self, name: str, under: Path | None = None) -> Iterator[Path]:
        """Files of a name, whatever the case."""
        for path in self.with_suffix(Path(name).suffix.lower(), under=under):
            if path.name.lower() == name.lower():
                yield path

    @property
    def archives(self) -> tuple[Path, ...]:
        """Archives that can be unpacked."""
        return tuple(path for path in self.files if is_archive(path))

    @property
    def odd(self) -> tuple[Path, ...]:
        """Unfinished downloads, and archives of kinds that cannot be unpacked."""
        return tuple(
            path for path in self.files if path.name.lower().endswith((*_UNFINISHED, *FOREIGN_SUFFIXES))
        )

    @cached_property
    def installations(self) -> tuple[Path, ...]:
        """Folders in which GPT-SoVITS is installed."""
        return tuple(folder.parent for folder in self.folders if folder.name == "GPT_SoVITS")

    def installation_of(self, path: Path) -> Path | None:
        """The installation that a file lies in."""
        return next((root for root in self.installations if path.is_relative_to(root)), None)


def scan(root: Path) -> Tree:
    """Walks through a folder. Links are followed, each folder is visited once.

    Raises:
        CheckpointError: There is no such folder, it cannot be read, or it holds too many files to be one of voices.
    """
    if not root.is_dir():
        problem = "is no folder" if root.exists() else "there is no such folder"
        raise CheckpointError(f"{root}: {problem}; give a folder of GPT-SoVITS, or a voice pack")
    files: list[Path] = []
    folders: list[Path] = []
    seen: set[str] = set()
    walk = os.walk(root, followlinks=True, onerror=_raise_for(root))
    for place, inner, names in walk:
        real = os.path.realpath(place)
        folder = Path(place)
        if real in seen or len(folder.relative_to(root).parts) >= _MOST_DEPTH:
            inner.clear()
            continue
        seen.add(real)
        folders.append(folder)
        inner[:] = sorted(name for name in inner if name.lower() not in _SKIPPED)
        files += [folder / name for name in sorted(names) if _matters(name)]
        if len(files) > _MOST_FILES:
            raise CheckpointError(
                f"{root}: holds more than {_MOST_FILES} files; give the folder of the voices alone"
            )
    return Tree(root, tuple(files), tuple(folders))


def _matters(name: str) -> bool:
    low = name.lower()
    kinds = (*WEIGHT_SUFFIXES, *AUDIO_SUFFIXES, *TEXT_SUFFIXES, *_UNFINISHED, *FOREIGN_SUFFIXES)
    return not name.startswith("._") and (low.endswith(kinds) or is_archive(Path(low)))


def _raise_for(root: Path):  # type: ignore[no-untyped-def]
    def fail(error: OSError) -> None:
        if error.filename is not None and Path(error.filename) == root:
            raise CheckpointError(f"{root}: cannot be read ({error.strerror}); check its rights") from error

    return fail
