"""The gate before all dialects: names of this server, keys, other people's pages, headers, the number of a request."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sovits_runtime.errors import printable
from sovits_server.config import Config, is_loopback
from sovits_server.operations.logs import new_id, request_id
from sovits_server.operations.traces import continued
from sovits_server.problems import ForbiddenError, Problem, UnauthorizedError
from sovits_server.security.keys import Keys

logger = logging.getLogger("sovits_server.requests")

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
CHANGING = re.compile(
    r"(/v1)?/audio/voices(/.*)?|/set_gpt_weights|/set_sovits_weights|/set_refer_audio|/set_model|/change_refer|/control"
)
"""What changes something here, so that no page of a stranger's may ask for it."""
Told = Callable[[Scope, int, float], None]


class Gate:
    """An ASGI application in front of another.

    Args:
        app: The dialects.
        config: Of the operator.
        keys: The good ones.
        open_paths: Those that need no key.
        list_paths: Those that need none where the operator says so.
        told: Called at the end of each answer with its scope, status and seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: Config,
        *,
        keys: Keys,
        open_paths: frozenset[str],
        list_paths: frozenset[str],
        told: Told,
    ) -> None:
        self._app = app
        self._config = config
        self._keys = keys
        self._open = open_paths | (list_paths if config.open_lists else frozenset())
        self._told = told
        self._hosts = {host.casefold() for host in config.allow_host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, or answers it."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        token = request_id.set(new_id(headers.get("x-request-id")))
        start, status = time.perf_counter(), 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(message)
            await send(message)

        try:
            with continued(headers):
                problem = self._problem(scope, headers)
                if problem is None:
                    await self._app(scope, receive, send_on)
                else:
                    await _refuse(problem, scope, receive, send_on)
        finally:
            self._told(scope, status, time.perf_counter() - start)
            _log(scope, status, time.perf_counter() - start)
            request_id.reset(token)

    def _problem(self, scope: Scope, headers: Headers) -> Problem | None:
        """Why it is not let through."""
        path = scope["path"]
        if not self._host_is_ours(headers.get("host", "")):
            return ForbiddenError(
                "this server is not called by that name (its operator can add it: --allow-host)"
            )
        if not _origin_may_change(scope, headers, path, self._config.cors_origin):
            return ForbiddenError("a page of another site may not change anything here")
        open_page = path == "/" and scope.get("method") == "GET" and not scope.get("query_string")
        if path in self._open or open_page or (scope.get("method") == "OPTIONS"):
            return None
        try:
            key = self._keys.check(headers, QueryParams(scope.get("query_string", b"")))
        except UnauthorizedError as error:
            return error
        scope.setdefault("state", {})["sovits.key"] = key
        return None

    def _host_is_ours(self, host: str) -> bool:
        """Against pages that have their own name resolve to this machine: only names that nobody else can have."""
        if not self._config.loopback or self._keys or not host:
            return True
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return is_loopback(name) or name.casefold() in self._hosts or "*" in self._hosts

    def _add_headers(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        headers["X-Request-Id"] = request_id.get()


def _origin_may_change(scope: Scope, headers: Mapping[str, str], path: str, allowed: tuple[str, ...]) -> bool:
    """Whether a browser that sends this does so for a page that may change something here."""
    socket = scope["type"] == "websocket"  # browsers ask nobody before they open one
    if not socket and (scope.get("method") == "OPTIONS" or not CHANGING.fullmatch(path)):
        return True
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin", "same-site")
    host = headers.get("host", "")
    return "*" in allowed or origin in allowed or urlsplit(origin).netloc == host or own_origin(origin)


def own_origin(origin: str) -> bool:
    """Whether a page comes from a server of this machine."""
    try:
        return is_loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return False


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": str(problem)[:120]})
        return
    body: dict[str, Any] = {
        "message": str(problem),
        "type": problem.kind,
        "param": None,
        "code": problem.status,
    }
    answer = JSONResponse({"error": body, "message": str(problem)}, status_code=problem.status)
    if problem.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    await answer(scope, receive, send)


def _log(scope: Scope, status: int, seconds: float) -> None:
    method = scope.get("method", "WS")
    client = scope["client"][0] if scope.get("client") else ""
    fields = {"method": method, "path": printable(scope["path"])[:200], "status": status, "client": client}
    line = "%s %s %d %.3f s"
    values = (method, printable(scope["path"])[:200], status, seconds)
    logger.info(line, *values, extra={**fields, "seconds": round(seconds, 4)})
