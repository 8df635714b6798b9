"""Sockets that carry frames. A `FrameSocket` is all that protocol code sees of a WebSocket.

Sending is not a coroutine: a server's WebSocket frames are not masked, so a frame shared by many sockets is built once
(`ws_frame`) and written as it is. Nothing is queued here beyond the transport's own buffer; whoever sends looks at `buffered`.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final

from aiohttp import WSMsgType, web

from node.base.errors import RemoteError

_BINARY: Final = 0x82  # FIN + opcode 2, RFC 6455 section 5.2
_CLOSE: Final = 0x88
_NORMAL: Final = 1000


def ws_frame(payload: bytes) -> bytes:
    """A whole unmasked binary WebSocket frame."""
    return _header(_BINARY, len(payload)) + payload


def _header(first: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return struct.pack("!BBH", first, 126, size)
    return struct.pack("!BBQ", first, 127, size)


class FrameSocket:
    """An accepted WebSocket of binary messages."""

    __slots__ = ("_closed", "_held", "_transport", "_ws", "address")

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.Transport, address: str) -> None:
        self._ws = ws
        self._transport = transport
        self._closed = False
        self._held: list[bytes] | None = None
        self.address = address

    async def receive(self) -> bytes | None:
        """The next message; None when the connection is over. Raises RemoteError for anything but binary messages."""
        message = await self._ws.receive()
        if message.type is WSMsgType.BINARY:
            data: bytes = message.data
            return data
        if message.type is WSMsgType.TEXT:
            raise RemoteError("text messages are not part of this protocol")
        if message.type is WSMsgType.ERROR:
            raise RemoteError(str(message.data))
        return None

    def send(self, payload: bytes) -> None:
        """Sends one binary message."""
        self.send_framed(ws_frame(payload))

    def send_framed(self, frame: bytes) -> None:
        """Sends what `ws_frame` made."""
        if self._held is not None:
            self._held.append(frame)
        elif not self._closed and not self._transport.is_closing():
            self._transport.write(frame)

    def hold(self) -> None:
        """Gathers what is sent until `release`: one write to the kernel for several small frames."""
        self._held = []

    def release(self) -> None:
        """Sends what was gathered."""
        held, self._held = self._held, None
        if held:
            self.send_framed(b"".join(held))

    @property
    def buffered(self) -> int:
        """Bytes not yet taken by the kernel."""
        return 0 if self._closed else self._transport.get_write_buffer_size()

    def close(self, code: int = _NORMAL, reason: str = "") -> None:
        """Says why (RFC 6455 section 5.5.1), flushes what is buffered and closes."""
        if self._closed:
            return
        self.release()
        payload = struct.pack("!H", code) + reason.encode()[:120]
        self.send_framed(_header(_CLOSE, len(payload)) + payload)
        self._closed = True
        self._transport.close()

    def abort(self) -> None:
        """Drops the connection and what is buffered."""
        self._closed = True
        self._transport.abort()
