"""What is asked of `/`: the older `api.py`, SillyTavern's own ways, a browser that wants the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sovits_runtime.text.split import STREAM
from sovits_server.core.ask import Ask, Fields, Whom, language_of
from sovits_server.core.floor import Floor, Route, answering, client_of
from sovits_server.dialects import api_v2
from sovits_server.problems import BadRequestError, Problem

DIALECT = "api"
MARKS = ",.;?!、，。？！；：…"
"""What `cut_punc` may name."""
LINES = "cut0"
"""Of the ways to cut a text, the one that only cuts at the ends of lines."""
ADAPTER = ("use_st_adapter", "target_voice", "card_name")
"""Fields of SillyTavern's adapter."""
FIELDS: Mapping[str, Any] = {
    "text": {"type": "string"},
    "text_language": {"type": "string", "description": "A code, or the Chinese name of a language."},
    "refer_wav_path": {"type": "string"},
    "prompt_text": {"type": "string"},
    "prompt_language": {"type": "string"},
    "speed": {"type": "number", "default": 1},
    "top_k": {"type": "integer", "default": 15},
    "top_p": {"type": "number", "default": 1},
    "temperature": {"type": "number", "default": 1},
    "inp_refs": {"type": "array", "items": {"type": "string"}},
    "sample_steps": {"type": "integer"},
    "cut_punc": {"type": "string", "description": f"Sentences end behind these marks alone, of {MARKS}"},
    "if_sr": {"type": "boolean", "description": "Not done; the header X-Ignored says so."},
}


def shape(problem: Problem) -> Response:
    """An error as the older API writes it."""
    status = 400 if problem.status in (404, 413) else problem.status
    return JSONResponse({"code": status, "message": str(problem)}, status_code=status)


def routes(floor: Floor, page: Callable[[], Response] | None) -> list[Route]:
    """The dialect's routes.

    Args:
        floor: Where they ask.
        page: What a browser is shown.
    """
    both = ("GET", "POST")
    return [
        Route(
            "/", both, answering(partial(root, floor, page), shape), DIALECT, "Speaks a text.", fields=FIELDS
        ),
        Route(
            "/set_model",
            both,
            answering(partial(set_model, floor), shape),
            DIALECT,
            "Selects a voice by weights.",
        ),
        Route(
            "/change_refer",
            both,
            answering(partial(change_refer, floor), shape),
            DIALECT,
            "Selects a reference.",
        ),
    ]


async def root(floor: Floor, page: Callable[[], Response] | None, request: Request) -> Response:
    """Speaks for whoever sends text, and shows the page to whoever does not."""
    if request.method == "GET" and not set(request.query_params) - {"api_key"}:
        if page is not None:
            return page()
        return JSONResponse({"name": "sovits-export", "speech": "/v1/audio/speech", "health": "/health"})
    fields, client = await floor.fields(request), client_of(request)
    if any(name in fields for name in ADAPTER) or "text_lang" in fields or "ref_audio_path" in fields:
        return await floor.answers.speak(sillytavern(fields, floor, client), request, client)
    return await floor.answers.speak(read_ask(fields, floor, client), request, client)


def sillytavern(fields: Fields, floor: Floor, client: str) -> Ask:
    """A request of SillyTavern's: the fields of `api_v2`, and a voice in one of its ways.

    It names a recording after the voice, and sends the voice's name for a transcript; see `Casting.voice_of`.
    """
    return api_v2.read_ask(fields, floor, client)


def read_ask(fields: Fields, floor: Floor, client: str) -> Ask:
    """What a client of the older API asks for.

    Raises:
        BadRequestError: It makes no sense.
    """
    if "text" not in fields:
        raise BadRequestError("text: expected what is to be said", param="text")
    whom = Whom(
        voice=fields.text(*api_v2.VOICE),
        strict=fields.raw(*api_v2.VOICE) is not None,
        path=fields.text("refer_wav_path"),
        words=fields.text("prompt_text"),
        language=language_of(fields.text("prompt_language"), "prompt_language"),
        more=api_v2.more_paths(fields),
    )
    options = {
        "top_k": fields.whole("top_k"),
        "top_p": fields.number("top_p"),
        "temperature": fields.number("temperature"),
        "speed": fields.number("speed"),
        "flow_steps": fields.whole("sample_steps"),
        "seed": fields.whole("seed", default=-1),
        "super_sampling": fields.flag("if_sr"),
    }
    marks = "".join(mark for mark in fields.text("cut_punc") if mark in MARKS)
    text = fields.text("text")
    return Ask(
        dialect=DIALECT,
        text=cut_at(text, marks) if marks else text,
        whom=floor.choices.whom(client, whom),
        language=language_of(fields.text("text_language"), "text_language"),
        cut=LINES if marks else STREAM,
        options=options,
        delivery="whole",
        tail=True,
        format=fields.text("media_type", default="wav").lower(),
    )


def cut_at(text: str, marks: str) -> str:
    """The text with a line for each sentence, which ends behind some marks; those within numbers are none.

    Args:
        text: As the client wrote it.
        marks: Of `MARKS`.
    """
    mark = re.escape(marks)
    return re.sub(rf"(?<=[{mark}])(?!(?<=\d.)\d)(?![{mark}\n]|$)", "\n", text)


async def set_model(floor: Floor, request: Request) -> Response:
    """Selects the voice that was made of these weights."""
    fields, client = await floor.fields(request), client_of(request)
    gpt, sovits = fields.text("gpt_model_path"), fields.text("sovits_model_path")
    if not gpt and not sovits:
        raise BadRequestError("gpt_model_path, sovits_model_path: expected one of them")
    await api_v2.choose_weights(floor, client, gpt=gpt, sovits=sovits)
    return _good()


async def change_refer(floor: Floor, request: Request) -> Response:
    """Selects a reference for requests that name none."""
    fields, client = await floor.fields(request), client_of(request)
    path = fields.text("refer_wav_path")
    if not path:
        raise BadRequestError("refer_wav_path: expected a recording", param="refer_wav_path")
    await floor.desk.in_thread(lambda: api_v2.check_path(floor, path))
    language = language_of(fields.text("prompt_language"), "prompt_language")
    floor.choices.change(client, path=path, words=fields.text("prompt_text"), language=language)
    return _good()


def _good() -> Response:
    return JSONResponse({"code": 0, "message": "Success"})
