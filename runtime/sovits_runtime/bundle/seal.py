"""A seal under what this user made: it proves later that nobody else made or changed it.

For files that are executed as they are. The key is random, lies in the user's cache folder, and goes nowhere else; who
shares that folder (`$SOVITS_EXPORT_CACHE`) shares the seal.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sovits_runtime.bundle.feature_cache import user_cache_folder
from sovits_runtime.bundle.file_lock import locked
from sovits_runtime.bundle.files import content_digest, write_file
from sovits_runtime.errors import BundleError
from sovits_runtime.machine.json_file import open_regular

KEY_FILE = "seal.key"
SEAL = "seal"
_KEY_BYTES = 32


def user_mark() -> str:
    """What tells this user's things from those of others, without telling the key; empty where there is no key yet."""
    key = _read_key(user_cache_folder() / KEY_FILE)
    return hashlib.sha256(b"mark" + key).hexdigest()[:16] if key else ""


def make_key() -> None:
    """Makes the user's key where there is none.

    Raises:
        BundleError: It cannot be written.
    """
    path = user_cache_folder() / KEY_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock")):
            if not _read_key(path):
                with write_file(path, sync=True) as file:
                    if hasattr(os, "fchmod"):
                        os.fchmod(file.fileno(), 0o600)
                    file.write(secrets.token_bytes(_KEY_BYTES))
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be written ({error.strerror}); name a folder that can with $SOVITS_EXPORT_CACHE"
        ) from error


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """The same JSON with this user's seal; see `make_key`."""
    return {**value, SEAL: _seal_of(value)}


def is_sealed(value: Mapping[str, Any]) -> bool:
    """Whether JSON has this user's seal and is as it was then."""
    key_is_there = bool(_read_key(user_cache_folder() / KEY_FILE))
    return key_is_there and hmac.compare_digest(str(value.get(SEAL)).encode(), _seal_of(value).encode())


def _seal_of(value: Mapping[str, Any]) -> str:
    key = _read_key(user_cache_folder() / KEY_FILE)
    content = content_digest({name: part for name, part in value.items() if name != SEAL})
    return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()


def _read_key(path: Path) -> bytes:
    """The key; empty where there is none, or where somebody else could have put it there."""
    try:
        with open_regular(path) as file:
            key = file.read(_KEY_BYTES + 1)
            owner = os.fstat(file.fileno()).st_uid
    except OSError:
        return b""
    trusted = not hasattr(os, "geteuid") or owner in (0, os.geteuid())
    return key if trusted and len(key) == _KEY_BYTES else b""
