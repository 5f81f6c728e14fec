"""What operators and orchestrators ask: is it alive, is it ready, what does it count; and plain lists of voices."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sovits_server.core.alive import Readiness
from sovits_server.core.floor import Floor, Route, answering
from sovits_server.dialects.openai import shape
from sovits_server.operations.metrics import CONTENT_TYPE

DIALECT = "operators"


def routes(floor: Floor, readiness: Readiness) -> list[Route]:
    """The dialect's routes."""
    get = ("GET", "HEAD")
    return [
        Route(
            "/health", get, answering(partial(health, floor, readiness), shape), DIALECT, "Alive.", open=True
        ),
        Route(
            "/ready",
            get,
            answering(partial(ready, floor, readiness), shape),
            DIALECT,
            "Has spoken.",
            open=True,
        ),
        Route("/ping", get, answering(ping, shape), DIALECT, "Answers.", open=True),
        Route(
            "/metrics",
            ("GET",),
            answering(partial(metrics, floor), shape),
            DIALECT,
            "Counts, for Prometheus.",
        ),
        Route(
            "/speakers",
            ("GET",),
            answering(partial(speakers, floor), shape),
            DIALECT,
            "Lists voices.",
            list=True,
        ),
        Route(
            "/speakers_list",
            ("GET",),
            answering(partial(names, floor), shape),
            DIALECT,
            "Lists names.",
            list=True,
        ),
        Route(
            "/voices", ("GET",), answering(partial(named, floor), shape), DIALECT, "Lists voices.", list=True
        ),
    ]


async def health(floor: Floor, readiness: Readiness, request: Request) -> Response:
    """Says that it is alive, and what it is doing."""
    stats = floor.desk.engine.stats()
    body = {"status": "ok", "ready": readiness.ready, "running": stats.running, "waiting": stats.waiting}
    return JSONResponse(body)


async def ready(floor: Floor, readiness: Readiness, request: Request) -> Response:
    """Says whether it has spoken and still lets requests in; 503 otherwise."""
    if floor.desk.admission.closed:
        return JSONResponse({"ready": False, "reason": "it is going down"}, status_code=503)
    if readiness.ready:
        return JSONResponse({"ready": True, "first_word_s": round(readiness.took_s, 3)})
    reason = "not yet; the server's log says why"
    return JSONResponse({"ready": False, "reason": reason}, status_code=503, headers={"Retry-After": "1"})


async def ping(request: Request) -> Response:
    """Answers."""
    return JSONResponse({"message": "pong"})


async def metrics(floor: Floor, request: Request) -> Response:
    """Counts."""
    content = await floor.desk.in_thread(floor.desk.meters.text)
    return Response(content, headers={"Content-Type": CONTENT_TYPE})


async def speakers(floor: Floor, request: Request) -> Response:
    """Lists voices as SillyTavern reads them."""
    known = await floor.desk.in_thread(floor.store.voices)
    listed = [
        {"name": v.name, "voice_id": v.name, "preview_url": "", "lang": v.language or "auto"} for v in known
    ]
    return JSONResponse(listed)


async def names(floor: Floor, request: Request) -> Response:
    """Lists names."""
    return JSONResponse(list(await floor.desk.in_thread(floor.store.names)))


async def named(floor: Floor, request: Request) -> Response:
    """Lists voices in an object."""
    known = await floor.desk.in_thread(floor.store.voices)
    listed = [{"id": v.name, "name": v.name, "emotions": list(v.emotions)} for v in known]
    return JSONResponse({"voices": listed})
