"""Recordings by address, where the operator allows it: http and https, never to a private network.

The name is looked up once and the connection goes to the address that was checked, so that a name cannot change its
meaning in between. Every redirect is checked as the first address was.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from urllib.parse import urljoin, urlsplit

from sovits_server.problems import BadRequestError, ForbiddenError, TooLargeError

TIMEOUT_S = 10.0
LONGEST_S = 30.0
_MOST_REDIRECTS = 3
_BLOCK = 1 << 16
PARAM = "ref_audio_path"


def is_address(text: str) -> bool:
    """Whether a client's path is an address."""
    return text.strip().lower().startswith(("http://", "https://"))


def fetch(url: str, most_bytes: int, *, private: bool = False) -> bytes:
    """Reads what an address gives.

    Args:
        url: Of http or https.
        most_bytes: More is refused.
        private: Whether private networks are allowed too; for tests.

    Raises:
        ForbiddenError: It leads to this machine or a private network.
        BadRequestError: It cannot be read.
        TooLargeError: It gives too much.
    """
    end = time.monotonic() + LONGEST_S
    for _ in range(_MOST_REDIRECTS + 1):
        answer = _get(url, most_bytes, private=private, end=end)
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
    raise BadRequestError("the address of the recording redirects too often", param=PARAM)


def _get(url: str, most_bytes: int, *, private: bool, end: float) -> bytes | str:
    """The content, or where a redirect leads."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.scheme not in ("http", "https") or parts.username is not None:
        raise BadRequestError("the address of the recording is none of http or https", param=PARAM)
    secure = parts.scheme == "https"
    port = port or (443 if secure else 80)
    try:
        with _connect(host, port, private=private) as plain:
            context = ssl.create_default_context() if secure else None
            stream = context.wrap_socket(plain, server_hostname=host) if context else plain
            with stream:
                return _read(stream, host, parts.path, parts.query, most_bytes, end)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise BadRequestError(
            f"the recording cannot be fetched from {host[:80]}: {type(error).__name__}", param=PARAM
        ) from None


def _connect(host: str, port: int, *, private: bool) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not private and not all(is_public(address) for address in addresses):
        raise ForbiddenError(f"{host[:80]} is this machine or in a private network", param=PARAM)
    return socket.create_connection((addresses[0], port), timeout=TIMEOUT_S)


def is_public(address: str) -> bool:
    """Whether an address is one of the internet at large."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return is_public(str(inner))
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
    return ip.is_global and not ip.is_multicast


def _read(
    stream: socket.socket, host: str, path: str, query: str, most_bytes: int, end: float
) -> bytes | str:
    connection = http.client.HTTPConnection(host)
    connection.sock = stream
    connection.request(
        "GET",
        (path or "/") + (f"?{query}" if query else ""),
        headers={"User-Agent": "sovits-export", "Accept": "*/*"},
    )
    answer = connection.getresponse()
    if answer.status in (301, 302, 303, 307, 308) and (to := answer.getheader("Location")):
        return to
    if answer.status != 200:
        raise BadRequestError(f"{host[:80]} answers {answer.status} for the recording", param=PARAM)
    content = bytearray()
    while block := answer.read(_BLOCK):
        content += block
        if len(content) > most_bytes:
            raise TooLargeError(f"the recording at {host[:80]} is larger than {most_bytes >> 20} MB")
        if time.monotonic() > end:
            raise BadRequestError(f"{host[:80]} is too slow", param=PARAM)
    return bytes(content)
