"""Every route as OpenAPI tells it, at `/openapi.json`; by hand, since a framework that does it takes 0.2 s to start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sovits_runtime.machine import own_version
from sovits_server.core.floor import Route

DIALECT = "operators"
_ANSWER = {"200": {"description": "Successful Response", "content": {"application/json": {"schema": {}}}}}


def route(routes: Sequence[Route]) -> Route:
    """The route that tells of others.

    Args:
        routes: All others.
    """
    content = document(routes)

    async def tell(request: Request) -> Response:
        return JSONResponse(content)

    return Route("/openapi.json", ("GET",), tell, DIALECT, "Every route.")


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """What OpenAPI 3.1 says of routes.

    Args:
        routes: With their fields: of the query, or with POST of a body in JSON.
    """
    paths: dict[str, dict[str, Any]] = {}
    for one in routes:
        for method in one.methods:
            paths.setdefault(one.path, {})[method.lower()] = _operation(one, method)
    info = {"title": "sovits-export", "version": own_version()}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def _operation(route: Route, method: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "tags": [route.dialect],
        "summary": route.words,
        "operationId": f"{method} {route.path}",
        "responses": _ANSWER,
    }
    if route.fields and method == "POST":
        schema = {"type": "object", "properties": dict(route.fields)}
        told["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    elif route.fields:
        told["parameters"] = [{"name": n, "in": "query", "schema": s} for n, s in route.fields.items()]
    return told
