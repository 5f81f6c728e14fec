"""Starts a server, says how to reach it, drains it at a signal."""

from __future__ import annotations

import json
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from sovits_server.app import Server
from sovits_server.config import Config
from sovits_server.core.ahead import Ahead
from sovits_server.problems import ConfigError
from sovits_server.run.protocols import HttpProtocol, SocketProtocol
from sovits_server.sound import can_write

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_PING_S = 20.0
_KEEP_ALIVE_S = 15
Say = Callable[[str], None]


class Process(uvicorn.Server):
    """uvicorn, which lets nobody in any more from the first signal on."""

    def __init__(self, server: Server) -> None:
        super().__init__(_settings(server.config, server))
        self._server = server

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the end; a second signal does not wait."""
        self._server.desk.admission.closed = True
        super().handle_exit(sig, frame)


def run(ahead: Ahead, say: Say) -> bool:
    """Serves until it is stopped.

    Args:
        ahead: Its parts.
        say: Told how to reach it, a line a call.

    Returns:
        Whether to start anew.

    Raises:
        ConfigError: A setting makes no sense, or the address is taken.
    """
    again = False

    def stop(anew: bool) -> None:
        nonlocal again
        again = anew
        process.handle_exit(signal.SIGTERM, None)

    config = ahead.config
    server = Server(config, stop=stop, ahead=ahead)
    with bound_socket(config) as bound:
        process = Process(server)
        for line in welcome(config, server, bound.getsockname()[1]):
            say(line)
        process.run(sockets=[bound])
    return again


def _settings(config: Config, server: Server) -> uvicorn.Config:
    return uvicorn.Config(
        server.app,
        http=HttpProtocol,
        ws=SocketProtocol,
        ws_max_size=config.max_body_kb << 10,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        limit_concurrency=config.max_connections,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(round(config.drain_s), 1),
    )


def bound_socket(config: Config) -> socket.socket:
    """The socket to listen on.

    Raises:
        ConfigError: It cannot be had.
    """
    host = config.host.strip("[]")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, config.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"port: {config.host}:{config.port} cannot be listened on: {reason}; choose another"
        ) from None


def welcome(config: Config, server: Server, port: int) -> list[str]:
    """How to reach a server: where to click, what to type.

    Args:
        config: Of the operator.
        server: Which.
        port: That it listens on.
    """
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host
    base = f"http://[{host}]:{port}" if ":" in host.strip("[]") else f"http://{host}:{port}"
    voices, default = server.store.voices(), server.desk.casting.default()
    names = ", ".join(v.name + (" (default)" if v.name == default.name else "") for v in voices[:8])
    more = f", and {len(voices) - 8} more" if len(voices) > 8 else ""
    sound = "mp3" if can_write("mp3") else "wav"
    body = {
        "input": "Hello.",
        "voice": default.name,
        **({} if sound == "mp3" else {"response_format": sound}),
    }
    key = ' -H "Authorization: Bearer KEY"' if config.api_key else ""
    quoted = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    lines = [
        f"{len(voices)} voice{'s' if len(voices) > 1 else ''}: {names}{more}",
        f"click: {base}/",
        f"curl:  curl {base}/v1/audio/speech{key} -H 'Content-Type: application/json' -d '{quoted}' -o hello.{sound}",
        f"OpenAI's clients: base_url {base}/v1; GPT-SoVITS's: {base}",
    ]
    silent = [voice.name for voice in voices if not voice.references] if config.ref is None else []
    if silent:
        lines.append(
            f"no recording to sound like: {', '.join(silent[:8])}; give one, 3 to 10 s: "
            '--ref WAV --ref-text "what is said in it" --ref-lang en'
        )
    return lines
