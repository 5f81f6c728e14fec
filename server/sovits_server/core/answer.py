"""From an utterance to an answer of HTTP: whole with its length, or as it is made; cut off where nobody takes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sovits_runtime.errors import SovitsError, first_line, printable
from sovits_server.core.ask import Ask
from sovits_server.core.casting import bundle_key
from sovits_server.core.connection import ClientGoneError, abort, gone, stopped, while_there, within
from sovits_server.core.desk import Desk
from sovits_server.core.utterance import Piece, Utterance, joined
from sovits_server.problems import Problem
from sovits_server.sound import CachedLine, Encoder, LineCache, line_key

logger = logging.getLogger(__name__)

_LONGEST_KEPT = 4 << 20
NO_BUFFERING = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
CUT_OFF = (
    "the answer was cut off after it had begun",
    "the client takes no sound",
)


class SoundResponse(Response):
    """An answer that is sent while it is made.

    When the client leaves, takes nothing for too long, or the rest cannot be made, the connection is cut: a proper end
    would make half an answer look whole.

    Args:
        body: Its bytes.
        close: Called in the end, whatever happened.
        media_type: Of HTTP.
        headers: More of them.
        stall_s: How long a client may take nothing.
        ended: Told how it ended: "good", "gone", "slow" or "failed".
    """

    def __init__(
        self,
        body: AsyncIterator[bytes],
        close: Callable[[], None],
        *,
        media_type: str,
        headers: Mapping[str, str],
        stall_s: float,
        ended: Callable[[str], None],
    ) -> None:
        super().__init__(None, media_type=media_type, headers={**NO_BUFFERING, **headers})
        del self.headers["content-length"]
        self._pieces = body
        self._close = close
        self._stall_s = stall_s
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(gone(receive))
        how = "gone"
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
                how = "good"
        except TimeoutError:
            how = "slow"
            logger.warning("%s: %s", *CUT_OFF)
        except (SovitsError, OSError) as error:
            how = "failed"
            logger.warning("%s: %s", CUT_OFF[0], printable(first_line(error)))
        except Exception:
            how = "failed"
            logger.exception("%s", CUT_OFF[0])
        finally:
            await stopped(sending)
            await stopped(leaving)
            self._close()
            self._ended(how)
        if how != "good":
            if not abort(scope) and how != "gone":
                raise ConnectionAbortedError(
                    CUT_OFF[0]
                )  # another server than ours: it cuts the connection so
            await asyncio.sleep(0)

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await within(self._stall_s, send(start))
        async for piece in self._pieces:
            if piece:
                message = {"type": "http.response.body", "body": piece, "more_body": True}
                await within(self._stall_s, send(message))
        await within(self._stall_s, send({"type": "http.response.body", "body": b"", "more_body": False}))


class Answers:
    """Makes answers of requests.

    Args:
        desk: Has them spoken.
        cache: Lines that were spoken before; None: none are kept.
    """

    def __init__(self, desk: Desk, cache: LineCache | None) -> None:
        self.desk = desk
        self.cache = cache

    async def speak(self, ask: Ask, request: Request, client: str) -> Response:
        """Answers with sound.

        Args:
            ask: What to say.
            request: Its body was read.
            client: Who asks.

        Raises:
            Problem: It is not let in, or too late.
            SovitsError: It cannot be spoken.
            ClientGoneError: Nobody waits any more.
        """
        self.desk.check(ask)
        key = await self.desk.in_thread(lambda: self._key(ask)) if self.cache else None
        if key is not None and (line := await self.desk.in_thread(lambda: self._kept(key))):
            return self._known(line, request)
        utterance = await while_there(request.receive, self.desk.begin(ask, client))
        try:
            encoder = Encoder(ask.format, sample_rate=utterance.sample_rate, separate=ask.separate)
        except SovitsError:
            utterance.close()
            raise
        headers = sound_headers(utterance, encoder)
        if ask.delivery == "whole":
            return await self._whole(utterance, encoder, request, key)
        return SoundResponse(
            self._encoded(utterance, encoder, key),
            utterance.close,
            media_type=encoder.media_type,
            headers=headers,
            stall_s=self.desk.config.stall_s,
            ended=self.ended,
        )

    def ended(self, how: str) -> None:
        """Counts how a request for sound ended."""
        self.desk.meters.ends.labels(how).inc()

    async def _whole(
        self, utterance: Utterance, encoder: Encoder, request: Request, key: str | None
    ) -> Response:
        try:
            pieces = await while_there(request.receive, _all(utterance))
            content = await self.desk.encode(lambda: encoder.whole(joined(p.samples for p in pieces)))
        except ClientGoneError:
            self.ended("gone")
            raise
        except SovitsError:
            self.ended("failed")
            raise
        finally:
            utterance.close()
        self.ended("good")
        headers = sound_headers(utterance, encoder)
        line = await self._keep(key, content, encoder.media_type, headers)
        return Response(
            content,
            media_type=encoder.media_type,
            headers={**headers, **({"ETag": line.etag} if line else {})},
        )

    async def _encoded(self, utterance: Utterance, encoder: Encoder, key: str | None) -> AsyncIterator[bytes]:
        kept: list[bytes] = []
        size = 0
        headers = sound_headers(utterance, encoder)
        async for piece in utterance:
            data = await self.desk.encode(lambda samples=piece.samples: encoder.feed(samples))  # type: ignore[misc]
            size += len(data)
            if key is not None and size <= _LONGEST_KEPT:
                kept.append(data)
            else:
                kept.clear()
            yield data
        data = await self.desk.encode(encoder.finish)
        yield data
        if key is not None and size <= _LONGEST_KEPT:
            await self._keep(key, b"".join([*kept, data]), encoder.media_type, headers)

    def _key(self, ask: Ask) -> str | None:
        """What a line is kept under; None where it sounds otherwise each time, or holds a client's recording."""
        voice = self.desk.casting.voice_of(ask.whom)
        options = {**voice.options, **{k: v for k, v in ask.options.items() if v is not None}}
        reference = self.desk.casting.own_key(voice, ask.whom)
        if options.get("seed", 0) == -1 or reference is None:
            return None
        more = (ask.language, ask.cut, ask.delivery, str(ask.chunks), ask.pause_s, ask.tail, ask.separate)
        options["request"] = [str(word) for word in (*more, self.desk.config.max_seconds, voice.gain_db)]
        return line_key(
            text=ask.text,
            voice=voice.name,
            bundle=bundle_key(voice.bundle),
            reference=reference,
            format=ask.format,
            options=options,
        )

    def _kept(self, key: str) -> CachedLine | None:
        return self.cache.get(key) if self.cache else None

    async def _keep(
        self, key: str | None, content: bytes, media_type: str, headers: Mapping[str, str]
    ) -> CachedLine | None:
        cache = self.cache
        if key is None or cache is None:
            return None
        extra = {"headers": dict(headers)}
        return await self.desk.in_thread(lambda: cache.put(key, content, media_type=media_type, extra=extra))

    def _known(self, line: CachedLine, request: Request) -> Response:
        self.desk.meters.cached.inc()
        headers = {
            **dict(line.extra.get("headers", {})),
            "ETag": line.etag,
            "Cache-Control": "private, no-cache",
        }
        if line.matches(request.headers.get("if-none-match")):
            return Response(status_code=304, headers=headers)
        return Response(line.content, media_type=line.media_type, headers=headers)


async def _all(utterance: Utterance) -> list[Piece]:
    return [piece async for piece in utterance]


def sound_headers(utterance: Utterance, encoder: Encoder) -> dict[str, str]:
    """What clients that are given bare samples need to know."""
    headers = {"X-Sample-Rate": str(encoder.rate)}
    told = {
        n: printable(text).encode("ascii", "backslashreplace").decode() for n, text in utterance.told.items()
    }
    return {**headers, **told}


__all__ = ["Answers", "Problem", "SoundResponse", "sound_headers"]
