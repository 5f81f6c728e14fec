"""The trained demo voice, as it is packed with this package.

Trained and packed by `tools/demo_voice`. Packed because an official v2 file cannot be small: its flow alone has
ten million weights. Nine tenths of them are exact zeros here, and the others lie on a coarse grid.
"""

from __future__ import annotations

import lzma
import tarfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from sovits_runtime.errors import CheckpointError

ARCHIVE = "data/demo_voice.tar.xz"
_PIECE = 1 << 20


def unpack_voice(folder: Path, progress: Callable[[str, int, int], None]) -> None:
    """Unpacks the voice's files.

    Args:
        folder: Where to; must exist.
        progress: Called with the name of a file, how many of its bytes are written, and how many it has.

    Raises:
        CheckpointError: The archive is missing or damaged.
        OSError: The folder cannot be written.
    """
    archive = files("sovits_exporter") / ARCHIVE
    try:
        with archive.open("rb") as packed, tarfile.open(fileobj=packed, mode="r:xz") as tar:
            for member in tar:
                _unpack(tar, member, folder / member.name, progress)
    except (FileNotFoundError, EOFError, lzma.LZMAError, tarfile.TarError) as e:
        raise CheckpointError(
            f"{archive}: the trained demo voice is missing or damaged ({e}); install sovits-export again"
        ) from e


def _unpack(
    tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, progress: Callable[[str, int, int], None]
) -> None:
    if member.isdir():
        path.mkdir()
        return
    content = tar.extractfile(member)
    assert content is not None
    with path.open("wb") as out:
        while piece := content.read(_PIECE):
            out.write(piece)
            progress(member.name, out.tell(), member.size)
