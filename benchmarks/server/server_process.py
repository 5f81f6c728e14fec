"""A server as a process: started, watched, killed. Linux."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

START = "from sovits_exporter.cli.start import main; main()"
READY_S = 300.0


@dataclass(frozen=True)
class Usage:
    """What a process has.

    Attributes:
        private_bytes: Memory that mirrors no file.
        resident_bytes: All of it.
        threads: Their number.
        files: Open ones.
    """

    private_bytes: int
    resident_bytes: int
    threads: int
    files: int


class ServerProcess:
    """A server of ours, or another's, and how it is doing.

    Args:
        command: That starts it.
        base: Its address.
        ready: Path that answers 200 once it can speak.
        log: Where its output goes.
        environment: Variables beside our own.
        folder: Where it runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        base: str,
        *,
        ready: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.base = base
        self._start = time.perf_counter()
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=folder,
            )
        self._ready = ready
        self._log = log

    def wait(self, *, good: Sequence[int] = (200,)) -> float:
        """Waits until it can speak; returns the seconds since it was started.

        Raises:
            SystemExit: It ended, or takes too long.
        """
        while time.perf_counter() - self._start < READY_S:
            if self.process.poll() is not None:
                break
            if self._status() in good:
                return time.perf_counter() - self._start
            time.sleep(0.02)
        tail = self._log.read_text(errors="replace")[-2000:]
        self.kill()
        raise SystemExit(f"the server at {self.base} does not get ready:\n{tail}")

    def _status(self) -> int:
        """What it answers; 0: nothing. Asked so that it costs the server's cores next to nothing."""
        address = urlsplit(self.base)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=5)
        try:
            connection.request("GET", self._ready)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def usage(self) -> Usage:
        """What it has now, with all processes that it started."""
        found = [_usage(pid) for pid in _family(self.process.pid)]
        return Usage(*(sum(values) for values in zip(*(vars(one).values() for one in found), strict=True)))

    def kill(self) -> None:
        """Ends it as `kill -9` does."""
        for pid in reversed(_family(self.process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def own_server(voices: Path, log: Path, *options: str) -> ServerProcess:
    """`sovits-export serve` on a free port.

    Args:
        voices: Folder of voices.
        log: Where its output goes.
        options: Of the command line.
    """
    port = free_port()
    words = ["serve", "--voices", str(voices), "--port", str(port), *options]
    return ServerProcess(
        [sys.executable, "-c", START, *words], f"http://127.0.0.1:{port}", ready="/ready", log=log
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        try:
            listed = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8")
        except OSError:
            continue
        found += [int(child) for child in listed.split()]
    return found


def _usage(pid: int) -> Usage:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return Usage(0, 0, 0, 0)
    kilobytes = {name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB", status, re.MULTILINE)}
    threads = re.search(r"^Threads:\s+(\d+)", status, re.MULTILINE)
    private, resident = kilobytes.get("RssAnon", 0), kilobytes.get("VmRSS", 0)
    return Usage(private << 10, resident << 10, int(threads[1]) if threads else 0, files)
