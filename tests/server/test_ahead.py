"""The first word, which is on its way before HTTP is."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sovits_runtime.errors import SovitsError
from sovits_server.app import Server
from sovits_server.core.ahead import Ahead
from sovits_server.problems import BusyError, ConfigError
from sovits_server.run.start import serve


def test_the_server_is_ready_by_the_word_that_was_begun_before(configure):
    with Ahead(configure()) as ahead:
        server = Server(ahead.config, ahead=ahead)
        assert not server.readiness.ready
        asyncio.run(server.readiness.find_out())
        assert server.readiness.ready
        assert server.readiness.took_s == ahead.word.result()
        assert ahead.engine.stats().finished == 1


def test_a_word_that_fails_is_tried_again_by_the_server(configure, monkeypatch):
    failures = [SovitsError("the first fails")]

    def speak(engine, casting):
        if failures:
            raise failures.pop()

    monkeypatch.setattr("sovits_server.core.ahead.speak_a_word", speak)
    monkeypatch.setattr("sovits_server.core.desk.speak_a_word", speak)
    monkeypatch.setattr("sovits_server.core.alive.AGAIN_S", 0.01)
    with Ahead(configure()) as ahead:
        server = Server(ahead.config, ahead=ahead)
        asyncio.run(server.readiness.find_out())
        assert server.readiness.ready
        assert failures == []
        assert isinstance(ahead.word.exception(), SovitsError)


def test_what_is_left_at_once_ends_its_threads(configure):
    with Ahead(configure()) as ahead:
        pass
    assert ahead.word.done()
    assert isinstance(ahead.word.exception(), BusyError | None)


def test_an_address_that_is_taken_ends_the_first_word_too(configure, monkeypatch):
    monkeypatch.setattr("sovits_server.run.start.set_up", lambda kind, verbose: None)
    said = []
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match="cannot be listened on"),
    ):
        serve(configure(port=taken.getsockname()[1]), said.append)
    assert said == []
