"""A device socket for load: WebSocket over asyncio streams of bytes, with as little Python per frame as possible.

The generator must not be the limit, so it does not use the client library: it masks with a zero key (allowed by RFC 6455 section
5.3, the payload then travels as it is), and hands raw payloads to a callback.
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections.abc import Callable
from typing import cast

from node.base import limits
from node.wire import c2s

_MASK = b"\0\0\0\0"


def client_frame(payload: bytes) -> bytes:
    """A masked binary frame whose mask changes nothing."""
    size = len(payload)
    if size < 126:
        return bytes((0x82, 0x80 | size)) + _MASK + payload
    if size < 65536:
        return struct.pack("!BBH", 0x82, 0xFE, size) + _MASK + payload
    return struct.pack("!BBQ", 0x82, 0xFF, size) + _MASK + payload


class LoadSocket(asyncio.Protocol):
    """Connects, upgrades, and calls `on_frame(payload)` for each message."""

    def __init__(self, *, host: str, token: str, on_frame: Callable[[bytes], None]) -> None:
        self._host = host
        self._token = token
        self.on_frame = on_frame
        self._buffer = bytearray()
        self._upgraded = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._stored = self._acked = 0
        self._acked_at = 0.0
        self._ack_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the upgrade."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET /c2s HTTP/1.1\r\nHost: {self._host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {c2s.SUBPROTOCOL}\r\n"
            f"Authorization: Bearer {self._token}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Cuts frames out of the stream."""
        buffer = self._buffer
        buffer += data
        if not self._upgraded and not self._handshake():
            return
        at, size = 0, len(buffer)
        while size - at >= 2:
            length, start = buffer[at + 1], at + 2
            if length == 126:
                if size - at < 4:
                    break
                length, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                if size - at < 10:
                    break
                length, start = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if size - start < length:
                break
            if buffer[at] == 0x82:
                self.on_frame(bytes(buffer[start : start + length]))
            at = start + length
        del buffer[:at]

    def _handshake(self) -> bool:
        head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not found:
            return False
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            self.opened.set_exception(ConnectionError(head.decode(errors="replace") + rest.decode(errors="replace")))
            return False
        self._upgraded = True
        self._buffer = bytearray(rest)
        self.opened.set_result(None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("closed before the upgrade"))

    def send(self, frame: c2s.Frame) -> None:
        """One frame."""
        assert self.transport is not None
        self.transport.write(client_frame(c2s.encode_frame(frame)))

    def acknowledge(self, seq: int) -> None:
        """Everything up to `seq` is stored: said as the clients of this project say it, once for what comes close together."""
        self._stored = seq
        wait_s = self._acked_at + limits.ACK_WITHIN_MS / 1000 - self._loop.time()
        if wait_s <= 0 or seq - self._acked >= limits.ACK_ENTRIES_MAX:
            self._acknowledge()
        elif self._ack_timer is None:
            self._ack_timer = self._loop.call_later(wait_s, self._acknowledge)

    def _acknowledge(self) -> None:
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        self._acked, self._acked_at = self._stored, self._loop.time()
        self.send(c2s.Ack(self._acked))

    def close(self) -> None:
        """Hangs up."""
        if self._ack_timer is not None:
            self._ack_timer.cancel()
        if self.transport is not None:
            self.transport.abort()


async def connect(host: str, port: int, token: str, on_frame: Callable[[bytes], None]) -> LoadSocket:
    """An upgraded socket that has not said hello."""
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(
        lambda: LoadSocket(host=f"{host}:{port}", token=token, on_frame=on_frame), host, port
    )
    await socket.opened
    return socket
