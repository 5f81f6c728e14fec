"""A real server on a real port: uvicorn in a thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from sovits_server.app import Server
from sovits_server.config import Config
from sovits_server.run.process import Process, bound_socket


@dataclass(frozen=True)
class Live:
    """A server that runs."""

    server: Server
    port: int
    process: Process

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.base, timeout=60, **more)

    def idle(self) -> bool:
        stats = self.server.desk.engine.stats()
        return not (self.server.desk.admission.total or stats.running or stats.waiting)

    def until(self, condition: Any, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never happened"
            time.sleep(0.01)


@contextlib.contextmanager
def running(config: Config, **more: Any) -> Iterator[Live]:
    """Runs a server while the context lasts."""
    server = Server(config, **more)
    with bound_socket(config) as bound:
        process = Process(server)
        port = bound.getsockname()[1]
        thread = threading.Thread(target=process.run, kwargs={"sockets": [bound]})
        thread.start()
        live = Live(server, port, process)
        try:
            live.until(lambda: process.started or not thread.is_alive())
            yield live
        finally:
            process.should_exit = True
            thread.join(60)
            assert not thread.is_alive()
