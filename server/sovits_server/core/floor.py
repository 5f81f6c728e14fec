"""What every dialect works with, and how its routes are made: errors in its own shape, work ended with the client."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from sovits_runtime.errors import printable
from sovits_server.config import Config
from sovits_server.core.answer import Answers
from sovits_server.core.ask import Fields
from sovits_server.core.asked import read_fields
from sovits_server.core.choices import Choices
from sovits_server.core.connection import ClientGoneError
from sovits_server.core.desk import Desk
from sovits_server.core.weights import Weights
from sovits_server.problems import Problem
from sovits_server.security.words import problem_of
from sovits_server.voices import VoiceStore

logger = logging.getLogger(__name__)

CLIENT_GONE = 499
Handler = Callable[[Request], Awaitable[Response]]
Shape = Callable[[Problem], Response]


@dataclass(frozen=True)
class Route:
    """A route of a dialect.

    Attributes:
        path: Of the address.
        methods: Of HTTP.
        handler: Answers.
        dialect: For metrics.
        words: What it does.
        fields: Name -> JSON schema of what it takes, for its documentation.
        open: Whether it needs no key.
        list: Whether it is a list that the operator may open to everybody.
    """

    path: str
    methods: tuple[str, ...]
    handler: Handler
    dialect: str
    words: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    open: bool = False
    list: bool = False


@dataclass(frozen=True)
class Floor:
    """What every dialect works with.

    Attributes:
        desk: Has requests spoken.
        answers: Makes answers of them.
        store: The voices.
        config: Of the operator.
        choices: What clients have chosen.
        weights: Finds voices by the weights that they were made of.
        stop: Ends the server; starts it anew where told so.
    """

    desk: Desk
    answers: Answers
    store: VoiceStore
    config: Config
    choices: Choices
    weights: Weights
    stop: Callable[[bool], None]

    async def fields(self, request: Request) -> Fields:
        """What a client sent; see `read_fields`."""
        return await read_fields(request, self.config.max_body_kb << 10)


def client_of(connection: HTTPConnection) -> str:
    """Who asks: a key, else an address."""
    state: Mapping[str, Any] = connection.scope.get("state", {})
    host = connection.client.host if connection.client else "?"
    return str(state.get("sovits.key") or host)


def answering(handler: Handler, shape: Shape) -> Handler:
    """A handler that answers whatever goes wrong in the shape of its dialect."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientGoneError:
            return Response(status_code=CLIENT_GONE)
        except Exception as error:
            problem = problem_of(error)
            if problem.status >= 500 and problem is not error:
                logger.error("%s", printable(str(error)), exc_info=error)
            answer = shape(problem)
            if problem.retry_after_s is not None:
                answer.headers["Retry-After"] = str(max(round(problem.retry_after_s), 1))
            return answer

    return handle
