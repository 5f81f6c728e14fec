"""Locks that processes hold on files: who dies lets go, and containers that share a volume see each other's.

A lock file is there only while it is held or waited for: whoever had it removes it, and whoever gets one checks that it
is still the file of that name.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

_PAUSE_S = 0.2


class FileLock:
    """A lock that this process holds; see `take`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def release(self) -> None:
        """Lets go of the lock and removes its file."""
        if sys.platform != "win32":
            _remove(self.path)
        _unlock(self._descriptor)  # also for a child that was forked meanwhile
        os.close(self._descriptor)
        if sys.platform == "win32":  # a file that is open cannot be removed there
            _remove(self.path)


def take(path: Path, *, wait: bool, create: bool = True) -> FileLock | None:
    """Takes a lock.

    Args:
        path: The lock file.
        wait: Wait for whoever holds it; otherwise None is returned then.
        create: Make the file where there is none.

    Raises:
        OSError: The file cannot be made, or its file system has no locks.
    """
    while True:
        descriptor = _open(path, create=create)
        try:
            held = _lock(descriptor, wait=wait)
        except OSError:
            os.close(descriptor)
            raise
        if held and _is_at(path, descriptor):
            return FileLock(path, descriptor)
        os.close(descriptor)
        if not held:
            return None


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a lock for the block; where the file system has no locks or may not be written, the block runs without.

    Args:
        path: The lock file; its folder has to exist.
        waiting: Called once if another holds it.
    """
    lock = None
    try:
        lock = take(path, wait=False)
        if lock is None:
            waiting()
            lock = take(path, wait=True)
    except OSError as error:
        logger.info("%s: cannot be locked (%s); others that write there are not waited for", path, error)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _open(path: Path, *, create: bool) -> int:
    flags = (os.O_CREAT if create else 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        return os.open(path, os.O_RDWR | flags, 0o666)
    except PermissionError:  # the file of another user, which can be locked all the same
        return os.open(path, os.O_RDONLY | (flags & ~os.O_CREAT))


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file still has its name: who had the lock before may have removed it."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except OSError:
        return False


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, wait: bool) -> bool:
        while True:
            os.lseek(descriptor, 0, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                return True
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EDEADLK):
                    raise
                if not wait:
                    return False
                time.sleep(_PAUSE_S)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, *, wait: bool) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
