"""The server as an ASGI application: all dialects over one desk, behind one gate."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Mounted
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Scope

from sovits_runtime.bundle.feature_cache import user_cache_folder
from sovits_server import page
from sovits_server.config import Config
from sovits_server.core.ahead import Ahead, casting_of, engine_of, store_of
from sovits_server.core.alive import Readiness
from sovits_server.core.answer import Answers
from sovits_server.core.casting import Casting
from sovits_server.core.choices import Choices
from sovits_server.core.connection import stopped
from sovits_server.core.desk import Desk
from sovits_server.core.floor import Floor, Route
from sovits_server.core.weights import Weights
from sovits_server.dialects import api_v2, gsvi, openai, openapi, operators, root, socket
from sovits_server.operations.metrics import Meters
from sovits_server.security.gate import Gate
from sovits_server.security.keys import Keys
from sovits_server.sound import LineCache
from sovits_server.wyoming import check_wyoming, open_wyoming

logger = logging.getLogger(__name__)

LOOPBACK_ORIGIN = r"https?://(localhost|127(\.\d{1,3}){3}|\[::1\]|[a-z0-9-]+\.localhost)(:\d{1,5})?"
"""Pages of servers on this machine, as SillyTavern is one."""
Stop = Callable[[bool], None]
MakeDesk = Callable[[Casting, Config, Meters], Desk]


class Server:
    """All parts of a server, put together.

    Args:
        config: Of the operator.
        stop: Ends the process that serves; it is told whether to start anew.
        make_desk: Makes the desk; None: one whose engine is in this process.
        ahead: Parts that have begun to speak already.

    Attributes:
        app: The ASGI application.
        desk: Where all requests meet.
        readiness: Whether it has spoken.
        store: The voices.

    Raises:
        ConfigError: A voice is there twice, the default voice is not there, or Home Assistant cannot be served.
    """

    def __init__(
        self,
        config: Config,
        *,
        stop: Stop | None = None,
        make_desk: MakeDesk | None = None,
        ahead: Ahead | None = None,
    ) -> None:
        check_wyoming(config)
        self.config = config
        self.meters = Meters()
        self.store = ahead.store if ahead else store_of(config)
        casting = ahead.casting if ahead else casting_of(config, self.store)
        if make_desk is not None:
            self.desk = make_desk(casting, config, self.meters)
        else:
            self.desk = Desk(ahead.engine if ahead else engine_of(config), casting, config, self.meters)
        self.readiness = Readiness(self.desk, ahead.word if ahead else None)
        answers = Answers(self.desk, _cache(config))
        self.weights = Weights(self.store, config)
        self.floor = Floor(
            desk=self.desk,
            answers=answers,
            store=self.store,
            config=config,
            choices=Choices(),
            weights=self.weights,
            stop=stop or _no_stop,
        )
        self.app = self._application()

    def _routes(self) -> list[Route]:
        floor = self.floor
        made = [*openai.routes(floor), *api_v2.routes(floor), *gsvi.routes(floor)]
        shown = page.page if self.config.page else None
        files = page.routes() if self.config.page else []
        made += [*root.routes(floor, shown), *files, *operators.routes(floor, self.readiness)]
        return [*made, openapi.route(made)]

    def _application(self) -> ASGIApp:
        routes = self._routes()
        sockets = [WebSocketRoute(path, partial(socket.talk, self.floor)) for path in socket.PATHS]
        app = Starlette(
            routes=[*(_address(route) for route in routes), *sockets],
            exception_handlers={404: _unknown, 405: _unknown},
            lifespan=self._lifespan,
        )
        app.state.server = self
        dialect_of = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", r.path)), r.dialect) for r in routes]
        keys = Keys([key.get_secret_value() for key in self.config.api_key])
        gate = Gate(
            _with_cors(app, self.config.cors_origin),
            self.config,
            keys=keys,
            open_paths=frozenset(r.path for r in routes if r.open),
            list_paths=frozenset(r.path for r in routes if r.list),
            told=partial(_count, self.meters, dialect_of),
        )
        return gate

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        finding_out = asyncio.create_task(self.readiness.find_out())
        async with AsyncExitStack() as stack:
            if self.config.wyoming_port is not None:
                port = await stack.enter_async_context(open_wyoming(self.floor))
                logger.info("Home Assistant's protocol at %s:%d", self.config.host, port)
            stack.push_async_callback(self.desk.close)
            stack.push_async_callback(asyncio.to_thread, self.weights.close)
            stack.push_async_callback(stopped, finding_out)
            yield


def build_app(config: Config) -> ASGIApp:
    """A server as an ASGI application, for any server of those."""
    return Server(config).app


def _cache(config: Config) -> LineCache | None:
    if not config.cache_mb:
        return None
    return LineCache(user_cache_folder() / "lines", most_bytes=round(config.cache_mb * 1e6))


def _address(route: Route) -> Mounted:
    """A route as Starlette takes it, which adds HEAD to each GET: most of ours would speak for nobody."""
    made = Mounted(route.path, route.handler, methods=list(route.methods))
    made.methods = set(route.methods)
    return made


def _with_cors(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """Pages of this machine may ask, and those that the operator names."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_origin_regex=None if "*" in origins else LOOPBACK_ORIGIN,
        allow_methods=["GET", "POST", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=["X-Sample-Rate", "X-Request-Id", "X-Reference", "ETag", "Retry-After"],
        max_age=600,
    )


async def _unknown(request: Request, error: Exception) -> Response:
    status = int(getattr(error, "status_code", 404))
    text = "there is no such address here" if status == 404 else f"{request.method} is not for this address"
    body = {"message": text, "type": "invalid_request_error", "param": None, "code": status}
    headers: Mapping[str, str] = getattr(error, "headers", None) or {}
    return JSONResponse({"error": body, "message": text}, status_code=status, headers=dict(headers))


def _count(
    meters: Meters, patterns: list[tuple[re.Pattern[str], str]], scope: Scope, status: int, seconds: float
) -> None:
    dialect = next((name for pattern, name in patterns if pattern.fullmatch(scope["path"])), "other")
    if scope["type"] == "websocket":
        dialect = socket.DIALECT
    meters.answers.labels(dialect, str(status)).inc()
    meters.total.labels(dialect).observe(seconds)


def _no_stop(again: bool) -> None:
    logger.warning("this server cannot be ended by a request: its process is not ours")


__all__ = ["Server", "build_app"]
