"""Text in as it is written, sound out as it is made: the WebSocket protocol of vllm-omni, at /v1/audio/speech/stream.

A client sends `session.config` (what it would send as JSON to /v1/audio/speech, without input), then `input.text` as
often as it likes, `input.done` at the end of what is to be said, and so on; `session.close` or closing ends it. Each
sentence is spoken once it is whole. Text that comes while earlier text is spoken, after its `input.done`, cuts it off;
so does `input.cancel`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from sovits_runtime.errors import SovitsError, printable
from sovits_runtime.text.sentences import SentenceCutter
from sovits_server.core.ask import Ask, Fields
from sovits_server.core.asked import read_json
from sovits_server.core.connection import abort, stopped, within
from sovits_server.core.floor import Floor, client_of
from sovits_server.core.utterance import joined
from sovits_server.dialects import openai
from sovits_server.problems import BadRequestError
from sovits_server.security.words import DEFECT, problem_of
from sovits_server.sound import Encoder

logger = logging.getLogger(__name__)

PATHS = ("/v1/audio/speech/stream", "/audio/speech/stream")
DIALECT = "websocket"
KINDS = ("session.config", "input.text", "input.done", "input.cancel", "session.close")
IDLE_S = 600.0
_END = object()


@dataclass(frozen=True)
class Session:
    """How a client wants to be spoken to.

    Attributes:
        ask: All but the text.
        pieces: Whether a sentence is sent in pieces, and not as one message.
    """

    ask: Ask
    pieces: bool

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Session:
        """Reads `session.config`.

        Raises:
            BadRequestError: It makes no sense.
        """
        given = Fields(fields)
        pieces = given.flag("stream_audio")
        ask = openai.read_ask(Fields({**fields, "input": "-"}))
        format = ask.format if "response_format" in given else "pcm" if pieces else "wav"
        return cls(
            replace(ask, dialect=DIALECT, format=format, delivery="chunks" if pieces else "whole"), pieces
        )


class Talk:
    """One connection.

    Args:
        floor: Where it asks.
        socket: Accepted.
    """

    def __init__(self, floor: Floor, socket: WebSocket) -> None:
        self._floor = floor
        self._socket = socket
        self._client = client_of(socket)
        self._session = Session.read({})
        self._utterance = -1
        self._feed: asyncio.Queue[object] | None = None
        self._cutter = SentenceCutter()
        self._size = self._count = 0
        self._speaking: asyncio.Task[None] | None = None

    async def hold(self) -> None:
        """Talks until the client has enough.

        Raises:
            WebSocketDisconnect: The client has left.
            TimeoutError: It takes nothing, or says nothing for long.
        """
        try:
            while True:
                message = await within(IDLE_S, self._socket.receive())
                if message["type"] == "websocket.disconnect":
                    return
                try:
                    if await self._take(message):
                        return
                except SovitsError as error:
                    await self._send(type="error", message=str(problem_of(error)))
        finally:
            await self._cut(tell=False)

    async def _take(self, message: Mapping[str, Any]) -> bool:
        """Does what a message asks for; returns whether it was the last.

        Raises:
            BadRequestError: It makes no sense.
        """
        if message.get("text") is None:
            raise BadRequestError("got a binary message, expected JSON as text")
        fields = read_json(message["text"])
        kind = fields.get("type")
        if kind == "session.config":
            if self._feed is not None:
                raise BadRequestError("session.config: text is waiting to be said; send input.done first")
            self._session = Session.read({k: v for k, v in fields.items() if k != "type"})
            self._floor.desk.check(replace(self._session.ask, text="a"))
        elif kind == "input.text":
            await self._text(fields.get("text"))
        elif kind == "input.done":
            if self._feed is None:
                await self._begin()
            assert self._feed is not None
            for sentence in self._cutter.close():
                self._feed.put_nowait(sentence.text)
            self._feed.put_nowait(_END)
            self._feed = None
        elif kind == "input.cancel":
            await self._cut()
        elif kind == "session.close":
            return True
        else:
            raise BadRequestError(f"type: got {str(kind)[:40]!r}, expected one of {', '.join(KINDS)}")
        return False

    async def _text(self, text: object) -> None:
        if not isinstance(text, str):
            raise BadRequestError("text: expected text")
        if self._feed is None:
            await self._begin()
        assert self._feed is not None
        self._size += len(text)
        if self._size > self._floor.config.max_text:
            await self._cut()
            raise BadRequestError(
                f"text: got more than {self._floor.config.max_text} characters; send input.done between"
            )
        for sentence in self._cutter.feed(text):
            self._feed.put_nowait(sentence.text)

    async def _begin(self) -> None:
        """Begins to say something new; what is being said is cut off."""
        await self._cut()
        self._utterance += 1
        self._feed, self._cutter, self._size, self._count = asyncio.Queue(), SentenceCutter(), 0, 0
        self._speaking = asyncio.create_task(self._say(self._feed, self._utterance, self._session))

    async def _cut(self, *, tell: bool = True) -> None:
        """Cuts off what is being said."""
        speaking, self._speaking, self._feed = self._speaking, None, None
        if speaking is None or speaking.done():
            return
        await stopped(speaking)
        if tell:
            await self._done(self._utterance, cancelled=True)

    async def _done(self, utterance: int, **more: bool) -> None:
        await self._send(type="session.done", utterance_index=utterance, total_sentences=self._count, **more)

    async def _say(self, feed: asyncio.Queue[object], utterance: int, session: Session) -> None:
        """Says sentences as they come."""
        try:
            while (text := await feed.get()) is not _END:
                await self._sentence(str(text), utterance, self._count, session)
                self._count += 1
            await self._done(utterance)
        except (TimeoutError, ConnectionError, WebSocketDisconnect, RuntimeError):
            abort(self._socket.scope)  # nobody takes it; the one who receives finds out

    async def _sentence(self, text: str, utterance: int, number: int, session: Session) -> None:
        ask = replace(session.ask, text=text)
        place = {"utterance_index": utterance, "sentence_index": number}
        size, failed = 0, False
        try:
            self._floor.desk.check(ask)
            speaking = await self._floor.desk.begin(ask, self._client)
            try:
                encoder = Encoder(ask.format, sample_rate=speaking.sample_rate)
                start = {"sentence_text": text, "format": ask.format, "sample_rate": encoder.rate}
                await self._send(type="audio.start", **place, **start)
                if session.pieces:
                    async for piece in speaking:
                        size += await self._bytes(
                            await self._floor.desk.encode(partial(encoder.feed, piece.samples))
                        )
                    size += await self._bytes(await self._floor.desk.encode(encoder.finish))
                else:
                    samples = joined([piece.samples async for piece in speaking])
                    size += await self._bytes(await self._floor.desk.encode(partial(encoder.whole, samples)))
            finally:
                speaking.close()
        except SovitsError as error:
            failed = True
            await self._send(type="error", message=str(problem_of(error)), **place)
        except (TimeoutError, ConnectionError, WebSocketDisconnect):
            raise
        except Exception:
            failed = True
            logger.exception("a sentence failed")
            await self._send(type="error", message=DEFECT, **place)
        await self._send(type="audio.done", **place, total_bytes=size, error=failed)

    async def _bytes(self, data: bytes) -> int:
        if data:
            await within(self._floor.config.stall_s, self._socket.send_bytes(data))
        return len(data)

    async def _send(self, **message: Any) -> None:
        text = json.dumps(message, ensure_ascii=False)
        await within(self._floor.config.stall_s, self._socket.send_text(text))


async def talk(floor: Floor, socket: WebSocket) -> None:
    """Holds one conversation, whatever comes."""
    await socket.accept()
    floor.desk.meters.sockets.inc()
    try:
        await Talk(floor, socket).hold()
        with suppress(Exception):
            await within(1, socket.close())
    except (WebSocketDisconnect, ConnectionError):
        pass
    except TimeoutError:
        logger.warning("socket closed: the client takes nothing, or says nothing")
        abort(socket.scope)
    except RuntimeError as error:  # starlette's word for a connection that is closed already
        logger.info("socket closed: %s", printable(str(error)))
    finally:
        floor.desk.meters.sockets.dec()
