"""uvicorn's connections with two things more: they can be cut at once, and silence at their beginning ends them."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from sovits_server.core.connection import TRANSPORT

HEAD_S = 15.0
"""Within it the head of a request has to be there."""


class HttpProtocol(HttpToolsProtocol):
    """A connection of HTTP."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for the first request, for a while."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(HEAD_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        self._calm()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begins a request; its scope can cut the connection."""
        super().on_message_begin()
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {}) or {}
        extensions[TRANSPORT] = self.transport
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_S, self._give_up)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._calm()
        super().on_headers_complete()

    def _calm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if not self.transport.is_closing():
            self.transport.abort()


class SocketProtocol(WebSocketsSansIOProtocol):
    """A connection of WebSocket."""

    async def run_asgi(self) -> None:
        """Begins a conversation; its scope can cut the connection."""
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions[TRANSPORT] = self.transport
        await super().run_asgi()
