"""A real server on a real port: uvicorn in a thread, two voices of the tiny bundle, and what clients send it."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from sovits_server.app import Server
from sovits_server.config import Config, load_config
from sovits_server.run.process import Process, bound_socket
from sovits_server.voices import Voice, VoiceReference, write_profile

TEXT = "Hello, this is a test."
QUICK = {"max_seconds": 0.48, "cache_mb": 0, "threads": 1, "port": 0}


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


@pytest.fixture(scope="session")
def voices_folder(tiny_bundle: Path, demo_files: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Alice, who has two moods, and Bob, who is louder."""
    folder = tmp_path_factory.mktemp("server") / "voices"
    folder.mkdir()
    recording = Path(shutil.copy(demo_files.reference_wav, folder / "Reference One.wav"))
    phones = tuple(json.loads(demo_files.reference.read_text())["phones"])
    plain = VoiceReference(name="default", path=recording, phones=phones)
    happy = replace(plain, name="happy", emotion="happy", phones=phones[:20])
    alice = Voice(name="alice", bundle=tiny_bundle, references=(plain, happy), language="en")
    write_profile(alice, folder / "alice.toml")
    write_profile(replace(alice, name="Bob", references=(happy,), gain_db=3.0), folder / "Bob.toml")
    return folder


@pytest.fixture(scope="session")
def configure(voices_folder: Path):
    def make(**settings: Any) -> Config:
        given = {"voices": voices_folder, "default_voice": "alice", **QUICK, **settings}
        return load_config(given, environment={})

    return make


@pytest.fixture(scope="session")
def live(configure: Any) -> Iterator[Live]:
    """The server that most tests share; it is as it was when a test is over."""
    with running(configure(open_lists=True, queue=200, client_requests=300)) as live:
        live.until(lambda: live.server.readiness.ready, 60)
        yield live


@pytest.fixture
def http(live: Live) -> Iterator[httpx.Client]:
    with live.client() as client:
        yield client
    live.until(live.idle)
