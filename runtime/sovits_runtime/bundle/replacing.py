"""A folder takes the place of an older one, in one move where the system can: then there is no moment without either.

Beside the folder there are meanwhile:

    .NAME.lock   held by who replaces it
    .NAME.old    the older folder, or for a moment the newer one
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sovits_runtime.bundle.file_lock import locked
from sovits_runtime.bundle.moving import rename
from sovits_runtime.bundle.parts import remove

_CURRENT_FOLDER, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
"""Of a kernel or a file system that does not know the call."""


def lock_of(target: Path) -> Path:
    """The lock of a folder, held while it is replaced."""
    return target.with_name(f".{target.name}.lock")


def old_of(target: Path) -> Path:
    """Where the older folder is while it is replaced."""
    return target.with_name(f".{target.name}.old")


def restore_folder(target: Path, *, move: Sequence[str] = ()) -> None:
    """Brings back the older folder, or what was to move out of it, where a process was killed in `write_folder`.

    While a process replaces the folder, this waits for it.
    """
    if old_of(target).is_dir():
        with locked(lock_of(target)):
            _restore(target, move)


def replace_folder(target: Path, folder: Path, move: Sequence[str]) -> None:
    """Puts a folder in the place of an older one; where that fails, the older one is as it was.

    Args:
        target: Its place; the caller holds the lock.
        folder: A folder beside it.
        move: Names in the older folder that stay, where the new one has none of that name.
    """
    old = old_of(target)
    _restore(target, move)
    remove(old)
    if not target.exists() or not _swap(target, folder, old, move):
        _rename_twice(target, folder, old, move)
    remove(old)


def _restore(target: Path, move: Sequence[str]) -> None:
    old = old_of(target)
    if old.is_dir() and not target.exists():
        rename(old, target)
    elif old.is_dir():
        _move(old, target, move)


def _swap(target: Path, folder: Path, old: Path, move: Sequence[str]) -> bool:
    """Swaps names, so that there always is a folder; False where the system cannot."""
    if sys.platform != "linux":
        return False
    rename(folder, old)
    try:
        if _exchange(old, target):
            try:
                _move(old, target, move)
            except OSError:
                _exchange(old, target)
                raise
            return True
    except OSError:
        rename(old, folder)
        raise
    rename(old, folder)
    return False


def _rename_twice(target: Path, folder: Path, old: Path, move: Sequence[str]) -> None:
    moved: list[str] = []
    try:
        if target.exists():
            rename(target, old)
            moved = _move(old, folder, move)
        rename(folder, target)
    except OSError:
        if old.exists() and not target.exists():
            _move(folder, old, moved)
            rename(old, target)
        raise


def _move(source: Path, target: Path, names: Sequence[str]) -> list[str]:
    """Moves what has these names, where the target has none of it; all or nothing, and returns what moved."""
    moved: list[str] = []
    try:
        for name in names:
            if (source / name).exists() and not (target / name).exists():
                rename(source / name, target / name)
                moved.append(name)
    except OSError:
        _move(target, source, moved)
        raise
    return moved


def _exchange(a: Path, b: Path) -> bool:
    """Swaps two names that exist; False where the system cannot, and nothing has happened.

    Raises:
        OSError: The system can, but not these two.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:  # of the C library, since glibc 2.28
        return False
    names = os.fsencode(a), os.fsencode(b)
    if renameat2(_CURRENT_FOLDER, names[0], _CURRENT_FOLDER, names[1], _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(a), None, str(b))
