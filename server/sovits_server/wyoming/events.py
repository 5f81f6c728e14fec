"""Events of the protocol on a connection, with limits: a line of JSON, maybe more JSON, maybe bytes.

The package `wyoming` reads as much as a header announces. Whoever may connect could fill the memory that way.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from wyoming.event import Event

from sovits_runtime.errors import shown
from sovits_server.core.connection import within
from sovits_server.problems import BadRequestError, TooLargeError

MOST_PAYLOAD = 1 << 20
"""Bytes of sound that nobody asked for: they are read and dropped."""
LONGEST_LINE = 64 << 10
_LONGEST_TYPE = 64


class Wire:
    """One connection.

    Args:
        reader: What comes; made with the limit `LONGEST_LINE`.
        writer: What goes.
        most_data: Bytes of JSON of an event.
        stall_s: How long the other side may take nothing.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, most_data: int, stall_s: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._most_data = most_data
        self._stall_s = stall_s

    async def read(self) -> Event | None:
        """Returns the next event; None at the end.

        Raises:
            BadRequestError: It is no event.
            TooLargeError: It is too long.
        """
        try:
            line = await self._reader.readline()
            if not line:
                return None
            head = _object(line, "the header")
            data = _object(head.get("data", {}), "data")
            length = _length(head, "data_length", self._most_data)
            if length:
                data = {**data, **_object(await self._reader.readexactly(length), "the data")}
            payload = await self._reader.readexactly(_length(head, "payload_length", MOST_PAYLOAD))
        except asyncio.IncompleteReadError:  # it hung up amid an event
            return None
        except ValueError as error:
            if isinstance(error, BadRequestError | TooLargeError):
                raise
            raise TooLargeError(f"event: got a line of more than {LONGEST_LINE} bytes") from error
        kind = head.get("type")
        if not isinstance(kind, str) or not 0 < len(kind) <= _LONGEST_TYPE:
            raise BadRequestError(f"event, type: got {shown(kind)}, expected a word")
        return Event(type=kind, data=data, payload=payload or None)

    async def write(self, event: Event) -> None:
        """Sends an event, in one piece: others may write meanwhile.

        Raises:
            TimeoutError: The other side takes nothing.
            ConnectionError: It is gone.
        """
        data = json.dumps(event.data, ensure_ascii=False).encode() if event.data else b""
        head: dict[str, Any] = {"type": event.type}
        if data:
            head["data_length"] = len(data)
        if event.payload:
            head["payload_length"] = len(event.payload)
        self._writer.write(json.dumps(head).encode() + b"\n" + data + (event.payload or b""))
        await within(self._stall_s, self._writer.drain())

    async def close(self) -> None:
        """Ends the connection; what was sent before still arrives, if it is taken soon."""
        self._writer.close()
        try:
            await within(1.0, self._writer.wait_closed())
        except (OSError, TimeoutError):
            self._writer.transport.abort()

    def abort(self) -> None:
        """Cuts it at once."""
        self._writer.transport.abort()


def _object(content: Any, what: str) -> dict[str, Any]:
    if isinstance(content, bytes):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BadRequestError(f"event: expected {what} as JSON, got something else") from error
    if not isinstance(content, dict):
        raise BadRequestError(f"event: expected {what} as an object, got {type(content).__name__}")
    return content


def _length(head: dict[str, Any], name: str, most: int) -> int:
    value = head.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadRequestError(f"event, {name}: got {shown(value)}, expected a number of bytes")
    if value > most:
        raise TooLargeError(f"event, {name}: got {shown(value)}, expected at most {most}")
    return value
