"""Opens what a user names: a folder, an archive, or a folder of archives; as trees to search."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sovits_exporter.checkpoint.other_files import other_file
from sovits_exporter.folders.archives import IS_SPEAKER_PACKAGE, SPEAKER_PACKAGE, SUFFIXES, is_archive, unpack
from sovits_exporter.folders.names import WEIGHT_SUFFIXES, folder_name
from sovits_exporter.folders.scan import Tree, scan
from sovits_runtime.errors import CheckpointError
from sovits_runtime.machine.progress import Progress, no_progress

_START = 512


@contextmanager
def open_source(path: Path, progress: Progress = no_progress) -> Iterator[list[Tree]]:
    """Yields the trees of a folder or archive; archives are unpacked into a folder that is gone afterwards.

    Args:
        path: A folder of GPT-SoVITS, a pack's folder or archive, or a folder of packs.
        progress: Called with each archive that is unpacked.

    Raises:
        CheckpointError: There is nothing there, it is of another kind, or an archive cannot be unpacked.
    """
    with tempfile.TemporaryDirectory(prefix="sovits-export-") as place:
        if path.is_dir():
            tree = scan(path)
            archives = [] if tree.installations else list(tree.archives)
            trees = [tree]
        else:
            archives, trees = [_archive(path)], []
        for at, archive in enumerate(archives):
            progress(f"unpack {archive.name}", at, len(archives))
            folder = Path(place, str(at), folder_name(_stem(archive)))
            unpack(archive, folder)
            trees.append(scan(folder))
        yield trees


def _stem(archive: Path) -> str:
    suffix = max((s for s in SUFFIXES if archive.name.lower().endswith(s)), key=len)
    return archive.name[: -len(suffix)]


def _archive(path: Path) -> Path:
    """Checks that a file is an archive.

    Raises:
        CheckpointError: Says what it is, and what to give.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such file or folder; check the path")
    if not path.is_file():
        raise CheckpointError(f"{path}: is no regular file; give a folder of GPT-SoVITS, or a voice pack")
    if is_archive(path):
        return path
    if path.suffix.lower() in WEIGHT_SUFFIXES:
        raise CheckpointError(
            f"{path}: is one file of a voice, expected a folder or an archive that holds both; give its folder to "
            "--from, or the two files to --gpt and --sovits"
        )
    if path.suffix.lower() == SPEAKER_PACKAGE:
        raise CheckpointError(f"{path}: {IS_SPEAKER_PACKAGE}")
    with path.open("rb") as file:
        what = other_file(path, file.read(_START), path.stat().st_size)
    raise CheckpointError(
        f"{path}: {what or 'is neither folder nor archive'}; --from takes a folder, or an archive "
        f"({', '.join(SUFFIXES)})"
    )
