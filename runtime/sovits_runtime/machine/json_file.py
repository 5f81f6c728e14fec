"""JSON from strangers: at most so many bytes of a regular file, and one of our errors for whatever is wrong with it.

A file that is called `.json` can be a pipe that nobody writes to, gigabytes of zeros, lists nested deeper than Python's
stack, what Git LFS leaves in place of a file, or the web page that a download gave instead. All who read JSON that
somebody else may have written read it here.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from sovits_runtime.errors import SovitsError, first_line

MOST_BYTES = 16 << 20
"""Of a file: a hundred times the largest manifest. In memory JSON takes up to some 20 times as much."""
LFS_REMEDY = (
    "run 'git lfs install' and 'git lfs pull' where it was cloned, or download the voice in another way"
)
LFS_POINTER = b"version https://git-lfs"
"""How it begins."""
_WEB_PAGE = (b"<!doctype html", b"<html", b"<?xml")
_LONGEST_POINTER = 1024


def open_regular(path: Path) -> BinaryIO:
    """Opens a file for reading, if it is one: a pipe may never give anything, and a device never end.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is what a clone without Git LFS has in place of a large file: a note of what to download."""
    try:
        if path.stat().st_size > _LONGEST_POINTER:
            return False
        with open_regular(path) as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False


def parse_json(content: bytes | str) -> Any:
    """Reads JSON that came from outside.

    Raises:
        ValueError: It is none, or holds what Python cannot read or write again: nesting without end, half characters.
    """
    try:
        value = json.loads(content)
        escape = b"\\u" if isinstance(content, bytes) else "\\u"
        if escape in content:  # type: ignore[operator]  # half of a pair of surrogates is no text
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def read_json(
    path: Path, *, what: str, error: type[SovitsError], remedy: str, most_bytes: int = MOST_BYTES
) -> Any:
    """Reads a JSON file.

    Args:
        path: The file.
        what: What it should be, with its article, for the message.
        error: Class of the error.
        remedy: What to do where it is not that.
        most_bytes: A longer file is not read.

    Raises:
        SovitsError: Of class `error`: it cannot be read, and why.
    """
    try:
        with open_regular(path) as file:
            content = file.read(most_bytes + 1)
            if len(content) > most_bytes:
                raise ValueError(
                    f"it has {os.fstat(file.fileno()).st_size} bytes, expected at most {most_bytes}"
                )
        if content.startswith(LFS_POINTER):
            raise error(f"{path}: is a Git LFS pointer, not the file itself; {LFS_REMEDY}")
        if content[:64].lstrip().lower().startswith(_WEB_PAGE):
            raise ValueError("it is a web page")
        return parse_json(content)
    except OSError as problem:
        raise error(f"{path}: not {what} ({problem.strerror or first_line(problem)}); {remedy}") from problem
    except ValueError as problem:
        if isinstance(problem, SovitsError):
            raise
        raise error(f"{path}: not {what} ({first_line(problem)}); {remedy}") from problem
