"""A cache of compiled code in files, checked by sha256: code that was changed is compiled again."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from pathlib import Path

from sovits_runtime.bundle.files import write_file

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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_file(path) as file:
            file.write(hashlib.sha256(code).digest() + code)
    except OSError as error:
        logger.warning("%s: compiled code is not kept: %s", path, error)
