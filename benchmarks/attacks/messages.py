"""Thousands of hostile HTTP and WebSocket messages against `sovits-export serve`, a real process on a real port.

    python benchmarks/attacks/messages.py BUNDLE REFERENCE.wav [--count 10000] [--seed 0] [-o RESULT.json]

Every message must be answered, or its connection closed; nothing may give a status of 500 or a traceback. Afterwards
the process must live, hold no more open files than before, and say the same words with the same samples. What was
answered how is printed. Exits with 1 when anything of this does not hold.

Messages are of a seed, so a run can be repeated. Requests are written byte by byte: a client library would not send
most of them.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import hostile_messages as hostile
import websocket_client as websocket

from sovits_runtime.bundle import Bundle
from sovits_runtime.bundle.files import json_text
from sovits_runtime.machine import installed_versions, read_machine

COMMAND = "from sovits_exporter.cli.start import main; main()"
ASK = {"input": "Hello.", "response_format": "pcm", "language": "en"}
PATIENCE_S = 60.0
HALF_PATIENCE_S = 0.3
MESSAGES_A_SOCKET = 50
FILES_MORE = 4
"""Open files that a process may have more than before: libraries open some when first needed."""
LONGEST_SPEECH_S = 0.4


class Server:
    """The server as a process."""

    def __init__(self, bundle: Path, reference: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [
            *(sys.executable, "-c", COMMAND, "serve", bundle, "--ref", reference, "--port", self.port),
            *("--max-seconds", LONGEST_SPEECH_S, "--cache-mb", 0, "--max-body-kb", 64, "--threads", 2),
        ]
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=file
            )
        while self.process.poll() is None:
            with contextlib.suppress(OSError), self.connect():
                return
            time.sleep(0.2)
        raise SystemExit(log.read_text(encoding="utf-8", errors="replace"))

    def tracebacks(self) -> list[str]:
        """Those that it has logged."""
        return [
            f"Traceback{rest}"
            for rest in self.log.read_text(encoding="utf-8", errors="replace").split("Traceback")[1:]
        ]

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def open_files(self) -> int:
        """How many files and connections it has open; 0 where the system does not tell."""
        folder = Path(f"/proc/{self.process.pid}/fd")
        return len(os.listdir(folder)) if folder.is_dir() else 0

    def memory_bytes(self) -> int:
        """Its resident memory; 0 where the system does not tell."""
        status = Path(f"/proc/{self.process.pid}/status")
        lines = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
        return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def send_http(server: Server, request: bytes, *, whole: bool) -> str:
    """Sends bytes; gives the status of the answer, or says that the connection was closed.

    Args:
        server: Whom to ask.
        request: What to send.
        whole: Whether this is a whole request; for the rest of another one a server waits, rightly, so after a while
            the connection is closed on our side.
    """
    with server.connect() as connection:
        try:
            connection.sendall(request)
            connection.settimeout(PATIENCE_S if whole else HALF_PATIENCE_S)
            try:
                answer = connection.recv(64)
            except TimeoutError:
                if whole:
                    return "no answer"
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(PATIENCE_S)
                answer = connection.recv(64)
        except ConnectionError:
            return "closed"
        except TimeoutError:
            return "no answer"
    if answer.startswith(b"HTTP/1."):
        return answer.split(b" ")[1].decode("ascii", "replace")
    return "bytes" if answer else "closed"  # HTTP 0.9 has no status


def speech(server: Server) -> bytes:
    """What the server says now."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/audio/speech", json.dumps(ASK))
        answer = connection.getresponse()
        samples = answer.read()
    return samples if answer.status == 200 else b""


def speech_by_socket(server: Server) -> bytes:
    """The same over a WebSocket."""
    with websocket.Client(server.connect()) as client:
        client.send_text(json.dumps({"type": "session.config", "stream_audio": True, **ASK}))
        client.send_text(json.dumps({"type": "input.text", "text": ASK["input"]}))
        client.send_text(json.dumps({"type": "input.done"}))
        samples = b""
        while True:
            opcode, data = client.receive()
            if opcode == websocket.BINARY:
                samples += data
            elif opcode != websocket.TEXT or json.loads(data)["type"] in ("session.done", "error"):
                return samples


class Sockets:
    """WebSockets for messages, each used for some of them, or until it is closed."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client: websocket.Client | None = None
        self.used = 0

    def send(self, frame: bytes) -> str:
        """Sends a frame; gives the kind of the answer."""
        try:
            if self.client is None or self.used >= MESSAGES_A_SOCKET:
                self.close()
                self.client, self.used = websocket.Client(self.server.connect()), 0
            self.used += 1
            self.client.send(frame + websocket.frame(websocket.PING, b"?"))  # text alone is not answered
            outcome = self._outcome(self.client)
        except ConnectionError:
            outcome = "closed"
        except TimeoutError:
            outcome = "no answer"
        if outcome in ("closed", "no answer"):
            self.close()
        return outcome

    def _outcome(self, client: websocket.Client) -> str:
        while True:
            opcode, data = client.receive()
            if opcode == websocket.PONG:
                return "pong"
            if opcode == websocket.CLOSE:
                return "closed"
            if opcode == websocket.TEXT:
                said = json.loads(data)
                if "its log" in said.get("message", ""):
                    return "defect"
                if said["type"] == "error":
                    return "error"

    def close(self) -> None:
        """Closes the connection."""
        if self.client is not None:
            self.client.close()
        self.client = None


def attack(server: Server, count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Sends messages in turn by both ways; yields the kind of each, and what came of it."""
    rng, sockets = random.Random(seed), Sockets(server)
    for i in range(count):
        way = ("HTTP", "WebSocket")[i % 2]
        if way == "HTTP":
            kind, data = hostile.request(rng)
            outcome = send_http(server, data, whole=kind in hostile.JSON)
        else:
            kind, data = hostile.frame(rng)
            outcome = sockets.send(data)
        yield f"{way}, {kind}", outcome
        if outcome in ("500", "no answer", "defect"):
            print(f"  {way}, {kind}: {outcome} to {data[:300]!r}", flush=True)
        if server.process.poll() is not None:
            raise SystemExit(f"the server died of {kind}: {data[:300]!r}")
    sockets.close()


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(options.bundle, options.reference, Path(folder) / "log.txt")
        try:
            result = run(server, options)
        finally:
            server.process.terminate()
            server.process.wait()
    print(json.dumps(result["checks"], indent=1))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json_text(result), encoding="utf-8")
    sys.exit(0 if result["passed"] else 1)


def run(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    before, start = speech(server), time.perf_counter()
    if not before:
        raise SystemExit(
            f"the server does not speak: {server.log.read_text(encoding='utf-8', errors='replace')}"
        )
    counts: Counter[tuple[str, str]] = Counter()
    files = memory = 0
    for number, seen in enumerate(attack(server, options.count, options.seed), start=1):
        counts[seen] += 1
        if number == options.count // 10:  # by then everything has been loaded
            files, memory = server.open_files(), server.memory_bytes()
    show(counts)
    outcomes = Counter(outcome for _, outcome in counts.elements())
    time.sleep(1)  # what was cut off ends
    checks = {
        "no status 500": outcomes["500"] == 0,
        "no defect": outcomes["defect"] == 0,
        "all answered or closed": outcomes["no answer"] == 0,
        "no traceback": not server.tracebacks(),
        "alive": server.process.poll() is None,
        "no file left open": server.open_files() <= files + FILES_MORE,
        "same speech by HTTP": speech(server) == before,
        "same speech by WebSocket": speech_by_socket(server) == before,
    }
    if not checks["no traceback"]:
        print(*server.tracebacks(), sep="\n")
    return {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": read_machine().to_json(),
        "versions": installed_versions(("sovits-export", "numpy", "onnxruntime", "uvicorn", "starlette")),
        "bundle_digest": Bundle.open(options.bundle).digest,
        "messages": options.count,
        "seed": options.seed,
        "seconds": time.perf_counter() - start,
        "outcomes": dict(outcomes.most_common()),
        "kinds": table(counts),
        "memory_growth_bytes": server.memory_bytes() - memory,
        "checks": checks,
        "passed": all(checks.values()),
    }


def table(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    kinds: dict[str, dict[str, int]] = {}
    for (kind, outcome), count in sorted(counts.items()):
        kinds.setdefault(kind, {})[outcome] = count
    return kinds


def show(counts: Counter[tuple[str, str]]) -> None:
    for kind, outcomes in table(counts).items():
        print(f"{kind:<40} {', '.join(f'{n} {outcome}' for outcome, n in outcomes.items())}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("reference", type=Path, help="recording of 3 to 10 s")
    parser.add_argument("--count", type=int, default=10_000, help="messages [10000]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
