"""The client's end of a WebSocket of binary frames, over any transport that the event loop connects.

Small on purpose: one upgrade request with a subprotocol, then frames (RFC 6455). It has the interface of `net.FrameSocket`, so protocol
code does not know who dialled. No redirects, no cookies, no compression, no proxies. Frames of a client are masked with 4 random
bytes each (section 5.3). What arrives and is not yet taken is bounded: above `unread_bytes_max` the transport stops reading.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import ssl
import struct
from collections import deque
from collections.abc import Callable
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from node.base.errors import RemoteError

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD_BYTES_MAX: Final = 8 * 1024
_CONTROL_BYTES_MAX: Final = 125
_TEXT, _BINARY, _CLOSE, _PING, _PONG, _CONTINUED = 1, 2, 8, 9, 10, 0
_NORMAL: Final = 1000
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3})(?: |$)")


class Target(Struct, frozen=True):
    """A parsed ``ws://`` or ``wss://`` address."""

    host: str
    port: int
    path: str
    secure: bool


class UpgradeRefused(RemoteError):
    """The server answered, but with no WebSocket of ours; `status` is that of HTTP, 0 when it was none."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def parse_url(url: str) -> Target:
    """Raises ValueError for anything but ``ws://host:port/path`` and ``wss://…``."""
    parts = urlsplit(url)
    if parts.scheme not in {"ws", "wss"} or not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError("an address of a node looks like wss://casa.example/s2s")
    secure = parts.scheme == "wss"
    return Target(unquote(parts.hostname), parts.port or (443 if secure else 80), parts.path or "/", secure)


def client_context(*, check: bool) -> ssl.SSLContext:
    """TLS for dialling. Without `check` any certificate will do: who is there is proved inside."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not check:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def dial(
    target: Target,
    *,
    subprotocol: str,
    token_bytes: Callable[[int], bytes],
    message_bytes_max: int,
    unread_bytes_max: int,
    context: ssl.SSLContext | None = None,
    ip: str = "",
    port: int = 0,
) -> DialledSocket:
    """Connects and upgrades; the caller sets the time limit. `ip` and `port` are where to connect in fact, if not to the target's own.

    Raises OSError, ssl.SSLError, RemoteError.
    """
    loop = asyncio.get_running_loop()
    protocol = DialledSocket(
        token_bytes=token_bytes, message_bytes_max=message_bytes_max, unread_bytes_max=unread_bytes_max
    )
    if target.secure:
        assert context is not None
        server_hostname = target.host.partition("%")[0]
        await loop.create_connection(
            lambda: protocol, ip or target.host, port or target.port, ssl=context, server_hostname=server_hostname
        )
    else:
        await loop.create_connection(lambda: protocol, ip or target.host, port or target.port)
    try:
        await protocol.upgrade(target, subprotocol)
    except BaseException:
        protocol.abort()
        raise
    return protocol


class DialledSocket(asyncio.Protocol):
    """The interface of `net.FrameSocket`; made by `dial`."""

    def __init__(self, *, token_bytes: Callable[[int], bytes], message_bytes_max: int, unread_bytes_max: int) -> None:
        self._token_bytes = token_bytes
        self._message_bytes_max = message_bytes_max
        self._unread_bytes_max = unread_bytes_max
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._upgraded = False
        self._parts: list[bytes] = []
        self._messages: deque[bytes] = deque()
        self._unread = 0
        self._paused = False
        self._over = False
        self._error: RemoteError | None = None
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self.address = ""
        self.certificate: bytes | None = None  # SHA-256 of the TLS leaf seen

    # --- asyncio.Protocol -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        self._transport = cast(asyncio.Transport, transport)  # that of uvloop with TLS has no common base
        peer = transport.get_extra_info("peername")
        self.address = f"{peer[0]}" if peer else ""
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.certificate = hashlib.sha256(tls.getpeercert(binary_form=True) or b"").digest()

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer, then of frames."""
        self._buffer += data
        try:
            if self._upgraded:
                while self._take_frame():
                    pass
            elif len(self._buffer) > _HEAD_BYTES_MAX and b"\r\n\r\n" not in self._buffer[:_HEAD_BYTES_MAX]:
                raise UpgradeRefused(0, "the answer to the upgrade is too long")
        except RemoteError as error:
            self._error = error
            self.abort()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._over = True
        self._wake()

    def eof_received(self) -> bool:
        """The other side says nothing more."""
        return False

    # --- upgrade ----------------------------------------------------------------------------------------

    async def upgrade(self, target: Target, subprotocol: str) -> None:
        """Asks for the WebSocket. Raises RemoteError."""
        assert self._transport is not None
        key = base64.b64encode(self._token_bytes(16))
        host = f"[{target.host}]" if ":" in target.host else target.host
        lines = (
            f"GET {target.path} HTTP/1.1",
            f"Host: {host}:{target.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {subprotocol}",
        )
        self._transport.write("\r\n".join((*lines, "", "")).encode("ascii"))
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if self._over:
                raise self._error or UpgradeRefused(0, "the connection closed before it was upgraded")
            await self._wait()
        head, self._buffer = bytes(self._buffer[:end]), self._buffer[end + 4 :]
        _check_head(head, base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()), subprotocol)
        self._upgraded = True
        self.data_received(b"")

    # --- the frame socket -------------------------------------------------------------------------------

    async def receive(self) -> bytes | None:
        """The next message; None when the connection is over. Raises RemoteError for anything but binary messages."""
        while not self._messages:
            if self._error is not None:
                raise self._error
            if self._over or self._closed:
                return None
            await self._wait()
        message = self._messages.popleft()
        self._unread -= len(message)
        if self._paused and self._unread <= self._unread_bytes_max // 2 and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return message

    def send(self, payload: bytes) -> None:
        """Sends one binary message."""
        self._write(_BINARY, payload)

    @property
    def buffered(self) -> int:
        """Bytes not yet taken by the kernel."""
        return 0 if self._closed or self._transport is None else self._transport.get_write_buffer_size()

    def close(self, code: int = _NORMAL, reason: str = "") -> None:
        """Says why, flushes what is buffered and closes."""
        if self._closed:
            return
        self._write(_CLOSE, struct.pack("!H", code) + reason.encode()[:120])
        self._closed = True
        if self._transport is not None:
            self._transport.close()
        self._wake()

    def abort(self) -> None:
        """Drops the connection and what is buffered."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    # --- frames -----------------------------------------------------------------------------------------

    def _write(self, opcode: int, payload: bytes) -> None:
        if self._closed or self._transport is None or self._transport.is_closing():
            return
        mask = self._token_bytes(4)
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        self._transport.write(head + mask + _masked(payload, mask))

    def _take_frame(self) -> bool:
        """Takes one frame off the buffer; False when it is not complete. Raises RemoteError."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        final, opcode, size, start = bool(buffer[0] & 0x80), buffer[0] & 0x0F, buffer[1], 2
        if buffer[0] & 0x70 or size & 0x80:
            raise RemoteError("the frame has bits that nobody agreed on")
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(buffer) < start:
                return False
            size = int.from_bytes(buffer[2:start])
        if size > (_CONTROL_BYTES_MAX if opcode & 0x8 else self._message_bytes_max):
            raise RemoteError("the message is too long")
        if len(buffer) < start + size:
            return False
        payload = bytes(memoryview(buffer)[start : start + size])
        del buffer[: start + size]
        self._on_frame(opcode, payload, final=final)
        return True

    def _on_frame(self, opcode: int, payload: bytes, *, final: bool) -> None:
        if opcode == _PING and final:
            self._write(_PONG, payload)
        elif opcode == _CLOSE and final:
            self.close()
        elif (opcode == _BINARY and not self._parts) or (opcode == _CONTINUED and self._parts):
            self._on_part(payload, final=final)
        elif opcode != _PONG or not final:
            raise RemoteError("only binary messages are part of this protocol")

    def _on_part(self, payload: bytes, *, final: bool) -> None:
        self._parts.append(payload)
        if sum(map(len, self._parts)) > self._message_bytes_max or len(self._parts) > 64:
            raise RemoteError("the message is too long")
        if not final:
            return
        message = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        self._messages.append(message)
        self._unread += len(message)
        if self._unread > self._unread_bytes_max and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    async def _wait(self) -> None:
        assert self._waiter is None, "one reader"
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    whole = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(whole)).to_bytes(size)


def _check_head(head: bytes, accept: bytes, subprotocol: str) -> None:
    """Raises UpgradeRefused unless the answer is the one RFC 6455 section 4.1 asks for."""
    first, *lines = head.split(b"\r\n")
    found = _STATUS.match(first)
    if found is None:
        raise UpgradeRefused(0, "the answer is not HTTP")
    status = int(found[1])
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    if status != 101:
        raise UpgradeRefused(status, f"the server answers {status} instead of a WebSocket")
    if fields.get(b"sec-websocket-accept") != accept or fields.get(b"sec-websocket-protocol") != subprotocol.encode():
        raise UpgradeRefused(status, "the server speaks another protocol")
    if b"sec-websocket-extensions" in fields:
        raise UpgradeRefused(status, "the server uses extensions that nobody asked for")
