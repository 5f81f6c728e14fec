"""Compiled code kept in files, behind its sha256: code that is not as it was written is compiled anew."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)
_DIGEST_BYTES = 32


def read_code(path: Path) -> bytes | None:
    """Returns what `keep_code` wrote; None where there is none or it is damaged."""
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(code).digest() == digest:
            return code
    return None


def keep_code(path: Path, code: bytes | memoryview) -> None:
    """Writes compiled code; a place that cannot be written is a warning, it costs the next start its time."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(hashlib.sha256(code).digest() + code)
        unfinished.replace(path)
    except OSError as error:
        logger.warning("%s: compiled code is not kept: %s", path, error)
        with contextlib.suppress(OSError):
            unfinished.unlink()
