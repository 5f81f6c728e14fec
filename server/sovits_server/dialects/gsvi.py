"""GSVI, in both of its forms: lists of characters and emotions, and speech that is fetched by an address."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sovits_server.core.ask import Ask
from sovits_server.core.floor import Floor, Route, answering, client_of
from sovits_server.dialects import api_v2
from sovits_server.problems import NotThereError, Problem
from sovits_server.voices import Voice

DIALECT = "gsvi"
MOST_BYTES = 64 << 20
DEFAULT_EMOTION = "默认"
VERSIONS = ["v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4", "v5"]
LANGUAGE_NAMES: Mapping[str, str] = {
    "zh": "中文",
    "all_zh": "中文",
    "en": "英语",
    "ja": "日语",
    "all_ja": "日语",
    "ko": "韩语",
    "all_ko": "韩语",
    "yue": "粤语",
    "all_yue": "粤语",
}


class Shelf:
    """Sound that waits to be fetched; the oldest goes when there is too much.

    Args:
        most_bytes: Of all of it.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._size = 0
        self._held: OrderedDict[str, tuple[bytes, str]] = OrderedDict()

    def put(self, content: bytes, media_type: str, suffix: str) -> str:
        """Keeps some; returns its name, which nobody can guess."""
        name = f"{secrets.token_urlsafe(16)}.{suffix}"
        self._held[name] = (content, media_type)
        self._size += len(content)
        while self._size > self._most and len(self._held) > 1:
            self._size -= len(self._held.popitem(last=False)[1][0])
        return name

    def get(self, name: str) -> tuple[bytes, str]:
        """Content and type.

        Raises:
            NotThereError: It is not there any more, or never was.
        """
        found = self._held.get(name)
        if found is None:
            raise NotThereError("there is no such sound; what was made is kept for a while only")
        return found


def shape(problem: Problem) -> Response:
    """An error as GSVI's clients read it, with a status that says so too."""
    return JSONResponse({"msg": str(problem), "audio_url": ""}, status_code=problem.status)


def routes(floor: Floor) -> list[Route]:
    """The dialect's routes."""
    shelf = Shelf()
    listed = partial(Route, dialect=DIALECT, words="Lists voices and their emotions.", list=True)
    known, named = answering(partial(characters, floor), shape), answering(partial(models, floor), shape)
    made = [
        listed("/character_list", ("GET", "POST"), known),
        listed("/models", ("POST",), named),
        listed("/models/{version}", ("GET",), named),
        Route("/version", ("GET",), answering(version, shape), DIALECT, "Lists versions."),
        Route(
            "/outputs/{name}", ("GET",), answering(partial(output, shelf), shape), DIALECT, "Gives speech."
        ),
    ]
    for path in ("/infer_single", "/infer_classic"):
        handler = answering(partial(infer, floor, shelf), shape)
        made.append(
            Route(path, ("POST",), handler, DIALECT, "Speaks; answers with an address.", fields=api_v2.FIELDS)
        )
    return made


def emotions_of(voice: Voice) -> list[str]:
    """A voice's emotions; one at least, as clients expect."""
    return list(voice.emotions) or [r.name for r in voice.references[:1]] or [DEFAULT_EMOTION]


async def characters(floor: Floor, request: Request) -> Response:
    """Lists voices and their emotions."""
    known = await floor.desk.in_thread(floor.store.voices)
    return JSONResponse({voice.name: emotions_of(voice) for voice in known})


async def version(request: Request) -> Response:
    """Lists versions."""
    return JSONResponse({"support_versions": VERSIONS})


async def models(floor: Floor, request: Request) -> Response:
    """Lists voices, the languages of their recordings, and their emotions."""
    known = await floor.desk.in_thread(floor.store.voices)
    return JSONResponse({"msg": "获取成功", "models": {voice.name: _by_language(voice) for voice in known}})


def _by_language(voice: Voice) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for reference in voice.references:
        language = LANGUAGE_NAMES.get(reference.language or voice.language, "多语种混合")
        found.setdefault(language, []).append(reference.emotion or reference.name)
    return found or {LANGUAGE_NAMES.get(voice.language, "多语种混合"): [DEFAULT_EMOTION]}


async def infer(floor: Floor, shelf: Shelf, request: Request) -> Response:
    """Speaks, keeps the sound for a while, and says where it is."""
    fields, client = await floor.fields(request), client_of(request)
    ask = read_ask(api_v2.read_ask(fields, floor, client))
    answer = await floor.answers.speak(ask, request, client)
    name = shelf.put(bytes(answer.body), answer.media_type or "audio/wav", ask.format)
    address = fields.text("dl_url").rstrip("/") or str(request.base_url).rstrip("/")
    return JSONResponse({"msg": "合成成功", "audio_url": f"{address}/outputs/{name}"})


def read_ask(ask: Ask) -> Ask:
    """The same request, as a whole; an emotion that a voice lacks is its usual one, as GSVI has it."""
    emotion = "" if ask.whom.emotion in (DEFAULT_EMOTION, "default") else ask.whom.emotion
    changed: dict[str, Any] = {"delivery": "whole", "separate": False, "dialect": DIALECT}
    return replace(ask, whom=replace(ask.whom, emotion=emotion, insist=False), **changed)


async def output(shelf: Shelf, request: Request) -> Response:
    """Gives speech that was made."""
    content, media_type = shelf.get(request.path_params["name"])
    return Response(content, media_type=media_type)
