"""A WebSocket client that sends any bytes it is told to, as frames of RFC 6455 and otherwise."""

from __future__ import annotations

import base64
import os
import socket
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(
    opcode: int, data: bytes, *, final: bool = True, masked: bool = True, reserved: int = 0, claimed: int = -1
) -> bytes:
    """A frame.

    Args:
        opcode: Of the frame.
        data: Its payload.
        final: Whether the message ends with it.
        masked: As a client's frames must be.
        reserved: The three reserved bits, which must be 0.
        claimed: The length that its head claims; -1: the true one.
    """
    length = len(data) if claimed < 0 else claimed
    mask_bit = 128 if masked else 0
    head = bytes([(128 if final else 0) | (reserved << 4) | opcode])
    if length < 126:
        head += bytes([mask_bit | length])
    elif length < 1 << 16:
        head += struct.pack(">BH", mask_bit | 126, length)
    else:
        head += struct.pack(">BQ", mask_bit | 127, length)
    if not masked:
        return head + data
    mask = os.urandom(4)
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return head + mask + (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


class Client:
    """One connection, after its handshake.

    Raises:
        ConnectionError: The server does not take it, or, later on, closes it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = b""
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            "GET /v1/audio/speech/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        )
        self.connection.sendall(head.encode())
        while b"\r\n\r\n" not in self.received:
            self._more()
        answer, _, self.received = self.received.partition(b"\r\n\r\n")
        if b" 101 " not in answer.split(b"\r\n")[0]:
            raise ConnectionError(answer)

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.connection.sendall(data)

    def send_text(self, text: str) -> None:
        """Sends a proper message."""
        self.send(frame(TEXT, text.encode()))

    def receive(self) -> tuple[int, bytes]:
        """Gives opcode and payload of the next frame."""
        head = self._take(2)
        length = head[1] & 127
        if length == 126:
            (length,) = struct.unpack(">H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._take(8))
        return head[0] & 15, self._take(length)

    def close(self) -> None:
        """Closes the connection."""
        self.connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, count: int) -> bytes:
        while len(self.received) < count:
            self._more()
        taken, self.received = self.received[:count], self.received[count:]
        return taken

    def _more(self) -> None:
        data = self.connection.recv(1 << 16)
        if not data:
            raise ConnectionError("closed")
        self.received += data
