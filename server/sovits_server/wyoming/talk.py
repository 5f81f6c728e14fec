"""One connection of Home Assistant's, from its first event to its last.

Events are read while sound is made, so that a client that hangs up is noticed, and `describe` is answered at once. What
is asked for is spoken in order. After an error the connection is closed, as clients expect that wait for sound.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.ping import Pong
from wyoming.tts import SynthesizeStopped

from sovits_runtime.errors import printable, shown
from sovits_runtime.text.sentences import SentenceCutter
from sovits_server.core.ask import Ask, Whom, language_of
from sovits_server.core.connection import stopped
from sovits_server.core.floor import Floor
from sovits_server.problems import BadRequestError, NotThereError, TooLargeError
from sovits_server.security.words import problem_of
from sovits_server.sound import Encoder
from sovits_server.wyoming.events import Wire
from sovits_server.wyoming.info import describe, languages_of

logger = logging.getLogger(__name__)

DIALECT = "wyoming"
SAMPLES = 2048
"""Of an `audio-chunk`; twice as many bytes."""
MOST_WAITING = 16
"""Requests of one connection that wait for the one being spoken."""
IDLE_S = 600.0


@dataclass
class Said:
    """Something to say: a text, or pieces of one as they are written.

    Attributes:
        ask: All but the text.
        streaming: Whether pieces come, and the end is told by `synthesize-stopped`.
        pieces: Of the text; None is the end.
        size: Characters so far.
    """

    ask: Ask
    streaming: bool
    pieces: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    size: int = 0


class Talk:
    """A conversation.

    Args:
        floor: Where it asks.
        wire: The connection.
        client: Who it is, for limits of each client.
    """

    def __init__(self, floor: Floor, wire: Wire, client: str) -> None:
        self._floor = floor
        self._wire = wire
        self._client = client
        self._waiting: asyncio.Queue[Said] = asyncio.Queue(MOST_WAITING)
        self._open: Said | None = None

    async def hold(self) -> None:
        """Talks until the client hangs up, or something is wrong; then the connection is to be closed.

        Raises:
            TimeoutError: It takes nothing, or says nothing for long.
            ConnectionError: It is gone.
        """
        reading = asyncio.create_task(self._read())
        speaking = asyncio.create_task(self._speak())
        try:
            await asyncio.wait({reading, speaking}, return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, speaking):
                if task.done():
                    task.result()
        except (TimeoutError, ConnectionError):
            raise
        except Exception as error:
            problem = problem_of(error)
            if problem.status >= 500 and problem is not error:
                logger.error("%s", printable(str(error)), exc_info=error)
            await self._wire.write(Error(text=str(problem), code=str(problem.status)).event())
        finally:
            await stopped(reading)
            await stopped(speaking)

    async def _read(self) -> None:
        while True:
            async with asyncio.timeout(IDLE_S):
                event = await self._wire.read()
            if event is None:
                return
            await self._take(event)

    async def _take(self, event: Event) -> None:
        """Does what an event asks for; what is not known is dropped, as the protocol wants it.

        Raises:
            BadRequestError: It makes no sense.
        """
        if event.type == "describe":
            voices = await self._floor.desk.in_thread(self._floor.store.voices)
            await self._wire.write(describe(voices).event())
        elif event.type == "ping":
            await self._wire.write(Pong(text=_text(event.data, "text", "")).event())
        elif event.type == "synthesize" and self._open is None:  # within a stream it only repeats the text
            self._put(said := self._said(event.data, streaming=False))
            self._add(said, _text(event.data, "text"))
            said.pieces.put_nowait(None)
        elif event.type == "synthesize-start":
            self._end()
            self._open = self._said(event.data, streaming=True)
            self._put(self._open)
        elif event.type == "synthesize-chunk" and self._open is not None:
            self._add(self._open, _text(event.data, "text"))
        elif event.type == "synthesize-stop":
            self._end()

    def _end(self) -> None:
        if self._open is not None:
            self._open.pieces.put_nowait(None)
            self._open = None

    def _put(self, said: Said) -> None:
        try:
            self._waiting.put_nowait(said)
        except asyncio.QueueFull:
            raise TooLargeError(f"{MOST_WAITING} requests of this connection are waiting already") from None

    def _add(self, said: Said, text: str) -> None:
        said.size += len(text)
        if said.size > self._floor.config.max_text:
            raise TooLargeError(
                f"text: expected at most {self._floor.config.max_text} characters in one request"
            )
        said.pieces.put_nowait(text)

    def _said(self, data: dict[str, Any], *, streaming: bool) -> Said:
        """What an event asks for.

        Raises:
            BadRequestError: A field is of the wrong kind.
            NotThereError: There is no voice of that language.
        """
        voice = data.get("voice") or {}
        if not isinstance(voice, dict):
            raise BadRequestError(f"voice: got {shown(voice)}, expected an object")
        name, speaker = _text(voice, "name", ""), _text(voice, "speaker", "")
        language = "" if name else language_of(_text(voice, "language", ""), "language")
        if language:
            name = self._voice_for(language)
        whom = Whom(voice=name, strict=bool(name), emotion=speaker)
        return Said(Ask(dialect=DIALECT, text="", whom=whom, language=language, format="raw"), streaming)

    def _voice_for(self, language: str) -> str:
        """The default voice, if it speaks a language, else the first that does."""
        default = self._floor.desk.casting.default()
        for voice in (default, *self._floor.store.voices()):
            if language.removeprefix("all_") in languages_of(voice) or language.startswith("auto"):
                return voice.name
        raise NotThereError(f"there is no voice for the language {language!r}", param="language")

    async def _speak(self) -> None:
        while True:
            said = await self._waiting.get()
            async for text in self._texts(said):
                await self._say(said, text)
            if said.streaming:
                await self._wire.write(SynthesizeStopped().event())

    async def _texts(self, said: Said) -> AsyncIterator[str]:
        """What can be said by now: sentence by sentence where text comes in pieces; SSML only as a whole."""
        if not said.streaming:
            yield await said.pieces.get() or ""
            return
        cutter, markup, gathered = SentenceCutter(), None, ""
        while (piece := await said.pieces.get()) is not None:
            gathered += piece
            if markup is None and gathered.strip():
                markup = gathered.lstrip().startswith("<")
            if markup is False:
                for sentence in cutter.feed(gathered):
                    yield sentence.text
                gathered = ""
        if markup:
            yield gathered
        for sentence in cutter.close():
            yield sentence.text

    async def _say(self, said: Said, text: str) -> None:
        """Speaks a text as `audio-start`, chunks and `audio-stop`."""
        if said.streaming and not any(char.isalnum() for char in text):
            return  # a mark alone between two sentences
        ask = Ask(
            dialect=DIALECT, text=text, whom=said.ask.whom, language=said.ask.language, format=said.ask.format
        )
        desk = self._floor.desk
        utterance = await desk.begin(ask, self._client)
        try:
            rate, sent = utterance.sample_rate, 0
            encoder = Encoder("raw", sample_rate=rate)
            await self._wire.write(AudioStart(rate=rate, width=2, channels=1, timestamp=0).event())
            async for piece in utterance:
                pcm = encoder.feed(piece.samples)
                for start in range(0, len(pcm), 2 * SAMPLES):
                    chunk = pcm[start : start + 2 * SAMPLES]
                    at_ms = sent * 1000 // rate
                    sent += len(chunk) // 2
                    await self._wire.write(
                        AudioChunk(audio=chunk, rate=rate, width=2, channels=1, timestamp=at_ms).event()
                    )
            await self._wire.write(AudioStop(timestamp=sent * 1000 // rate).event())
        finally:
            utterance.close()


def _text(data: dict[str, Any], name: str, default: str | None = None) -> str:
    value = data.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise BadRequestError(f"{name}: got {shown(value)}, expected text")
    return value
