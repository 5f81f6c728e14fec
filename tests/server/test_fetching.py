"""Recordings by address: only public ones, redirects included, with limits."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sovits_server.problems import BadRequestError, ForbiddenError, TooLargeError
from sovits_server.security.fetching import fetch, is_address, is_public


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        moves = {
            "/moved": "/sound",
            "/round": "/round",
            "/inside": "http://10.0.0.1/x",
            "/file": "file:///etc/passwd",
        }
        self.send_response(302 if self.path in moves else 404 if self.path == "/none" else 200)
        if self.path in moves:
            self.send_header("Location", moves[self.path])
        self.end_headers()
        self.wfile.write(b"x" * (5000 if self.path == "/large" else 100))

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def base():
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
     "255.255.255.255", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1",
     "64:ff9b::7f00:1", "2002:7f00:1::"],
)  # fmt: skip
def test_private_addresses_are_none(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f000001", "2130706433", "127.1"])
def test_this_machine_is_refused_however_it_is_written(host):
    with pytest.raises((ForbiddenError, BadRequestError)):
        fetch(f"http://{host}:1/a.wav", 100)


def test_a_redirect_to_a_private_address_is_refused(base, monkeypatch):
    monkeypatch.setattr("sovits_server.security.fetching.is_public", lambda address: address == "127.0.0.1")
    assert fetch(f"{base}/moved", 1000) == b"x" * 100
    with pytest.raises(ForbiddenError, match="private network"):
        fetch(f"{base}/inside", 1000)


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("/large", TooLargeError, "larger than"),
        ("/round", BadRequestError, "redirects too often"),
        ("/file", BadRequestError, "none of http or https"),
        ("/none", BadRequestError, "answers 404"),
    ],
)
def test_limits(base, path, error, words):
    with pytest.raises(error, match=words):
        fetch(base + path, 1000, private=True)


@pytest.mark.parametrize(
    "url", ["ftp://x/a", "http://", "http://user:pw@x/a", "http://x:99999/a", "https://\x00/a"]
)
def test_what_is_no_address(url):
    with pytest.raises(BadRequestError):
        fetch(url, 100)
    assert is_address(" HTTP://x")
    assert not is_address("http.wav")
