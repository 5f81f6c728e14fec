"""Listens for Home Assistant, and announces itself on the local network when asked to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sovits_server.config import is_loopback
from sovits_server.core.floor import Floor
from sovits_server.problems import ConfigError
from sovits_server.wyoming.events import LONGEST_LINE, Wire
from sovits_server.wyoming.talk import Talk

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 64
SERVICE = "_wyoming._tcp.local."
_ANYWHERE = ("0.0.0.0", "::", "")
_BACKLOG = 128


@asynccontextmanager
async def wyoming_server(floor: Floor, *, host: str, port: int, announce: bool = False) -> AsyncIterator[int]:
    """Serves until the context is left.

    Args:
        floor: Where requests are made.
        host: Address to listen on.
        port: 0: any free one.
        announce: Tell the local network by zeroconf.

    Yields:
        The port.

    Raises:
        ConfigError: The address cannot be had, or zeroconf cannot be used.
    """
    talks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await _hold(floor, reader, writer, full=len(talks) > MOST_CONNECTIONS)
        finally:
            talks.discard(task)

    try:
        server = await asyncio.start_server(
            accept, host.strip("[]") or None, port, limit=LONGEST_LINE, backlog=_BACKLOG
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"wyoming_port: {host}:{port} cannot be listened on: {reason}") from error
    bound = int(server.sockets[0].getsockname()[1])
    try:
        async with _announced(host, bound) if announce else contextlib.nullcontext():
            yield bound
    finally:
        server.close()
        for talk in tuple(talks):
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def _hold(
    floor: Floor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, full: bool
) -> None:
    """Holds one conversation, whatever comes."""
    address = writer.get_extra_info("peername")
    client = str(address[0]) if isinstance(address, tuple) else "local"
    wire = Wire(reader, writer, most_data=floor.config.max_body_kb << 10, stall_s=floor.config.stall_s)
    try:
        if not full:
            await Talk(floor, wire, client).hold()
        await wire.close()
    except (TimeoutError, ConnectionError):
        wire.abort()
    except asyncio.CancelledError:  # the server goes down, and this task with it
        wire.abort()
    except Exception:
        logger.exception("a conversation failed")
        wire.abort()


@asynccontextmanager
async def _announced(host: str, port: int) -> AsyncIterator[None]:
    """Tells the local network where the server is."""
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    address = await asyncio.to_thread(_own_address) if host in _ANYWHERE else host.strip("[]")
    name = f"sovits-export-{port}-{socket.gethostname().split('.')[0]}"[:60]
    info = AsyncServiceInfo(SERVICE, f"{name}.{SERVICE}", parsed_addresses=[address], port=port)
    try:
        zeroconf = AsyncZeroconf(interfaces=[address] if is_loopback(address) else ["0.0.0.0"])
        await zeroconf.async_register_service(info)
    except OSError as error:
        raise ConfigError(
            f"zeroconf: this network cannot be told ({error.strerror}); leave --zeroconf out"
        ) from error
    try:
        yield
    finally:
        await zeroconf.async_unregister_service(info)
        await zeroconf.async_close()


def _own_address() -> str:
    """The address by which others on the local network reach this machine; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("224.0.0.251", 1))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
