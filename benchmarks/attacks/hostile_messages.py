"""Hostile requests and frames, made from a random generator: what JSON can hold, and what no protocol allows."""

from __future__ import annotations

import gzip
import json
import random
import urllib.parse
from collections.abc import Callable

from websocket_client import BINARY, CLOSE, CONTINUATION, PING, TEXT
from websocket_client import frame as frame_of

WORDS = "Hi."
FIELDS = (
    "text", "input", "voice", "language", "text_lang", "response_format", "media_type", "speed",
    "speed_factor", "seed",
    "top_k", "ref_audio_path", "aux_ref_audio_paths", "streaming_mode", "stream_format", "text_split_method", "type",
    "weights_path", "emotion", "timestamps", "stream_audio", "instructions", "fragment_interval", "__class__", "",
)  # fmt: skip
TARGETS = (
    "/v1/audio/speech", "/tts", "/", "/infer_single", "/set_gpt_weights", "/set_refer_audio", "/change_refer",
    "/set_model",
    "/dev/captioned_speech", "/v1/audio/voices", "/models", "/control",
)  # fmt: skip
KINDS = ("session.config", "input.text", "input.done", "input.cancel")
LANGUAGES = ("zh", "yue", "en", "ja", "ko", "auto", "all_zh", "all_ja", "klingon")
VALUES = (
    "null", "true", "[]", "{}", "[[]]", '{"a": 1}', "-1", "0", "1.5", "1e400", "-1e400", "NaN", "Infinity",
    "-Infinity", "1e-400", "9" * 400, "9" * 5000, "18446744073709551616", "4294967296", '""', '" "',
    '"\\u0000"', '"\\u001b[2J"', '"\\ud800"', '"\\u202e"', '"' + "A" * 3000 + '"', '"1e400"', '"nan"', '"0x10"',
    '"\\u0663"', '"../../etc/passwd"', '"%s%n"', '"wav\\r\\nX: y"',
)  # fmt: skip
HEADERS = (
    "Content-Type: application/json; charset=nonsense", "Content-Type: application/json; charset=punycode",
    "Content-Type: application/json; charset=base64", "Content-Type: application/json; charset=utf-16",
    "Content-Type: multipart/form-data; boundary=", "Content-Type: " + "a" * 3000, "Content-Type:",
    "Content-Encoding: gzip", "Content-Encoding: br", "Content-Encoding: zstd", "Content-Encoding: " + "x" * 50,
    "Expect: 100-continue", "Expect: nonsense", "Range: bytes=-5", "If-None-Match: *", "Cookie: " + "a=b; " * 300,
    "X-\x7f: y", "Connection: Upgrade\r\nUpgrade: websocket", "Host:", "Origin: null", "Transfer-Encoding: identity",
)  # fmt: skip


def _scalar(rng: random.Random) -> bytes:
    return rng.choice(VALUES).encode()


def _wrong_field(rng: random.Random) -> bytes:
    words = json.dumps(WORDS)
    asked = {
        "text": words,
        "input": words,
        "type": json.dumps(rng.choice(KINDS)),
        rng.choice(FIELDS): rng.choice(VALUES),
    }
    return ("{" + ", ".join(f"{json.dumps(k)}: {v}" for k, v in asked.items()) + "}").encode()


def _deep(rng: random.Random) -> bytes:
    opening, closing = rng.choice([("[", "]"), ('{"a":', "}"), ('{"text":[', "]}")])
    depth = rng.choice([10, 900, 1100, 5000])
    return (opening * depth + rng.choice(["", "1"]) + rng.choice(["", closing * depth])).encode()


def _damaged(rng: random.Random) -> bytes:
    """A good message with a few bytes changed, cut or put in."""
    data = bytearray(
        json.dumps({"type": "input.text", "text": WORDS, "input": WORDS, "seed": 1, "speed": 1.0}).encode()
    )
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        data[at : at + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 2))
    return bytes(data)


def _noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice([0, 1, 7, 100, 5000]))


def _strange_encoding(rng: random.Random) -> bytes:
    text = json.dumps({"text": WORDS + " é☃", "input": WORDS, "seed": 1}, ensure_ascii=False)
    return text.encode(
        rng.choice(["utf-16", "utf-32", "utf-8-sig", "utf-7", "utf-16-le", "gb18030"]), "replace"
    )


def _strange_text(rng: random.Random) -> bytes:
    ranges = [
        (32, 127),
        (0, 32),
        (0x4E00, 0x9FFF),
        (0x3040, 0x30FF),
        (0xAC00, 0xD7A3),
        (0x1F300, 0x1FAFF),
        (0, 0xD7FF),
    ]
    low, high = rng.choice(ranges)
    text = "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(0, 30)))
    kind = rng.choice(KINDS)
    return json.dumps({"type": kind, "text": text, "input": text, "language": rng.choice(LANGUAGES)}).encode()


JSON: dict[str, tuple[int, Callable[[random.Random], bytes]]] = {
    "a value, not an object": (10, _scalar),
    "a field of a wrong kind": (30, _wrong_field),
    "deep JSON": (10, _deep),
    "damaged JSON": (15, _damaged),
    "random bytes": (10, _noise),
    "JSON in other encodings": (5, _strange_encoding),
    "random text": (5, _strange_text),
}


def _json(rng: random.Random) -> tuple[str, bytes]:
    kind = rng.choices(list(JSON), [weight for weight, _ in JSON.values()])[0]
    return kind, JSON[kind][1](rng)


def request(rng: random.Random) -> tuple[str, bytes]:
    """Bytes for the port, and what kind of thing they are."""
    if rng.random() < 0.5:
        kind, body = _json(rng)
        return kind, _post(body, to=rng.choice(TARGETS))
    kind = rng.choices(list(REQUESTS), [weight for weight, _ in REQUESTS.values()])[0]
    return kind, REQUESTS[kind][1](rng)


def _post(body: bytes, *headers: str, length: int | str | None = None, to: str = "/tts") -> bytes:
    claimed = len(body) if length is None else length
    lines = [
        f"POST {to} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {claimed}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def _header(rng: random.Random) -> bytes:
    header, body = rng.choice(HEADERS), _json(rng)[1]
    return _post(gzip.compress(body, mtime=0) if rng.random() < 0.2 else body, header)


def _bomb(rng: random.Random) -> bytes:
    """A little that becomes a lot when it is decompressed."""
    return _post(gzip.compress(b" " * rng.choice([10**5, 10**7]), 9, mtime=0), "Content-Encoding: gzip")


def _wrong_length(rng: random.Random) -> bytes:
    lengths = ["-1", "0", "1", "99999", "9" * 30, "abc", "0x5", "5, 5", ""]
    return _post(_json(rng)[1], length=rng.choice(lengths))


def _chunks(rng: random.Random) -> bytes:
    head = b"POST /tts HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    size = rng.choice([b"5", b"FFFFFFFFFFFFFFFFFF", b"-5", b"5;x=" + b"y" * 300, b"zz", b"0", b""])
    return (
        head + size + b"\r\n" + rng.choice([b"hello", b"", b"{}"]) + b"\r\n" + rng.choice([b"0\r\n\r\n", b""])
    )


def _query(rng: random.Random) -> bytes:
    name, value = (
        rng.choice(FIELDS),
        json.loads('"x"') if rng.random() < 0.1 else rng.choice(VALUES).strip('"'),
    )
    query = f"text={urllib.parse.quote(WORDS)}&{name}={urllib.parse.quote(value[:2000])}"
    raw = rng.choice([query, query + "&" * 50, "=" * 30, "%", "%ff%fe", "text=%00", "a" * 9000])
    return f"GET /tts?{raw} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


PATHS = (
    "/../../etc/passwd", "//tts", "/tts/../tts", "/%2e%2e/", "/" + "a" * 9000, "*", "http://x/tts", "/\x00",
    "/serve.py", "/v1/audio/speech/stream", "/outputs/x.wav", "/models/v4", "/page.js", "/metrics",
    "/openapi.json", "/?" + "a=" * 50, "/tts%20", "\\",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "\x01")
NOT_HTTP = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\r\n" * 50, b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n", b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n folded\r\n\r\n", b"GET / HTTP/1.1\nHost: localhost\n\n",
    b"\x00" * 300, b"GET " + b"/" * 70_000,
)  # fmt: skip


def _path(rng: random.Random) -> bytes:
    line = f"{rng.choice(METHODS)} {rng.choice(PATHS)} HTTP/1.1"
    return f"{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def _not_http(rng: random.Random) -> bytes:
    data = rng.choice(NOT_HTTP)
    return rng.choice([data, rng.randbytes(200), data + rng.randbytes(50)])


def _upgrade(rng: random.Random) -> bytes:
    lines = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + "A" * 22 + "==",
    ]
    lines[rng.randrange(4)] = rng.choice(
        ["Upgrade: h2c", "Sec-WebSocket-Version: 99", "Sec-WebSocket-Key: x", "A: b"]
    )
    return "\r\n".join(["GET /v1/audio/speech/stream HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


REQUESTS: dict[str, tuple[int, Callable[[random.Random], bytes]]] = {
    "header that does not fit": (15, _header),
    "body that decompresses to megabytes": (1, _bomb),
    "wrong length": (8, _wrong_length),
    "wrong chunks": (5, _chunks),
    "query": (8, _query),
    "method and path": (7, _path),
    "not HTTP": (5, _not_http),
    "half an upgrade": (2, _upgrade),
}


def frame(rng: random.Random) -> tuple[str, bytes]:
    """A WebSocket frame, or what pretends to be one, that asks for an answer or breaks the protocol."""
    if rng.random() < 0.8:
        kind, data = _json(rng)
        return kind, frame_of(TEXT, data)
    kind = rng.choice(list(FRAMES))
    return kind, FRAMES[kind](rng)


FRAMES: dict[str, Callable[[random.Random], bytes]] = {
    "binary": lambda rng: frame_of(BINARY, _json(rng)[1]),
    "not masked": lambda rng: frame_of(TEXT, b"{}", masked=False),
    "unknown opcode": lambda rng: frame_of(rng.choice([3, 7, 11, 15]), b"{}"),
    "reserved bits": lambda rng: frame_of(TEXT, b"{}", reserved=rng.randint(1, 7)),
    "too long": lambda rng: frame_of(TEXT, b" " * 70_000),
    "claims to be too long": lambda rng: frame_of(TEXT, b"{}", claimed=rng.choice([1 << 20, 1 << 62])),
    "a continuation of nothing": lambda rng: frame_of(CONTINUATION, b"{}"),
    "a ping in pieces": lambda rng: frame_of(PING, b"x", final=False),
    "a ping that is too long": lambda rng: frame_of(PING, b"x" * 200),
    "a close of a wrong code": lambda rng: frame_of(
        CLOSE, rng.choice([b"", b"\x00", b"\x00\x01", b"\x03\xe8\xff\xfe"])
    ),
    "a message in pieces": lambda rng: b"".join(
        [frame_of(TEXT, b'{"text"', final=False), frame_of(CONTINUATION, b": 3}")]
    ),
    "no frame": lambda rng: b"GET / HTTP/1.1\r\n\r\n",
}
