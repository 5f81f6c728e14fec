"""GSVI, in both of its forms: lists of characters and emotions, and speech that is fetched by an address."""

from __future__ import annotations

import io
import re
import secrets
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sovits_server.core.ask import Ask, Fields
from sovits_server.core.choices import Choice
from sovits_server.core.floor import Floor, Route, answering, client_of
from sovits_server.core.weights import SUFFIXES, name_of_source
from sovits_server.dialects import api_v2
from sovits_server.problems import BadRequestError, NotThereError, Problem
from sovits_server.voices import Voice

DIALECT = "gsvi"
MOST_BYTES = 64 << 20
MOST_LINES = 100
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
    speaks = {"/infer_single": infer, "/infer_classic": infer_classic, "/infer_multi": infer_multi}
    for path, handle in speaks.items():
        handler = answering(partial(handle, floor, shelf), shape)
        made.append(
            Route(path, ("POST",), handler, DIALECT, "Speaks; answers with an address.", fields=api_v2.FIELDS)
        )
    by_file = answering(partial(classic_models, floor), shape)
    return [*made, listed("/classic_model_list/{version}", ("GET",), by_file)]


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
    return await _kept(floor, shelf, request, fields=fields, ask=ask)


async def infer_classic(floor: Floor, shelf: Shelf, request: Request) -> Response:
    """The same by the names of weights, which select nothing for later requests."""
    fields, client = await floor.fields(request), client_of(request)
    gpt, sovits = (file_of(fields.text(f"{kind}_model_name"), suffix) for kind, suffix in SUFFIXES.items())
    ask = read_ask(api_v2.read_ask(fields, floor, client))
    if gpt or sovits:
        chosen = await api_v2.find_voice(floor, Choice(), gpt=gpt, sovits=sovits)
        if chosen.note:
            raise NotThereError(chosen.note)
        ask = replace(ask, whom=replace(ask.whom, voice=chosen.choice.voice, strict=True))
    return await _kept(floor, shelf, request, fields=fields, ask=ask)


def file_of(name: str, suffix: str) -> str:
    """The file that GSVI's list of weights means by a name: it marks where one lies, and leaves out the suffix."""
    bare = re.sub(r"^【.*?】", "", name.strip())
    return bare if not bare or bare.lower().endswith(suffix) else bare + suffix


async def _kept(floor: Floor, shelf: Shelf, request: Request, *, fields: Fields, ask: Ask) -> Response:
    answer = await floor.answers.speak(ask, request, client_of(request))
    name = shelf.put(bytes(answer.body), answer.media_type or "audio/wav", ask.format)
    return JSONResponse({"msg": "合成成功", "audio_url": address_of(request, fields, name)})


def address_of(request: Request, fields: Fields, name: str) -> str:
    """Where a client finds what is kept."""
    base = fields.text("dl_url").rstrip("/") or str(request.base_url).rstrip("/")
    return f"{base}/outputs/{name}"


async def infer_multi(floor: Floor, shelf: Shelf, request: Request) -> Response:
    """Speaks a conversation; keeps an archive of its sounds and words for a while, and says where it is."""
    fields = await floor.fields(request)
    asks = [line.ask(fields, floor, client_of(request)) for line in read_lines(fields.text("content"))]
    files: list[tuple[str, bytes]] = []
    for number, ask in enumerate(asks, 1):
        answer = await floor.answers.speak(ask, request, client_of(request))
        called = f"{number:03}_{ask.whom.voice}"
        files += [(f"{called}.{ask.format}", bytes(answer.body)), (f"{called}.txt", ask.text.encode())]
    packed = await floor.desk.encode(partial(archive, files))
    name = shelf.put(packed, "application/zip", "zip")
    return JSONResponse({"msg": "合成成功", "archive_url": address_of(request, fields, name)})


@dataclass(frozen=True)
class Line:
    """What somebody says in a conversation.

    Attributes:
        voice: Who.
        language: Of the text.
        emotion: How.
        speed: How fast.
        text: What.
    """

    voice: str
    language: str
    emotion: str
    speed: str
    text: str

    def ask(self, fields: Fields, floor: Floor, client: str) -> Ask:
        """The line as a request of its own, with what holds for all of them."""
        own = {"model_name": self.voice, "text_lang": self.language, "emotion": self.emotion}
        more = {"speed_facter": self.speed, "text": self.text}
        return read_ask(api_v2.read_ask(Fields({**fields.all(), **own, **more}), floor, client))


def read_lines(content: str) -> list[Line]:
    """The lines of a conversation, with ‖ between: `version|voice|language|that of the recording|emotion|speed|text`.

    Raises:
        BadRequestError: One is not so, or there are none, or too many.
    """
    lines = []
    for number, part in enumerate(filter(str.strip, content.split("‖")), 1):
        words = [word.strip() for word in part.split("|", 6)]
        if len(words) != 7 or not words[1] or not words[6]:
            raise BadRequestError(
                f"content: line {number} is {part.strip()[:60]!r}, expected "
                "version|voice|language|that of the recording|emotion|speed|text",
                param="content",
            )
        lines.append(Line(words[1], words[2], words[4], words[5], words[6].replace("#", "")))
    if not 0 < len(lines) <= MOST_LINES:
        raise BadRequestError(f"content: got {len(lines)} lines, expected 1 to {MOST_LINES}", param="content")
    return lines


def archive(files: Sequence[tuple[str, bytes]]) -> bytes:
    """A ZIP of files; sound is not made smaller by it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in files:
            file.writestr(name, content)
    return packed.getvalue()


async def classic_models(floor: Floor, request: Request) -> Response:
    """Lists the weights that voices were made of, as `infer_classic` takes them."""
    known = await floor.desk.in_thread(floor.store.voices)
    names = {kind: [name_of_source(voice, kind) for voice in known] for kind in SUFFIXES}
    listed = {kind: sorted(set(filter(None, found))) for kind, found in names.items()}
    return JSONResponse({"msg": "获取模型列表成功", **listed})


def read_ask(ask: Ask) -> Ask:
    """The same request, as a whole; an emotion that a voice lacks is its usual one, as GSVI has it."""
    emotion = "" if ask.whom.emotion in (DEFAULT_EMOTION, "default") else ask.whom.emotion
    changed: dict[str, Any] = {"delivery": "whole", "separate": False, "dialect": DIALECT}
    return replace(ask, whom=replace(ask.whom, emotion=emotion, insist=False), **changed)


async def output(shelf: Shelf, request: Request) -> Response:
    """Gives speech that was made."""
    content, media_type = shelf.get(request.path_params["name"])
    return Response(content, media_type=media_type)
