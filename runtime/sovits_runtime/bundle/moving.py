"""Moves and removes what Windows keeps in place for as long as a program has it open.

There, a file that is open or mapped into memory cannot be replaced, renamed or removed, and neither can its folder.
Virus scanners and indexers open what is new for a moment, and graphs that are no longer used may wait to be collected.
So it is tried again for a while.
"""

from __future__ import annotations

import errno
import gc
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

OPEN_FILES_STAY = sys.platform == "win32"
"""Whether the system refuses to move what is open."""
PATIENCE_S = 2.0
_PAUSE_S = 0.05
_IN_USE = (32, 33, 1224)
"""What Windows says of a file that is open, locked or mapped. Of a folder it says the same as of missing rights."""


class InUseError(PermissionError):
    """Something is open in a program; the message says what to do."""


def rename(source: Path, target: Path) -> None:
    """Renames a file or a folder; a file of the new name is replaced.

    Raises:
        InUseError: On Windows a program keeps it open.
        OSError: It cannot be renamed.
    """
    hidden = target.name.startswith(".") and not target.exists()  # a user knows the other name
    _patiently(lambda: os.replace(source, target), source if hidden else target)


def remove_tree(folder: Path) -> None:
    """Removes a folder and all in it.

    Raises:
        InUseError: On Windows a program keeps something in it open.
        OSError: It cannot be removed.
    """
    _patiently(lambda: shutil.rmtree(folder), folder)


def _patiently(act: Callable[[], None], place: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return act()
        except PermissionError as error:
            if not OPEN_FILES_STAY:
                raise
            if time.monotonic() > end:
                told = "cannot be replaced or removed while a program has it open; close what uses it, then try again"
                rights = "" if getattr(error, "winerror", 0) in _IN_USE else ", or check your rights there"
                raise InUseError(errno.EACCES, told + rights, str(place)) from error
        gc.collect()  # closed voices let go of their files
        time.sleep(_PAUSE_S)
