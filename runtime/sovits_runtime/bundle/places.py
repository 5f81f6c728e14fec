"""What lies where something is to be written: a link, a pipe, a file with a mode of its own, a source; and the disk."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sovits_runtime.errors import SovitsError

_MOST_LINKS = 40
_OPEN_FILES = ("/proc/", "/dev/fd/")
"""Where names stand for files that a process has open, which a rename would not reach."""


def refuse_source(output: Path, sources: Sequence[Path]) -> None:
    """Refuses to write over what is read.

    Args:
        output: What is to be written.
        sources: What it is made of; a source that is a folder must not hold the output, nor lie in it.

    Raises:
        SovitsError: Names both.
    """
    place = Path(os.path.realpath(output))
    for source in sources:
        real = Path(os.path.realpath(source))
        same = real == place or (place.exists() and real.exists() and os.path.samefile(real, place))
        if same or real.is_relative_to(place):
            raise SovitsError(
                f"{output}: would replace {source}, of which it is to be made; choose another output"
            )


@contextmanager
def naming(target: Path, part: Path | None = None) -> Iterator[None]:
    """An error in the block names the target, not the hidden part."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, part, str(part)):
            error.filename, error.filename2 = str(target), None
        raise


def place_of(target: Path) -> Path | None:
    """Where a file really lies; None where it is to be written as it is: a device or a pipe.

    Raises:
        OSError: The name stands for a regular file that a process has open, such as `/dev/stdout` does after `> file`.
    """
    with contextlib.suppress(OSError):
        mode = target.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return None
    place = target
    for _ in range(_MOST_LINKS):
        if f"{os.path.realpath(place.parent)}/".startswith(_OPEN_FILES):
            raise OSError(
                errno.EINVAL, "stands for a file that is open; give the file's own name", str(target)
            )
        if not place.is_symlink():
            return place
        place = place.parent / os.readlink(place)
    return target  # a circle, which opening names


def followed(folder: Path) -> Path:
    """The folder that a link stands for; any other as it is."""
    return Path(os.path.realpath(folder)) if folder.is_symlink() else folder


def take_mode(part: Path, place: Path) -> None:
    """Gives a new file the mode and owner of the one that it is to replace.

    Raises:
        PermissionError: That may not be written.
    """
    try:
        older, new = place.stat(), part.stat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(older.st_mode) and not (os.name == "posix" and os.access(place, os.W_OK)):
        with open(place, "ab"):  # raises what the system says
            pass
    if (older.st_uid, older.st_gid) != (new.st_uid, new.st_gid):
        with contextlib.suppress(OSError):  # another user's file, in a folder that both may write
            os.chown(part, older.st_uid, older.st_gid)
    if os.name == "posix":
        part.chmod(stat.S_IMODE(older.st_mode))


def sync_folder(folder: Path) -> None:
    """Waits until the disk has every file of a folder."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync(Path(place, name))
        sync(Path(place))


def sync(path: Path) -> None:
    """Waits until the disk has a file, or the names in a folder; not every system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
