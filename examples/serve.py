"""A voice as a service: sound over HTTP or a WebSocket while the sentence is still being made.

    pip install "sovits-export[cpu,en]" aiohttp
    sovits-export reference my-voice me.wav --lang en --text "What is said in me.wav." -o me.npz
    python serve.py my-voice me.npz                 # then open http://127.0.0.1:8080
    curl "http://127.0.0.1:8080/speak?text=Good+morning.&language=en" | ffplay -

/speak takes `text` and `language`, or `phones`, and maybe `format` (wav, pcm), `speed` and `seed`, in the query or as
JSON. /socket takes the same as JSON messages; each cuts off what is being said, as does {"stop": true}. It sends
{"sample_rate": ...}, sound as binary messages (16 bit, little-endian, mono) and {"done": true}, or {"error": ...}.

aiohttp serves both kinds on one port, waits for slow readers and cancels a handler when its client goes away.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import struct
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import WSMessage, WSMsgType, web

from sovits_runtime import Chunk, ChunkStream, Reference, SpeechOptions, Synthesizer
from sovits_runtime.aio import stream_async
from sovits_runtime.errors import ShapeError, SovitsError, TextError

logger = logging.getLogger(__name__)

N = TypeVar("N", int, float)
LONGEST_TEXT = 2000
LONGEST_SHOWN = 80
"""Characters of what a client sent that an error repeats."""
FIELDS = {"text", "phones", "language", "format", "speed", "seed"}
PAGE = Path(__file__).with_name("serve.html")


class BadRequestError(ValueError):
    """What was asked for makes no sense."""


class BusyError(RuntimeError):
    """Too many are waiting already, or one has waited too long."""


ANSWERED = (BadRequestError, BusyError, SovitsError)
WRONG_USE = (BadRequestError, TextError, ShapeError)


@dataclass(frozen=True)
class Ask:
    """One thing to say."""

    text: str
    phones: tuple[str, ...]
    language: str
    wav: bool
    options: SpeechOptions


def read_ask(fields: Any, options: SpeechOptions) -> Ask:
    """Checks what a client sent; `options` are the service's own.

    Raises:
        BadRequestError: Something is missing, unknown or of the wrong kind.
    """
    if not isinstance(fields, Mapping):
        raise BadRequestError(f"expected a JSON object, got {type(fields).__name__}")
    if unknown := set(fields) - FIELDS:
        names = ", ".join(sorted(unknown))
        raise BadRequestError(f"unknown: {names[:LONGEST_SHOWN]}; known: {', '.join(sorted(FIELDS))}")
    text, phones, language = (_word(fields, name) for name in ("text", "phones", "language"))
    if bool(text) == bool(phones):
        raise BadRequestError("expected either text or phones")
    if len(text) + len(phones) > LONGEST_TEXT:
        raise BadRequestError(f"got {len(text) + len(phones)} characters, expected at most {LONGEST_TEXT}")
    kind = fields.get("format", "wav")
    if kind not in ("wav", "pcm"):
        raise BadRequestError(f"format: got {_shown(kind)}, expected wav or pcm")
    speed = _number(fields, "speed", float(options.speed), least=0.5, most=2)
    seed = _number(fields, "seed", options.seed, least=0, most=2**32 - 1)
    how = replace(options, speed=speed, seed=seed)
    return Ask(text, tuple(phones.split()), language or "auto", kind == "wav", how)


def read_json(message: str | bytes) -> Any:
    """Reads JSON, which is UTF-8 whatever a header says.

    Raises:
        BadRequestError: It is none, or its numbers or its depth are beyond what Python reads.
    """
    try:
        return json.loads(message)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"expected JSON: {error}") from None


def _word(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise BadRequestError(f"{name}: got {_shown(value)}, expected a string")
    return value.strip()


def _number(fields: Mapping[str, Any], name: str, default: N, *, least: float, most: float) -> N:
    """A number of the default's type; a query holds strings."""
    value = fields.get(name, default)
    try:
        number = type(default)(value)
        if isinstance(value, bool) or not (isinstance(value, str) or number == value):
            raise ValueError
        if not least <= number <= most:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise BadRequestError(
            f"{name}: got {_shown(value)}, expected a {name} of {least} to {most}"
        ) from None
    return number


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


class Line:
    """Lets a few speak at once and a few more wait for some seconds; whoever comes then is told so at once."""

    def __init__(self, speaking: int, waiting: int, patience_s: float) -> None:
        self._turns = asyncio.Semaphore(speaking)
        self._most_waiting = waiting
        self._patience_s = patience_s
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for a turn and holds it.

        Raises:
            BusyError: There is none.
        """
        if self._turns.locked() and self._waiting >= self._most_waiting:
            raise BusyError(f"{self._waiting} requests are waiting already; try again later")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience_s):
                await self._turns.acquire()
        except TimeoutError:
            raise BusyError(f"no turn within {self._patience_s:g} s; try again later") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()


class Service:
    """Speaks for clients.

    Args:
        voice: The voice.
        reference: Whom it sounds like.
        options: How to speak where a client does not say.
        speaking: Requests that are spoken at once.
        waiting: Requests that may wait for their turn.
        patience_s: How long each waits, and how long a client may take no sound before it is dropped.
    """

    def __init__(
        self,
        voice: Synthesizer,
        reference: Reference,
        *,
        options: SpeechOptions | None = None,
        speaking: int = 2,
        waiting: int = 8,
        patience_s: float = 20,
    ) -> None:
        self.voice = voice
        self.reference = reference
        self.options = options or SpeechOptions()
        self.line = Line(speaking, waiting, patience_s)
        self.patience_s = patience_s

    def app(self) -> web.Application:
        """The service as an application; run it with `handler_cancellation`, or clients that left are noticed late."""
        app = web.Application(middlewares=[errors_as_json], client_max_size=64 * 1024)
        app.add_routes(
            [
                web.get("/", page),
                web.get("/speak", self.speak),
                web.post("/speak", self.speak),
                web.get("/socket", self.socket),
            ]
        )
        return app

    def start(self, ask: Ask) -> ChunkStream:
        """Starts a stream; the first text of a language loads its front end."""
        if ask.phones:
            return self.voice.stream([ask.phones], self.reference, options=ask.options)
        return self.voice.stream_text(ask.text, self.reference, language=ask.language, options=ask.options)

    @asynccontextmanager
    async def chunks(self, ask: Ask) -> AsyncIterator[AsyncGenerator[Chunk, None]]:
        """Chunks of an answer, once it is its turn. Whoever leaves, for whatever reason, frees turn and state."""
        async with self.line.turn():
            stream = await asyncio.to_thread(self.start, ask)
            async with aclosing(stream_async(stream)) as chunks:
                yield chunks

    async def send(self, write: Callable[[bytes], Awaitable[None]], chunk: Chunk) -> None:
        """Sends sound; waits for a slow reader, within reason."""
        async with asyncio.timeout(self.patience_s):
            await write(chunk.to_pcm16().astype("<i2").tobytes())

    async def speak(self, request: web.Request) -> web.StreamResponse:
        """Answers with a WAV file, or bare samples, whose length is known only at its end."""
        ask = read_ask(await fields_of(request), self.options)
        rate = self.voice.spec.sample_rate
        kind = "audio/wav" if ask.wav else f"audio/L16; rate={rate}; channels=1"
        response = web.StreamResponse(headers={"Content-Type": kind, "X-Sample-Rate": str(rate)})
        async with self.chunks(ask) as chunks:
            first = await anext(chunks)  # most of what can go wrong does so here, in time for another status
            await response.prepare(request)
            try:
                if ask.wav:
                    await response.write(wav_header(rate))
                await self.send(response.write, first)
                async for chunk in chunks:
                    await self.send(response.write, chunk)
            except (SovitsError, TimeoutError) as error:
                logger.warning("answer cut off: %s", error or "the client takes no sound")
                assert request.transport is not None
                request.transport.abort()  # a proper end would make half an answer look whole
        return response

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """Talks with a client for as long as it likes."""
        socket = web.WebSocketResponse(heartbeat=20, max_msg_size=64 * 1024, compress=False)
        await socket.prepare(request)
        speaking: asyncio.Task[None] | None = None
        try:
            async for message in socket:
                await stopped(speaking)
                speaking = asyncio.create_task(self.answer(socket, message))
        finally:
            await stopped(speaking)
        return socket

    async def answer(self, socket: web.WebSocketResponse, message: WSMessage) -> None:
        """Answers one message of a client, whatever it is."""
        with suppress(ConnectionError):  # the client has left
            try:
                await self.say(socket, message)
            except ANSWERED as error:
                await socket.send_json({"error": str(error)})
            except TimeoutError:
                logger.warning("socket closed: the client takes no sound")
                await socket.close()
            except ConnectionError:
                raise
            except Exception:  # a defect; without an answer a client would wait for ever
                logger.exception("no answer")
                await socket.send_json({"error": "the service failed; its log says why"})

    async def say(self, socket: web.WebSocketResponse, message: WSMessage) -> None:
        """Says what one message asks for."""
        if message.type is not WSMsgType.TEXT:
            raise BadRequestError("got a binary message, expected JSON as text")
        fields = read_json(message.data)
        if fields == {"stop": True}:
            return await socket.send_json({"stopped": True})
        async with self.chunks(read_ask(fields, self.options)) as chunks:
            await socket.send_json({"sample_rate": self.voice.spec.sample_rate})
            async for chunk in chunks:
                await self.send(socket.send_bytes, chunk)
        await socket.send_json({"done": True})


async def fields_of(request: web.Request) -> Any:
    """What a client sent, in the query or as JSON."""
    if request.method == "GET":
        return request.query
    try:
        body = await request.read()
    except web.RequestPayloadError as error:  # not compressed as its header says, or cut off
        raise BadRequestError(f"the body cannot be read: {error}") from None
    return read_json(body)


async def stopped(task: asyncio.Task[None] | None) -> None:
    """Stops a task and waits until it is over."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task])


async def page(_request: web.Request) -> web.FileResponse:
    """A page to try it."""
    return web.FileResponse(PAGE)


@web.middleware
async def errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Says in JSON what was wrong."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return web.json_response({"error": error.reason}, status=error.status)
    except ConnectionError:  # the client has left, so nobody reads this
        return web.Response(status=503)
    except ANSWERED as error:
        status = 400 if isinstance(error, WRONG_USE) else 503 if isinstance(error, BusyError) else 500
        headers = {"Retry-After": "1"} if status == 503 else {}
        return web.json_response({"error": str(error)}, status=status, headers=headers)


def wav_header(sample_rate: int) -> bytes:
    """Head of a mono 16-bit WAV file without a known length: players read on to the end."""
    unknown = 0xFFFFFFFF
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", unknown, b"WAVE") + form + struct.pack("<4sI", b"data", unknown)


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line and serves until it is stopped."""
    parser = argparse.ArgumentParser(description="Serve a voice over HTTP and WebSocket.")
    parser.add_argument("voice", type=Path, help="folder of a bundle")
    parser.add_argument("reference", type=Path, help=".npz that 'sovits-export reference' wrote")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_within(int, 0, 65535), default=8080)
    parser.add_argument("--speaking", type=_within(int, 1, 1000), default=2, help="requests spoken at once")
    parser.add_argument(
        "--waiting", type=_within(int, 0, 10**6), default=8, help="requests that may wait for their turn"
    )
    parser.add_argument(
        "--max-seconds", type=_within(float, 0.1, 3600), help="cut each sentence at this length"
    )
    args = parser.parse_args(arguments)
    try:
        with Synthesizer.load(args.voice) as voice:
            limit = round(args.max_seconds * voice.spec.token_rate_hz) if args.max_seconds else None
            service = Service(
                voice,
                Reference.load(args.reference),
                options=SpeechOptions(max_tokens=limit),
                speaking=args.speaking,
                waiting=args.waiting,
            )
            web.run_app(service.app(), host=args.host, port=args.port, handler_cancellation=True)
    except (SovitsError, OSError) as error:  # an address that is taken, for example
        sys.exit(str(error))


def _within(kind: type[N], least: N, most: N) -> Callable[[str], N]:
    def number(text: str) -> N:
        with suppress(ValueError):
            if least <= (value := kind(text)) <= most:
                return value
        raise argparse.ArgumentTypeError(f"got {text!r}, expected {least} to {most}")

    return number


if __name__ == "__main__":
    main()
