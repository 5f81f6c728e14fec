"""A hub on this machine, which serves as asked, or in every wrong way that a test names."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Behaviour = Callable[["Handler", bytes], None]
"""Answers a request in its own way; is given the file's content."""


@dataclass
class Hub:
    """A running server.

    Attributes:
        url: Where it is.
        files: Path -> content.
        ways: What the next requests get; then all are answered well.
        seen: The requests: path, headers.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ways: list[Behaviour] = field(default_factory=list)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def put(self, item: Any, content: bytes) -> None:
        """Serves a file of the catalog, as Hugging Face and as ModelScope do."""
        self.files[f"/{item.repository.hub}/resolve/{item.repository.revision}/{item.hub_path}"] = content
        self.files[f"/models/{item.repository.modelscope}/resolve/master/{item.hub_path}"] = content


class Handler(BaseHTTPRequestHandler):
    """Answers GET, with parts and validators."""

    hub: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        content = self.hub.files.get(path)
        if self.hub.ways:
            self.hub.ways.pop(0)(self, content or b"")
        elif content is None:
            self.send_error(404)
        else:
            serve(self, content)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


def tag_of(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()}"'


def serve(
    handler: Handler, content: bytes, *, stop: int | None = None, headers: dict[str, str] | None = None
) -> None:
    """Serves as a good server does; `stop`: breaks off after so many bytes of this answer."""
    start, status = 0, 200
    wanted, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
    if wanted and condition in (None, tag_of(content)):
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        status = 206 if start < len(content) else 416
    handler.send_response(status)
    if status == 206:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    body = b"" if status == 416 else content[start:]
    given = {
        "Content-Length": str(len(body)),
        "ETag": tag_of(content),
        "Content-Type": "application/octet-stream",
    }
    for name, value in {**given, **(headers or {})}.items():
        if value:
            handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body[:stop])


def breaking(after: int, **headers: str) -> Behaviour:
    """Breaks off after some bytes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, content: serve(handler, content, stop=after, headers=named)


def answering(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """Answers with a status, headers and a body."""

    def way(handler: Handler, content: bytes) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            if value:
                handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return way


@contextmanager
def running() -> Iterator[Hub]:
    """Starts a hub, and ends it with the block."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneHandler", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
