"""A file from one of several addresses: goes on where it broke off, and counts only when its digest is right.

    FOLDER/.fetch/NAME-KEY.part    what has come so far
    FOLDER/.fetch/NAME-KEY.json    of which file it is: the validator that a server gave

A server is told the validator that it gave itself, so a file that changed begins anew. Another server may go on where
the first one stopped if the digest is known: parts that do not go together are noticed at the end.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from sovits_exporter.fetching.catalog import Endpoint, Item
from sovits_exporter.fetching.errors import BrokenError, FetchError, UselessError
from sovits_exporter.fetching.transport import Answer, asked
from sovits_runtime.bundle.files import key_of, sha256_file
from sovits_runtime.bundle.places import naming
from sovits_runtime.errors import printable
from sovits_runtime.machine.json_file import LFS_POINTER

log = logging.getLogger(__name__)

ATTEMPTS = 5
"""How often an address is tried without a byte that is new."""
PIECE = 1 << 18
_PAUSES_S = (1.0, 2.0, 4.0, 8.0)
_MOST_UNKNOWN = 4
"""How many times larger than about its size a file may be whose size is not known."""
_WEB_PAGE = (b"<!doctype html", b"<html")
_SHA256 = re.compile(r'(?:W/)?"?([0-9a-f]{64})"?')
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True)
class Network:
    """How servers are spoken to.

    Attributes:
        endpoints: Hubs, in the order in which they are asked.
        token: Of Hugging Face; empty: none.
        say: Is told what goes wrong and what is done about it.
    """

    endpoints: Sequence[Endpoint]
    token: str
    say: Callable[[str], None] = log.warning


@dataclass(frozen=True)
class Fetched:
    """A file that has come.

    Attributes:
        path: Where it lies for now.
        sha256: Of all of it.
        bytes: Its size.
        url: Where it came from.
        revision: The commit that the server named, if it did.
    """

    path: Path
    sha256: str
    bytes: int
    url: str
    revision: str


def download(item: Item, folder: Path, network: Network, on_bytes: Callable[[int], None]) -> Fetched:
    """Fetches a file and verifies it; the caller puts it in its place.

    Args:
        item: What to fetch.
        folder: Where what has come so far is kept.
        network: Who is asked.
        on_bytes: Called with how many bytes there are, also when it starts anew.

    Raises:
        FetchError: No address gave it, and why.
        OSError: It cannot be written; what has come is kept.
    """
    problems = []
    for server, url in item.addresses(network.endpoints):
        try:
            return _Download(item, folder, network, on_bytes).run(server, url)
        except UselessError as error:
            problems.append(f"{server} {printable(str(error))}")
            network.say(f"{item.name}: {problems[-1]}")
    raise FetchError(
        f"{item.path}: could not be fetched: {'; '.join(problems)}. Check the connection or the proxy ($HTTPS_PROXY), "
        "name another endpoint with --endpoint or $HF_ENDPOINT, or get the file yourself and give its folder "
        "with --from"
    )


class _Download:
    """One file; see `download`."""

    def __init__(self, item: Item, folder: Path, network: Network, on_bytes: Callable[[int], None]) -> None:
        self.item, self.network, self.on_bytes = item, network, on_bytes
        key = key_of({"path": item.path, "sha256": item.sha256}, 8)
        self.part = folder / f"{item.name}-{key}.part"
        self.state = self.part.with_suffix(".json")
        self.resumed = False

    def run(self, server: str, url: str) -> Fetched:
        """Tries one address until it gives the file, or is useless."""
        failures, before = 0, self._size()
        while True:
            try:
                answer = self._receive(server, url)
                return self._verified(url, answer)
            except BrokenError as error:
                size = self._size()
                failures = 0 if size > before else failures + 1
                before = size
                if failures >= ATTEMPTS:
                    raise UselessError(f"{error}, {failures} times") from error
                wait = _PAUSES_S[min(failures, len(_PAUSES_S) - 1)] if error.wait_s is None else error.wait_s
                self.network.say(f"{self.item.name}: {server} {printable(str(error))}; again in {wait:.0f} s")
                sleep(wait)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _receive(self, server: str, url: str) -> Mapping[str, str]:
        """Receives what is missing; returns the headers of the first answer."""
        start = self._size()
        validator = self._validator(server)
        if start and not (validator or self.item.sha256):
            start = 0  # nothing would tell two files apart
        headers = {}
        if start:
            headers["Range"] = f"bytes={start}-"
            if validator:
                headers["If-Range"] = validator
        with asked(url, headers, token=self.network.token) as answer:
            start, total = self._begin(server, answer, start)
            self._write(answer, start, total)
        return answer.first_headers

    def _validator(self, server: str) -> str:
        try:
            value = json.loads(self.state.read_text(encoding="utf-8"))
            return str(value["validator"]) if value["server"] == server else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _begin(self, server: str, answer: Answer, start: int) -> tuple[int, int | None]:
        """Where this answer goes on, and the size of the whole; refuses what is another file."""
        if answer.status == 416:
            self._forget()
            raise BrokenError("has no more of it, so it begins anew", 0.0)
        if "text/html" in answer.headers.get("content-type", ""):
            raise UselessError("gives a web page, as a login or a proxy does")
        length = answer.headers.get("content-length", "")
        total = int(length) if length.isdecimal() else None
        if answer.status == 206:
            given = _RANGE.fullmatch(answer.headers.get("content-range", ""))
            if given is None or int(given[1]) != start:
                self._forget()
                raise BrokenError("gave another part than was asked for, so it begins anew", 0.0)
            total = int(given[2]) if given[2].isdecimal() else None
            self.resumed = True
        else:
            start = 0
            self.resumed = False
            self._remember(server, answer.headers)
        if total is not None and self.item.bytes is not None and total != self.item.bytes:
            self._forget()
            raise UselessError(f"has a file of {total} bytes, expected {self.item.bytes}")
        return start, total

    def _remember(self, server: str, headers: Mapping[str, str]) -> None:
        """Keeps what tells this file from a later one, where that is strong enough for parts."""
        tag = headers.get("etag", "")
        validator = "" if tag.startswith("W/") else tag
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self.state.write_text(json.dumps({"server": server, "validator": validator}), encoding="utf-8")

    def _write(self, answer: Answer, start: int, total: int | None) -> None:
        most = self.item.bytes or total or _MOST_UNKNOWN * self.item.about_bytes
        size = start
        with naming(self.part), self.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            while piece := answer.read(PIECE):
                if size == 0:
                    _refuse_strange(piece)
                size += len(piece)
                if size > most:
                    break
                file.write(piece)
                self.on_bytes(size)
        if size > most:
            self._forget()
            raise UselessError(f"sends more than {most} bytes")
        expected = total if total is not None else self.item.bytes
        if expected is not None and size < expected:
            raise BrokenError(f"broke off after {size} of {expected} bytes")

    def _verified(self, url: str, headers: Mapping[str, str]) -> Fetched:
        """Compares the digest with what is expected, or at the first fetch with what the server says."""
        digest = sha256_file(self.part)
        told = _SHA256.fullmatch(headers.get("x-linked-etag", ""))
        expected = self.item.sha256 or (told[1] if told else digest)
        if digest != expected:
            self._forget()
            if self.resumed:
                raise BrokenError("gave parts that do not go together, so it begins anew", 0.0)
            raise UselessError(f"gave other bytes: sha256 {digest[:16]}..., expected {expected[:16]}...")
        self.state.unlink(missing_ok=True)
        revision = headers.get("x-repo-commit", "")
        return Fetched(self.part, digest, self._size(), url, revision)

    def _forget(self) -> None:
        for path in (self.part, self.state):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def _refuse_strange(piece: bytes) -> None:
    """Refuses what is not the file, whatever it is called.

    Raises:
        UselessError: It begins as a web page, or as what Git LFS has in place of a file.
    """
    if piece[:64].lstrip().lower().startswith(_WEB_PAGE):
        raise UselessError("gives a web page, as a login or a proxy does")
    if piece.startswith(LFS_POINTER):
        raise UselessError("gives a Git LFS pointer, not the file itself")
