"""Keys: who may ask, and whose request it is."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from sovits_server.problems import UnauthorizedError

HOW = "send it as 'Authorization: Bearer KEY', 'X-API-Key: KEY' or, where only an address can be given, ?api_key=KEY"


class Keys:
    """The keys that are good. Without any, everybody may ask.

    Args:
        keys: Of the operator.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def check(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
        """Looks for a good key.

        Returns:
            A short name of the key, not the key; empty where none is needed.

        Raises:
            UnauthorizedError: There is none, or a wrong one.
        """
        if not self._digests:
            return ""
        given = _given(headers, query)
        if not given:
            raise UnauthorizedError(f"this server wants a key; {HOW}")
        digest, found = _digest(given), False
        for known in self._digests:  # all of them, so that the time tells nothing
            found |= hmac.compare_digest(digest, known)
        if not found:
            raise UnauthorizedError(f"the key is none of this server's; {HOW}")
        return digest.hex()[:12]


def _given(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
    return headers.get("x-api-key", "").strip() or query.get("api_key", "").strip()


def _digest(key: str) -> bytes:
    """Of equal length for all keys, so that comparing takes one time."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
