"""OpenAI's speech, its lists and its errors, with and without /v1; and what servers beside it have added."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sovits_runtime.errors import SovitsError
from sovits_server.core.answer import SoundResponse, sound_headers
from sovits_server.core.ask import Ask, Fields, Whom, language_of
from sovits_server.core.asked import read_body, read_form
from sovits_server.core.casting import OPENAI_VOICES
from sovits_server.core.connection import while_there
from sovits_server.core.floor import Floor, Handler, Route, answering, client_of
from sovits_server.core.utterance import Utterance, joined
from sovits_server.problems import BadRequestError, ForbiddenError, Problem
from sovits_server.security.words import problem_of
from sovits_server.sound import FORMATS, Encoder, can_write
from sovits_server.voices import Voice

MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-sovits")
SLOWEST, FASTEST = 0.25, 4.0
DIALECT = "openai"
FIELDS: Mapping[str, Any] = {
    "input": {"type": "string", "description": "What is said; may hold [pause 500ms] or be SSML."},
    "model": {"type": "string", "description": "Any of /v1/models; all are the same."},
    "voice": {
        "description": "Name of a voice, or an object with its id. OpenAI's names are the default voice."
    },
    "response_format": {"enum": sorted(FORMATS), "default": "mp3"},
    "speed": {"type": "number", "minimum": SLOWEST, "maximum": FASTEST, "default": 1},
    "stream_format": {"enum": ["audio", "sse"], "default": "audio"},
    "instructions": {
        "type": "string",
        "description": "The name of an emotion of the voice; else it says nothing.",
    },
    "language": {"type": "string", "description": "Of the input, where it shall not be found out."},
    "emotion": {"type": "string", "description": "One of the voice's references."},
    "seed": {"type": "integer", "description": "Same seed, same speech; -1: another each time."},
    "timestamps": {"enum": [False, True, "json", "srt"], "description": "Where each sentence is."},
}


def shape(problem: Problem) -> Response:
    """An error as OpenAI writes it."""
    return JSONResponse({"error": body_of(problem)}, status_code=problem.status)


def body_of(problem: Problem) -> dict[str, Any]:
    """What is inside such an error."""
    return {"message": str(problem), "type": problem.kind, "param": problem.param, "code": problem.status}


def routes(floor: Floor) -> list[Route]:
    """The dialect's routes."""
    made: list[Route] = []

    def add(paths: tuple[str, ...], method: str, handler: Handler, words: str, **more: Any) -> None:
        made.extend(
            Route(path, (method,), answering(handler, shape), DIALECT, words, **more)
            for path in (*(f"/v1{p}" for p in paths), *paths)
        )

    add(("/audio/speech",), "POST", partial(speech, floor), "Speaks a text.", fields=FIELDS)
    add(("/models", "/audio/models"), "GET", models, "Lists models.", list=True)
    add(("/audio/voices",), "GET", partial(voices, floor), "Lists voices.", list=True)
    add(("/audio/voices",), "POST", partial(upload, floor), "Adds a voice by its recording.")
    add(("/audio/voices/{name}",), "DELETE", partial(remove, floor), "Removes a voice that was added.")
    made.append(
        Route(
            "/v1/models/{model}", ("GET",), answering(model, shape), DIALECT, "Tells of a model.", list=True
        )
    )
    captioned = answering(partial(speech, floor, captioned=True), shape)
    made.append(
        Route(
            "/dev/captioned_speech", ("POST",), captioned, DIALECT, "Speaks, and says where each sentence is."
        )
    )
    return made


def read_ask(fields: Fields) -> Ask:
    """What a client asks for.

    FLAC is sent as a whole unless a stream is asked for: libsndfile reads none whose length is not at its beginning.

    Raises:
        BadRequestError: It makes no sense.
    """
    fields = with_others(fields)
    text = fields.raw("input", "text")
    if not isinstance(text, str):
        raise BadRequestError("input: expected the text to say", param="input")
    speed = fields.number("speed", default=1.0) or 0.0
    if not SLOWEST <= speed <= FASTEST:
        raise BadRequestError(f"speed: got {speed:g}, expected {SLOWEST} to {FASTEST:g}", param="speed")
    options = {
        "speed": speed,
        "seed": fields.whole("seed"),
        "top_k": fields.whole("top_k"),
        "top_p": fields.number("top_p"),
        "temperature": fields.number("temperature"),
        "repetition_penalty": fields.number("repetition_penalty"),
        "flow_steps": fields.whole("flow_steps", "sample_steps"),
        "guidance": fields.number("guidance", "cfg_rate"),
    }
    format = fields.text("response_format", "responseformat", default="mp3").lower()
    return Ask(
        dialect=DIALECT,
        text=text,
        whom=Whom(
            voice=voice_name(fields.raw("voice", "voiceid")),
            emotion=fields.text("emotion", "instructions"),
            insist="emotion" in fields,
        ),
        language=language_of(fields.text("language", "lang_code", "text_lang"), "language"),
        options=options,
        delivery="whole" if _is_whole(fields, format) else "chunks",
        format=format,
    )


def with_others(fields: Fields) -> Fields:
    """The same with what GSVI's clients put into an object of its own."""
    others = fields.raw("other_params")
    return Fields({**others, **fields.all()}) if isinstance(others, Mapping) else fields


def _is_whole(fields: Fields, format: str) -> bool:
    """Whether the sound is sent in one piece at the end: where it is asked for so, and FLAC that nobody streams."""
    if "stream_format" in fields:
        return False
    return format == "flac" or not fields.flag("stream", default=True)


def voice_name(voice: object) -> str:
    """A voice as clients name it: a word, or an object with its id.

    Raises:
        BadRequestError: It is something else.
    """
    if isinstance(voice, Mapping):
        voice = voice.get("id", voice.get("name"))
    if voice is None:
        return ""
    if not isinstance(voice, str):
        raise BadRequestError("voice: expected a name, or an object with an id", param="voice")
    return voice


async def speech(floor: Floor, request: Request, *, captioned: bool = False) -> Response:
    """Speaks."""
    fields = await floor.fields(request)
    ask, client = read_ask(fields), client_of(request)
    stamps = "json" if captioned else str(fields.raw("timestamps") or "").lower()
    stream = fields.text("stream_format", default="audio").lower()
    if stream not in ("audio", "sse"):
        raise BadRequestError(
            f"stream_format: got {stream[:40]!r}, expected audio or sse", param="stream_format"
        )
    if stamps in ("json", "srt"):
        return await _with_times(floor, ask, request, client, srt=stamps == "srt")
    if stream == "audio":
        return await floor.answers.speak(ask, request, client)
    utterance = await while_there(request.receive, floor.desk.begin(ask, client))
    try:
        encoder = Encoder(ask.format, sample_rate=utterance.sample_rate)
    except SovitsError:
        utterance.close()
        raise
    return SoundResponse(
        _events(floor, ask, utterance, encoder=encoder, stamps=stamps in ("true", "1")),
        utterance.close,
        media_type="text/event-stream",
        headers=sound_headers(utterance, encoder),
        stall_s=floor.config.stall_s,
        ended=floor.answers.ended,
    )


async def _events(
    floor: Floor, ask: Ask, utterance: Utterance, *, encoder: Encoder, stamps: bool
) -> AsyncIterator[bytes]:
    """Sound as server-sent events; an error amid it is an event too."""
    told = 0
    try:
        async for piece in utterance:
            data = await floor.desk.encode(partial(encoder.feed, piece.samples))
            if data:
                yield _event("speech.audio.delta", audio=base64.b64encode(data).decode())
            if stamps:
                for spoken in utterance.timeline.sentences[told:]:
                    yield _event("speech.audio.sentence", **spoken.to_json())
                told = len(utterance.timeline.sentences)
        data = await floor.desk.encode(encoder.finish)
        if data:
            yield _event("speech.audio.delta", audio=base64.b64encode(data).decode())
    except SovitsError as error:
        yield _event("speech.audio.error", error=body_of(problem_of(error)))
        return
    said, made = len(ask.text), utterance.tokens
    usage = {"input_tokens": said, "output_tokens": made, "total_tokens": said + made}
    yield _event("speech.audio.done", usage=usage)


def _event(kind: str, **fields: Any) -> bytes:
    return f"data: {json.dumps({'type': kind, **fields}, ensure_ascii=False)}\n\n".encode()


async def _with_times(floor: Floor, ask: Ask, request: Request, client: str, *, srt: bool) -> Response:
    """The whole sound, and where each sentence is in it; or that alone, as subtitles."""

    async def work() -> tuple[bytes, Utterance, Encoder]:
        utterance = await floor.desk.begin(ask, client)
        try:
            encoder = Encoder(ask.format, sample_rate=utterance.sample_rate)
            pieces = [piece.samples async for piece in utterance]
            return await floor.desk.encode(lambda: encoder.whole(joined(pieces))), utterance, encoder
        finally:
            utterance.close()

    content, utterance, encoder = await while_there(request.receive, work())
    floor.answers.ended("good")
    if srt:
        return Response(utterance.timeline.to_srt(), media_type="application/x-subrip; charset=utf-8")
    return JSONResponse(
        {
            "audio": base64.b64encode(content).decode(),
            "audio_format": encoder.media_type,
            "sample_rate": encoder.rate,
            **utterance.timeline.to_json(),
            "srt": utterance.timeline.to_srt(),
        }
    )


async def model(request: Request) -> Response:
    """Tells of a model; any name is one, as all are the same."""
    return JSONResponse(_model(request.path_params["model"][:80]))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "sovits-export"}


async def models(request: Request) -> Response:
    """Lists models: as OpenAI does, and as Open WebUI reads it."""
    listed = [_model(name) for name in MODELS]
    return JSONResponse(
        {"object": "list", "data": listed, "models": [{"id": name, "name": name} for name in MODELS]}
    )


async def voices(floor: Floor, request: Request) -> Response:
    """Lists voices in the shapes that clients read."""
    known = await floor.desk.in_thread(floor.store.voices)
    listed = [{"id": voice.name, "name": voice.name} for voice in known]
    data = [_described(voice) for voice in known]
    uploaded = [{"name": v.name, **_transcript(v)} for v in known if v.profile is not None]
    formats = [name for name in FORMATS if can_write(name)]
    return JSONResponse(
        {"object": "list", "data": data, "voices": listed, "uploaded_voices": uploaded, "formats": formats,
         "aliases": list(OPENAI_VOICES)}
    )  # fmt: skip


def _described(voice: Voice) -> dict[str, Any]:
    references = [{"name": r.name, "emotion": r.emotion, "language": r.language} for r in voice.references]
    return {"id": voice.name, "name": voice.name, "object": "voice", "language": voice.language or "auto",
            "emotions": list(voice.emotions), "references": references}  # fmt: skip


def _transcript(voice: Voice) -> dict[str, Any]:
    return {"ref_text": voice.references[0].text} if voice.references and voice.references[0].text else {}


async def upload(floor: Floor, request: Request) -> Response:
    """Adds a voice: a recording, whose best 3 to 10 s are kept, and a bundle that is there."""
    _allowed(floor)
    form = await read_form(request, await read_body(request, (floor.config.max_upload_mb << 20) + (64 << 10)))
    words = Fields({name: value for name, value in form.items() if isinstance(value, str)})
    sample = next(
        (form[n] for n in ("audio_sample", "file", "audio") if not isinstance(form.get(n), str | None)), None
    )
    if sample is None or isinstance(sample, str):
        raise BadRequestError("audio_sample: expected an audio file", param="audio_sample")
    content = await sample.read(floor.config.max_upload_mb << 20)
    name = words.text("name", "voice")
    if not name.strip():
        raise BadRequestError("name: expected a name for the voice", param="name")
    add = partial(_add, floor, words, name, content=content, file_name=sample.filename or "recording")
    said, voice = await floor.desk.in_thread(add, heavy=True)
    made = {
        "name": voice.name,
        "mime_type": sample.content_type,
        "file_size": len(content),
        "created_at": int(time.time()),
    }
    return JSONResponse(
        {"success": True, "voice": {"id": voice.name, **made, **_transcript(voice)}, "said": said}
    )


def _add(floor: Floor, words: Fields, name: str, *, content: bytes, file_name: str) -> tuple[str, Voice]:
    there = floor.desk.casting.find(name)
    if there is None:
        base = floor.desk.casting.voice_of(Whom(voice=words.text("base"), strict=True))
        floor.store.add(
            Voice(name=name, bundle=base.bundle, language=language_of(words.text("language"), "language"))
        )
    try:
        added = floor.store.add_reference(
            name,
            content,
            text=words.text("ref_text", "text", "prompt_text"),
            language=language_of(words.text("ref_language", "language", "prompt_lang"), "language"),
            emotion=words.text("emotion"),
            file_name=file_name[:80],
        )
    except BaseException:
        if there is None:
            floor.store.remove(name)
        raise
    return added.said, added.voice


async def remove(floor: Floor, request: Request) -> Response:
    """Removes a voice that was added."""
    _allowed(floor)
    name = request.path_params["name"]
    await floor.desk.in_thread(lambda: floor.store.remove(name))
    return JSONResponse({"success": True, "message": f"voice {name!r} is removed"})


def _allowed(floor: Floor) -> None:
    if not floor.config.allow_upload:
        raise ForbiddenError(
            "voices cannot be added or removed here (the operator can allow it: --allow-upload)"
        )
