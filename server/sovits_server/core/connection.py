"""The connection that a request came by: has its client left, does it take what it is sent, how is it cut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from starlette.types import Message, Receive, Scope

T = TypeVar("T")
TRANSPORT = "sovits.transport"
"""Of `scope["extensions"]`: what our own protocol classes put there, to cut a connection short."""


class ClientGoneError(Exception):
    """Nobody reads the answer any more."""


async def gone(receive: Receive) -> None:
    """Returns once the client has left. What it still sends is dropped."""
    while True:
        message: Message = await receive()
        if message["type"] in ("http.disconnect", "websocket.disconnect"):
            return


async def while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Does some work unless the client leaves meanwhile.

    Raises:
        ClientGoneError: It has left; the work was cancelled.
    """
    doing, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone(receive))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientGoneError
        return doing.result()
    finally:
        await stopped(leaving)
        if not doing.done():
            await stopped(doing)


async def stopped(task: asyncio.Future[Any]) -> None:
    """Cancels a task, unless it is over, and waits for its end."""
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task


def abort(scope: Scope) -> bool:
    """Cuts a connection at once, so that half an answer does not look whole; returns whether that can be done."""
    transport = scope.get("extensions", {}).get(TRANSPORT)
    if transport is None:
        return False
    transport.abort()
    return True


async def within(seconds: float, work: Awaitable[T]) -> T:
    """Awaits something for so long.

    Raises:
        TimeoutError: It took longer.
    """
    async with asyncio.timeout(seconds):
        return await work
