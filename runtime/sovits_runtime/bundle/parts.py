"""Hidden names for what is being written, and the end of what dead writers left.

    .NAME.RANDOM.part   a file or folder that is to become NAME
    .NAME.RANDOM.lock   held by its writer for as long as that lives

A part whose lock nobody holds is a leftover. Where locks cannot be had, a part counts as one when it is a day old.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sovits_runtime.bundle.file_lock import FileLock, take
from sovits_runtime.bundle.moving import OPEN_FILES_STAY, remove_tree

PART, LOCK = ".part", ".lock"
DAY_S = 86_400.0
_NAME = re.compile(
    r"\..+\.(?:\d+-)?[0-9a-f]{8,16}\.(?:part|lock)", re.DOTALL
)  # older ones had a process's number
_LONGEST_NAME = 200  # bytes; file systems allow 255
_own: set[Path] = set()
_SWEPT_FOR_S = 600.0
_swept: dict[tuple[int, Path], float] = {}
"""Process and folder -> when it was swept; a child that was forked sweeps for itself."""


@contextmanager
def part_beside(target: Path) -> Iterator[Path]:
    """A hidden name beside `target` for what is being written; what still has it afterwards is removed."""
    part, lock = _new_part(target)
    _own.add(part)
    try:
        yield part
    finally:
        remove(part)
        if lock is not None:
            lock.release()
        _own.discard(part)


def sweep(folder: Path, *, seldom: bool = False) -> None:
    """Removes what dead writers left in a folder.

    Args:
        folder: The folder; one that is not there has nothing.
        seldom: Do nothing where this process swept the folder in the last minutes: for folders of many small files.
    """
    swept, now = (os.getpid(), folder), time.monotonic()
    if seldom and now - _swept.get(swept, -_SWEPT_FOR_S) < _SWEPT_FOR_S:
        return
    _swept[swept] = now
    try:
        names = [name for name in os.listdir(folder) if _NAME.fullmatch(name)]
    except OSError:
        return
    for path in (folder / name for name in names):
        part, lock = path.with_suffix(PART), path.with_suffix(LOCK)
        if part not in _own and (path == part or part.name not in names):
            _remove_leftover(part, lock)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it can be removed; of a link, the link."""
    if path.is_dir() and not path.is_symlink():
        if OPEN_FILES_STAY:
            with contextlib.suppress(OSError):  # what a program keeps open goes with a later write
                remove_tree(path)
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _new_part(target: Path) -> tuple[Path, FileLock | None]:
    """A name that nobody has, and its lock where there are locks."""
    name = target.name.encode("utf-8", "ignore")[:_LONGEST_NAME].decode("utf-8", "ignore")
    while True:
        part = target.with_name(f".{name}.{secrets.token_hex(8)}{PART}")
        try:
            lock = take(part.with_suffix(LOCK), wait=False)
        except OSError:  # of a folder that is missing or closed, the writing itself will say so
            remove(part.with_suffix(LOCK))
            return part, None
        if lock is not None:  # else somebody who sweeps took it for a leftover at this moment
            return part, lock


def _remove_leftover(part: Path, lock_file: Path) -> None:
    try:
        lock = take(lock_file, wait=False, create=False)
    except OSError:
        if _age_s(part) > DAY_S:
            remove(part)
            remove(lock_file)
        return
    if lock is not None:
        remove(part)
        lock.release()


def _age_s(part: Path) -> float:
    """Seconds since something in a part was written; 0 where nobody can tell."""
    try:
        paths = [part, *part.rglob("*")] if part.is_dir() else [part]
        return time.time() - max(path.lstat().st_mtime for path in paths)
    except OSError:
        return 0.0
