"""Paths that clients name: found in the folders that the operator allows, and nowhere else.

Clients write paths of their own machine, of the original's folder, with slashes of either kind, and one of them writes
everything in lower case. So a path is looked for by its last parts, whatever the case; the longest match wins.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from sovits_server.problems import BadRequestError, NotThereError, TooLargeError

_LONGEST = 1024
_MOST_PARTS = 32
_MOST_ENTRIES = 20_000


class Places:
    """Folders in which clients may name files.

    Args:
        folders: Those allowed.
        most_bytes: The largest file that is read.
        what: What such a file is, for messages.
        param: The field that names it.
        option: With which the operator allows a folder.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        most_bytes: int,
        *,
        what: str = "recording",
        param: str = "ref_audio_path",
        option: str = "--references",
    ) -> None:
        self.folders = tuple(dict.fromkeys(folder.resolve() for folder in folders))
        self.most_bytes = most_bytes
        self._what, self._param, self._option = what, param, option

    def find(self, asked: str) -> Path:
        """The file that a client means.

        Args:
            asked: As the client wrote it.

        Raises:
            BadRequestError: It leads upwards, or is no path at all.
            NotThereError: There is none in the folders allowed.
            TooLargeError: It is larger than a recording may be.
        """
        parts = self._parts(asked)
        for start in range(len(parts)):
            for folder in self.folders:
                found = _walk(folder, parts[start:])
                if found is not None and _inside(found, self.folders):
                    return self._checked(found)
        hint = "" if self.folders else f"; the server's operator allows no folder ({self._option} FOLDER)"
        raise NotThereError(
            f"no {self._what} {parts[-1][:80]!r} in the folders that this server allows{hint}",
            param=self._param,
        )

    def _checked(self, path: Path) -> Path:
        if path.stat().st_size > self.most_bytes:
            raise TooLargeError(f"{self._what} {path.name[:80]!r}: larger than {self.most_bytes >> 20} MB")
        return path

    def _parts(self, asked: str) -> list[str]:
        """Raises BadRequestError where it is no path."""
        cleaned = asked.strip().strip("\"'").removeprefix("file://")
        if len(cleaned) > _LONGEST or "\0" in cleaned:
            raise BadRequestError(f"the path of the {self._what} is none", param=self._param)
        parts = [part for part in cleaned.replace("\\", "/").split("/") if part not in ("", ".")]
        if parts and len(parts[0]) == 2 and parts[0][1] == ":":
            parts = parts[1:]  # a drive
        if ".." in parts:
            raise BadRequestError(f"the path of the {self._what} leads upwards (..)", param=self._param)
        if not parts or len(parts) > _MOST_PARTS:
            raise BadRequestError(f"the path of the {self._what} is none", param=self._param)
        return parts


def _walk(folder: Path, parts: list[str]) -> Path | None:
    """A regular file below a folder, by names of whatever case; the exact name first."""
    here = folder
    for part in parts:
        exact = here / part
        if not _there(exact):
            wanted = part.casefold()
            try:
                with os.scandir(here) as entries:
                    names = (entry.name for entry, _ in zip(entries, range(_MOST_ENTRIES), strict=False))
                    exact = next((here / name for name in names if name.casefold() == wanted), exact)
            except OSError:
                return None
        here = exact
    try:
        return here if stat.S_ISREG(here.stat().st_mode) else None
    except (OSError, ValueError):
        return None


def _there(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def _inside(path: Path, folders: Iterable[Path]) -> bool:
    """Whether a file, its links followed, lies in one of the folders."""
    real = path.resolve()
    return any(real.is_relative_to(folder) for folder in folders)
