"""One request over HTTP, by Python's own client: proxies of the environment, redirects, no secrets to strangers.

Why not `huggingface_hub`: it checks sizes and not digests, knows one protocol of four that are needed here (hubs,
ModelScope, releases of GitHub, plain files), fetches the contents of its repositories from hosts that mirrors do not
cover, and brings a dozen packages. What is needed is Range, If-Range, a digest and a rename.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

from sovits_exporter.fetching.errors import BrokenError, UselessError
from sovits_runtime.errors import first_line
from sovits_runtime.machine import own_version

TIMEOUT_S = 30.0
_TOKEN_ORIGIN = ("https", "huggingface.co")
_LONGEST_WAIT_S = 120.0
_GONE = {401: "wants a login", 403: "refuses", 404: "has no such file", 410: "has no such file any more"}
_BUSY = (429, 503)
_REFUSED_RANGE = 416


@dataclass(frozen=True)
class Answer:
    """An answer of a server, its body to be read.

    Attributes:
        status: 200, 206 or 416.
        headers: Of the last answer, in lower case.
        first_headers: Of the first one, where redirects lie between.
        body: Reads the body.
    """

    status: int
    headers: Mapping[str, str]
    first_headers: Mapping[str, str]
    body: IO[bytes]

    def read(self, size: int) -> bytes:
        """At most so many bytes, as soon as there are any; none at the end.

        Raises:
            BrokenError: The connection broke off.
        """
        with _broken():
            read = getattr(self.body, "read1", self.body.read)
            return bytes(read(size))


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects; what is secret stays with the host that it was for, and what was encrypted stays so."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme, new.scheme) == ("https", "http"):
            raise UselessError(f"leads to {new.scheme}://{new.hostname}, expected https")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            if (old.scheme, old.hostname, old.port) != (new.scheme, new.hostname, new.port):
                request.remove_header("Authorization")
            vars(request)["first_headers"] = vars(req).get("first_headers") or _lower(headers)
            vars(request)["redirected_from"] = req
        return request


@contextmanager
def asked(url: str, headers: Mapping[str, str], *, token: str = "") -> Iterator[Answer]:
    """Sends a request and yields the answer.

    Args:
        url: http or https.
        headers: Beside those that every request has.
        token: Of Hugging Face, which nobody else is shown.

    Raises:
        BrokenError: The connection or the server failed, perhaps for a while.
        UselessError: The server does not give the file.
    """
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise UselessError(f"{url!r} is no address, expected https://...")
    request = urllib.request.Request(url, headers={**_always(), **headers})
    if token and (place.scheme, place.hostname) == _TOKEN_ORIGIN:
        request.add_header("Authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(_Redirects)
    with contextlib.ExitStack() as stack:
        last: list[urllib.request.Request] = []
        opener.add_handler(_LastRequest(last))
        with _broken():
            try:
                response = stack.enter_context(opener.open(request, timeout=TIMEOUT_S))
            except urllib.error.HTTPError as error:
                response = stack.enter_context(error)
        first = vars(last[-1]).get("first_headers") if last else None
        found = _lower(response.headers)
        _check_status(int(response.status), found)
        yield Answer(int(response.status), found, first or found, response)


class _LastRequest(urllib.request.BaseHandler):
    """Remembers the request that was sent last, which knows where the redirects began."""

    def __init__(self, requests: list[urllib.request.Request]) -> None:
        self.requests = requests

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        self.requests.append(request)
        return request

    https_request = http_request


def _always() -> dict[str, str]:
    return {"User-Agent": f"sovits-export/{own_version()}", "Accept-Encoding": "identity", "Accept": "*/*"}


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in headers.items()}


def _check_status(status: int, headers: Mapping[str, str]) -> None:
    if status in (200, 206, _REFUSED_RANGE):
        return
    if status in _GONE:
        raise UselessError(f"{_GONE[status]} (HTTP {status})")
    if status in _BUSY:
        wait = _retry_after_s(headers)
        if wait is not None and wait > _LONGEST_WAIT_S:
            raise UselessError(f"asks to wait {wait:.0f} s (HTTP {status})")
        raise BrokenError(f"is busy (HTTP {status})", wait)
    if 500 <= status < 600:
        raise BrokenError(f"fails (HTTP {status})")
    if 300 <= status < 400:
        raise UselessError(f"leads nowhere, expected https (HTTP {status})")
    raise UselessError(f"answers HTTP {status}")


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, which it may give as a number or as a date."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


@contextmanager
def _broken() -> Iterator[None]:
    """What goes wrong on the way becomes a `BrokenError`; a certificate that is wrong stays so."""
    try:
        yield
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise UselessError(
                f"has a certificate that is not trusted ({error.reason.verify_message})"
            ) from error
        raise BrokenError(f"cannot be reached ({first_line_of(error.reason)})") from error
    except (OSError, http.client.HTTPException) as error:
        raise BrokenError(f"broke off ({first_line(error)})") from error


def first_line_of(reason: object) -> str:
    """What a reason says, which may be text or an error."""
    return first_line(reason) if isinstance(reason, BaseException) else str(reason)
