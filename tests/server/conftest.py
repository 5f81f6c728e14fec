"""Two voices of the tiny bundle, and a server of them that most tests share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from live_server import Live, running

from sovits_server.config import Config, load_config
from sovits_server.voices import Voice, VoiceReference, write_profile

TEXT = "Hello, this is a test."
QUICK = {"max_seconds": 0.48, "cache_mb": 0, "threads": 1, "port": 0}


@pytest.fixture(scope="session")
def voices_folder(tiny_bundle: Path, demo_files: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Alice, who has two moods, and Bob, who is louder."""
    folder = tmp_path_factory.mktemp("server") / "voices"
    folder.mkdir()
    recording = Path(shutil.copy(demo_files.reference_wav, folder / "Reference One.wav"))
    phones = tuple(json.loads(demo_files.reference.read_text(encoding="utf-8"))["phones"])
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
