"""The official `api_v2.py`: /tts with all its fields, switching weights and references, /control."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sovits_runtime.text.split import STREAM
from sovits_server.core.ask import SMALL_CHUNKS, Ask, Delivery, Fields, Whom, language_of
from sovits_server.core.choices import Choice
from sovits_server.core.floor import Floor, Route, answering, client_of
from sovits_server.core.weights import Wanted
from sovits_server.problems import BadRequestError, ForbiddenError, Problem

DIALECT = "api_v2"
VOICE = ("voice", "speaker", "spk", "cha_name", "character", "target_voice", "card_name", "model_name")
"""Fields in which clients of servers beside it name a voice; the original has one at a time."""
CUTS: Mapping[str, str] = {
    **{f"cut{n}": f"cut{n}" for n in range(6)},
    "不切": "cut0",
    "凑四句一切": "cut1",
    "凑50字一切": "cut2",
    "按中文句号。切": "cut3",
    "按英文句号.切": "cut4",
    "按标点符号切": "cut5",
    "auto_cut": STREAM,
    STREAM: STREAM,
}
MEDIA = ("wav", "raw", "ogg", "aac", "mp3", "flac", "opus", "pcm")
FIELDS: Mapping[str, Any] = {
    "text": {"type": "string"},
    "text_lang": {"type": "string", "description": "Without it the language is found out."},
    "ref_audio_path": {
        "type": "string",
        "description": "A recording, or the name of a voice; else the voice's own.",
    },
    "aux_ref_audio_paths": {"type": "array", "items": {"type": "string"}},
    "prompt_lang": {"type": "string"},
    "prompt_text": {"type": "string"},
    "voice": {"type": "string", "description": "Name of a voice; not of the original."},
    "top_k": {"type": "integer", "default": 15},
    "top_p": {"type": "number", "default": 1},
    "temperature": {"type": "number", "default": 1},
    "text_split_method": {"enum": [f"cut{n}" for n in range(6)]},
    "speed_factor": {"type": "number", "default": 1},
    "fragment_interval": {"type": "number", "default": 0.3},
    "seed": {"type": "integer", "default": -1},
    "media_type": {"enum": MEDIA, "default": "wav"},
    "streaming_mode": {"enum": [0, 1, 2, 3, False, True], "default": 0},
    "repetition_penalty": {"type": "number", "default": 1.35},
    "sample_steps": {"type": "integer"},
    "cfg_rate": {"type": "number"},
    "super_sampling": {"type": "boolean", "description": "Not done; the header X-Ignored says so."},
}


def shape(problem: Problem) -> Response:
    """An error as the original writes it; its own kinds of failure are told apart by what else is in it."""
    status = 400 if problem.status in (404, 413) else problem.status
    if problem.status >= 500:
        return JSONResponse({"message": "tts failed", "Exception": str(problem)}, status_code=status)
    return JSONResponse({"message": str(problem)}, status_code=status)


def routes(floor: Floor) -> list[Route]:
    """The dialect's routes."""
    both = ("GET", "POST")
    switches = {
        "/set_gpt_weights": ("gpt", "change gpt weight failed"),
        "/set_sovits_weights": ("sovits", "change sovits weight failed"),
    }
    made = [
        Route("/tts", both, answering(partial(tts, floor), shape), DIALECT, "Speaks a text.", fields=FIELDS)
    ]
    for path, (kind, failed) in switches.items():
        handler = answering(partial(set_weights, floor, kind), partial(_switch_shape, failed))
        made.append(Route(path, both, handler, DIALECT, "Selects the voice that was made of these weights."))
    refer = answering(partial(set_refer_audio, floor), partial(_switch_shape, "set refer audio failed"))
    made.append(
        Route("/set_refer_audio", both, refer, DIALECT, "Selects a reference for requests without one.")
    )
    made.append(
        Route("/control", both, answering(partial(control, floor), shape), DIALECT, "Ends the server.")
    )
    return made


def _switch_shape(failed: str, problem: Problem) -> Response:
    status = 400 if problem.status in (404, 413) else problem.status
    if isinstance(problem, BadRequestError) and problem.param is None:
        return JSONResponse({"message": str(problem)}, status_code=status)
    return JSONResponse({"message": failed, "Exception": str(problem)}, status_code=status)


async def tts(floor: Floor, request: Request) -> Response:
    """Speaks."""
    client = client_of(request)
    ask = read_ask(await floor.fields(request), floor, client)
    return await floor.answers.speak(ask, request, client)


def read_ask(fields: Fields, floor: Floor, client: str, *, media: str = "wav") -> Ask:
    """What a client asks for.

    Args:
        fields: What it sent.
        floor: Where it asks.
        client: Who it is.
        media: The format where it names none.

    Raises:
        BadRequestError: It makes no sense.
    """
    if "text" not in fields:
        raise BadRequestError("text is required", param="text")
    delivery, chunks = _delivery(fields)
    format = _media(fields, media)
    interval = fields.number("fragment_interval", default=0.3)
    if interval is None or not 0 <= interval <= 20:
        raise BadRequestError(
            f"fragment_interval: got {interval}, expected 0 to 20 s", param="fragment_interval"
        )
    return Ask(
        dialect=DIALECT,
        text=fields.text("text"),
        whom=floor.choices.whom(client, _whom(fields)),
        language=language_of(fields.text("text_lang", "text_language", "lang"), "text_lang"),
        cut=_cut(fields),
        options=_options(fields),
        delivery=delivery,
        pause_s=interval,
        tail=True,
        format=format,
        separate=format == "ogg" and delivery != "whole",
        **chunks,
    )


def _whom(fields: Fields) -> Whom:
    return Whom(
        voice=fields.text(*VOICE),
        strict=fields.raw(*VOICE) is not None,
        emotion=fields.text("emotion"),
        path=fields.text("ref_audio_path", "refer_wav_path"),
        words=fields.text("prompt_text"),
        language=language_of(fields.text("prompt_lang", "prompt_language"), "prompt_lang"),
        more=more_paths(fields),
    )


def more_paths(fields: Fields) -> tuple[str, ...]:
    """Further recordings: a list, or a list in a string, as queries have it."""
    paths = fields.texts("aux_ref_audio_paths", "inp_refs")
    if len(paths) == 1 and paths[0].lstrip().startswith("["):
        try:
            listed = json.loads(paths[0])
        except (ValueError, RecursionError):
            return paths
        return tuple(str(item) for item in listed if item) if isinstance(listed, list) else paths
    return paths


def _options(fields: Fields) -> dict[str, Any]:
    return {
        "top_k": fields.whole("top_k"),
        "top_p": fields.number("top_p"),
        "temperature": fields.number("temperature"),
        "repetition_penalty": fields.number("repetition_penalty"),
        "seed": fields.whole("seed", default=-1),
        "speed": fields.number("speed_factor", "speed_facter", "speed"),
        "flow_steps": fields.whole("sample_steps"),
        "guidance": fields.number("cfg_rate"),
        "super_sampling": fields.flag("super_sampling", "if_sr"),
    }


def _cut(fields: Fields) -> str:
    asked = fields.text("text_split_method", default=STREAM)
    cut = CUTS.get(asked.strip().lower(), "")
    if not cut:
        raise BadRequestError(f"text_split_method:{asked[:40]} is not supported", param="text_split_method")
    return cut


def _media(fields: Fields, default: str) -> str:
    asked = fields.text("media_type", "format", default=default).strip().lower()
    format = default if asked == "auto" else asked
    if format not in MEDIA:
        raise BadRequestError(f"media_type: {asked[:40]} is not supported", param="media_type")
    return format


def _delivery(fields: Fields) -> tuple[Delivery, dict[str, Any]]:
    """The original's ways to stream: by sentence, by chunk, by chunk as soon as can be."""
    raw = fields.raw("streaming_mode", "stream")
    word = str(raw).strip().lower()
    if raw is not None and word in ("2", "2.0"):
        return "chunks", {}
    if raw is not None and word in ("3", "3.0"):
        return "chunks", {"chunks": SMALL_CHUNKS}
    try:
        streamed = fields.flag("streaming_mode", "stream")
    except BadRequestError:
        raise BadRequestError(
            "the value of streaming_mode must be 0, 1, 2, 3(int) or true/false(bool)", param="streaming_mode"
        ) from None
    return ("sentences" if streamed else "whole"), {}


async def set_weights(floor: Floor, kind: str, request: Request) -> Response:
    """Selects the voice that was made of a checkpoint."""
    fields, client = await floor.fields(request), client_of(request)
    path = fields.text("weights_path")
    if not path:
        raise BadRequestError(f"{kind} weight path is required")
    voice, note = await choose_weights(floor, client, **{kind: path})
    return JSONResponse({"message": "success", "voice": voice, **({"note": note} if note else {})})


async def choose_weights(floor: Floor, client: str, *, gpt: str = "", sovits: str = "") -> tuple[str, str]:
    """Selects the voice of weights that a client names, one file or both; builds it where that is allowed.

    Returns:
        The voice that it hears now, and what it should know.

    Raises:
        Problem: No voice was made of them, and none can be built.
    """
    now = floor.choices.of(client)
    wanted = await find_voice(floor, now, gpt=gpt, sovits=sovits)
    chosen = wanted.choice
    floor.choices.change(client, voice=chosen.voice, gpt=chosen.gpt, sovits=chosen.sovits)
    return chosen.voice or floor.desk.casting.default().name, wanted.note


async def find_voice(floor: Floor, now: Choice, *, gpt: str, sovits: str) -> Wanted:
    """The voice of weights, which is there when this returns; see `Weights.wanted`.

    Raises:
        Problem: No voice was made of them, and none can be built.
    """

    def look() -> Wanted:
        speaking = floor.desk.casting.voice_of(Whom(voice=now.voice))
        return floor.weights.wanted(now, speaking, gpt=gpt, sovits=sovits)

    wanted = await floor.desk.in_thread(look)
    await floor.weights.make(wanted)
    return wanted


async def set_refer_audio(floor: Floor, request: Request) -> Response:
    """Selects a reference for requests that name none."""
    fields, client = await floor.fields(request), client_of(request)
    path = fields.text("refer_audio_path")
    if not path:
        raise BadRequestError("refer_audio_path is required", param="refer_audio_path")
    await floor.desk.in_thread(lambda: check_path(floor, path))
    floor.choices.change(client, path=path)
    return JSONResponse({"message": "success"})


def check_path(floor: Floor, path: str) -> None:
    """Looks whether a recording is there.

    Raises:
        Problem: It is not.
    """
    whom = Whom(path=path)
    if floor.desk.casting.own_key(floor.desk.casting.voice_of(whom), whom) is None:
        floor.desk.casting.check_recording(path)


async def control(floor: Floor, request: Request) -> Response:
    """Ends the server, or starts it anew, where the operator allows it."""
    command = (await floor.fields(request)).text("command")
    if not command:
        raise BadRequestError("command is required", param="command")
    if command not in ("restart", "exit"):
        raise BadRequestError(f"command: got {command[:40]!r}, expected restart or exit", param="command")
    if not floor.config.allow_control:
        raise ForbiddenError("clients may not end this server (the operator can allow it: --allow-control)")
    floor.stop(command == "restart")
    return Response(status_code=200)
