"""A cache on disk for results that are expensive to compute, by a digest of everything that they depend on."""

from __future__ import annotations

import errno
import logging
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sovits_runtime.errors import BundleError
from sovits_runtime.machine.data_folder import own_home

logger = logging.getLogger(__name__)

T = TypeVar("T")
FOLDER_VARIABLE = "SOVITS_EXPORT_CACHE"
KEY_LENGTH = 32
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""What NumPy raises for a damaged file."""
CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
"""Errors of a user without a home, or with a read-only one, who can do nothing about it while speech runs."""
REFERENCE_BYTES = 256 << 20  # some hundred references
TEXT_BYTES = 64 << 20  # some hundred sentences of Chinese


@dataclass(frozen=True)
class FeatureCache:
    """A folder of `.npz` files named by key; the least recently used go when there are too many bytes.

    A damaged file is named in a warning and made again, and a folder that cannot be written is no error.

    Attributes:
        folder: Where the files lie; made when first needed.
        most_bytes: How much may lie there. Files with other names do not count and are never removed.
        shipped: A second folder, which is only read.
    """

    folder: Path
    most_bytes: int
    shipped: Path | None = None

    def get(
        self, key: str, *, load: Callable[[Path], T], make: Callable[[], T], save: Callable[[T, Path], None]
    ) -> T:
        """Returns the result of a key, made and kept if it is not there.

        Args:
            key: Digest of all that the result depends on, `KEY_LENGTH` characters.
            load: Reads the result.
            make: Computes the result.
            save: Writes the result, whole or not at all.
        """
        name = f"{key}.npz"
        for folder in filter(None, (self.folder, self.shipped)):
            try:
                if (folder / name).is_file():
                    result = load(folder / name)
                    _mark_used(folder / name)
                    return result
            except (BundleError, *DAMAGED) as error:
                logger.log(_level(error), "%s: cannot be used and is made again (%s)", folder / name, error)
        result = make()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save(result, self.folder / name)
            self._prune()
        except OSError as error:
            logger.log(_level(error), "cannot keep what was computed in %s: %s", self.folder, error)
        return result

    def _prune(self) -> None:
        files = []
        for path in self.folder.glob("*.npz"):
            if len(path.stem) == KEY_LENGTH:
                try:
                    files.append((path.stat(), path))
                except FileNotFoundError:  # another process pruned it
                    continue
        excess = sum(stat.st_size for stat, _ in files) - self.most_bytes
        for stat, path in sorted(files, key=lambda entry: entry[0].st_mtime_ns):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= stat.st_size


def _level(error: Exception) -> int:
    """Log level of a cache that fails: a folder that may not be written is for `-v` only, unless the user named it."""
    closed = isinstance(error, OSError) and error.errno in CLOSED
    return logging.INFO if closed and not os.environ.get(FOLDER_VARIABLE) else logging.WARNING


def _mark_used(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:  # a read-only folder prunes nothing
        logger.debug("%s: cannot be marked as used", path)


def user_cache_folder() -> Path:
    """Returns the folder of the user's caches: `$SOVITS_EXPORT_CACHE`, or the platform's own place."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder:
        return Path(folder)
    place = os.environ.get({"win32": "LOCALAPPDATA"}.get(sys.platform, "XDG_CACHE_HOME"))
    if place:
        return Path(place) / "sovits-export"
    home = own_home()
    if home is None:
        return Path(tempfile.gettempdir()) / "sovits-export"
    usual = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    return home / usual / "sovits-export"


def reference_cache(bundle: Path) -> FeatureCache:
    """Returns the cache of references: the bundle's `references/`, or the user's where that cannot be written."""
    own = bundle / "references"
    if not own.is_symlink() and _can_write(own if own.exists() else bundle):
        return FeatureCache(own, REFERENCE_BYTES)
    return FeatureCache(user_cache_folder() / "references", REFERENCE_BYTES, shipped=own)


def _can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, found out by making one: Windows does not tell beforehand."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def text_cache() -> FeatureCache:
    """Returns the cache of BERT features."""
    return FeatureCache(user_cache_folder() / "bert", TEXT_BYTES)
