"""Lines that were spoken before, kept on disk by all that their sound depends on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sovits_runtime.bundle.files import write_file
from sovits_runtime.errors import ShapeError

logger = logging.getLogger(__name__)

DEFAULT_BYTES = 256 << 20
_FORM = 1
_SUFFIX = ".line"
_KEY_LENGTH = 64
_LONGEST_HEAD = 1 << 20


@dataclass(frozen=True)
class CachedLine:
    """A line as it was sent.

    Attributes:
        content: The bytes of the sound.
        media_type: Of HTTP.
        etag: Digest of the content, in the quotes that HTTP wants.
        extra: What was kept beside it, such as where its sentences are; JSON values.
    """

    content: bytes = field(repr=False)
    media_type: str
    etag: str
    extra: Mapping[str, Any]

    def matches(self, if_none_match: str | None) -> bool:
        """Whether a client's If-None-Match names this content, so that 304 is the answer."""
        if if_none_match is None:
            return False
        named = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
        return "*" in named or self.etag in named


def line_key(
    *,
    text: str,
    voice: str,
    bundle: str,
    reference: str,
    format: str,
    options: Mapping[str, Any],
) -> str:
    """Digest of all that a line's sound depends on.

    Args:
        text: What is said, with its marks.
        voice: Its name.
        bundle: Digest of the bundle.
        reference: Key of the reference.
        format: With its rate, where that may differ.
        options: Language, speed, seed, sampling and whatever else changes the sound; JSON values.
    """
    parts = {
        "form": _FORM,
        "text": text,
        "voice": voice,
        "bundle": bundle,
        "reference": reference,
        "format": format,
        "options": dict(options),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


class LineCache:
    """A folder of lines; the least recently used go when there are too many bytes.

    A file is a line of JSON and the sound. It appears whole or not at all, and a damaged one is removed. Safe to use
    from several threads, and from several processes.

    Args:
        folder: Where they lie; made when first needed. Files of other names are never touched.
        most_bytes: How much may lie there.
    """

    def __init__(self, folder: Path, *, most_bytes: int = DEFAULT_BYTES) -> None:
        if most_bytes < 1:
            raise ShapeError(f"line cache: got {most_bytes} bytes, expected more than 0")
        self.folder = folder
        self.most_bytes = most_bytes
        self._lock = threading.Lock()

    def get(self, key: str) -> CachedLine | None:
        """Returns a line, if it is there and whole."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            line = _read(content, key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("a line of the cache is damaged and goes (%s)", type(error).__name__)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return line

    def put(
        self, key: str, content: bytes, *, media_type: str, extra: Mapping[str, Any] | None = None
    ) -> CachedLine:
        """Keeps a line. One that is too long is not kept, and a full disk is no error: the sound is there anyway.

        Args:
            key: From `line_key`.
            content: The bytes of the sound.
            media_type: Of HTTP.
            extra: What to keep beside it; JSON values.
        """
        line = CachedLine(content, media_type, _etag(content), dict(extra or {}))
        head = {
            "form": _FORM,
            "key": key,
            "bytes": len(content),
            "etag": line.etag,
            "media_type": media_type,
            "extra": line.extra,
        }
        written = json.dumps(head).encode() + b"\n" + content
        if len(written) > self.most_bytes or len(written) - len(content) > _LONGEST_HEAD:
            return line
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with write_file(self._path(key)) as file:
                file.write(written)
            self._prune()
        except OSError as error:
            logger.warning("a line cannot be kept (%s)", error.strerror)
        return line

    def _path(self, key: str) -> Path:
        if len(key) != _KEY_LENGTH or not set(key) <= set("0123456789abcdef"):
            raise ShapeError(f"line cache: got the key {key[:80]!r}, expected one of line_key()")
        return self.folder / f"{key}{_SUFFIX}"

    def _prune(self) -> None:
        with self._lock:
            lines = []
            for path in self.folder.glob(f"*{_SUFFIX}"):
                if len(path.stem) == _KEY_LENGTH:
                    with contextlib.suppress(FileNotFoundError):  # another process removed it
                        found = path.stat()
                        lines.append((found.st_mtime_ns, found.st_size, path))
            excess = sum(size for _, size, _ in lines) - self.most_bytes
            for _, size, path in sorted(lines):
                if excess <= 0:
                    return
                path.unlink(missing_ok=True)
                excess -= size


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _read(written: bytes, key: str) -> CachedLine:
    head, newline, content = written.partition(b"\n")
    fields = json.loads(head)
    whole = newline and fields["key"] == key and fields["bytes"] == len(content)
    if not whole or fields["form"] != _FORM or fields["etag"] != _etag(content):
        raise ValueError("it is not what was written")
    return CachedLine(content, fields["media_type"], fields["etag"], fields["extra"])
