"""Hostile messages against the server as a process; `benchmarks/attacks/messages.py` sends thousands."""

import importlib
import json
import random
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "attacks"


@pytest.fixture(scope="module")
def attacks():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))  # they are run as scripts and import their neighbours
        yield importlib.import_module("hostile_messages"), importlib.import_module("messages")


def test_the_server_answers_and_speaks_as_before(tiny_bundle, demo_files, tmp_path):
    result = tmp_path / "result.json"
    command = [
        sys.executable,
        FOLDER / "messages.py",
        tiny_bundle,
        demo_files.reference_wav,
        "--count",
        80,
        "-o",
        result,
    ]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, encoding="utf-8", timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(result.read_text(encoding="utf-8"))
    assert written["checks"]["same speech by WebSocket"]
    assert sum(written["outcomes"].values()) == 80


def test_messages_are_those_of_their_seed(attacks):
    hostile, _ = attacks

    def some(seed):
        rng = random.Random(seed)
        return [hostile.request(rng) for _ in range(300)]

    assert some(1) == some(1) != some(2)
    assert set(hostile.JSON) | set(hostile.REQUESTS) >= {kind for kind, _ in some(1)}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(b"HTTP/1.1 500 Internal Server Error\r\n\r\n", "500"), (b"", "closed"), (None, "no answer")],
)
def test_what_a_service_does_wrong_is_seen(attacks, monkeypatch, answer, outcome):
    """A service that fails, closes, or says nothing."""
    _, messages = attacks
    monkeypatch.setattr(messages, "PATIENCE_S", 0.3)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as port:

        def serve():
            connection, _ = port.accept()
            with connection:
                connection.recv(1 << 16)
                if answer is None:
                    ended.wait(10)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()

        class Server:
            def connect(self):
                return socket.create_connection(port.getsockname(), timeout=5)

        assert messages.send_http(Server(), b"POST / HTTP/1.1\r\n\r\n", whole=True) == outcome
        ended.set()
        thread.join()
