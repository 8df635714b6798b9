"""The client's end of a frame socket: the upgrade, frames, back-pressure, and servers that answer nonsense."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base.errors import RemoteError
from node.runtime import dial
from node.runtime.dial import DialledSocket, UpgradeRefused, parse_url

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def accepted(head: bytes, extra: str = "", protocol: str = "test.1") -> bytes:
    """The right answer to an upgrade."""
    key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n{extra}\r\n"
    ).encode()


@asynccontextmanager
async def server(script: Script) -> AsyncIterator[str]:
    """A server that follows `script` after the request; its URL."""
    done: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        done.append(task)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/s2s"
    finally:
        listening.close()
        for task in done:
            task.cancel()
        if done:
            await asyncio.wait(done)


async def connect(url: str, *, message_bytes_max: int = 1000, unread_bytes_max: int = 4000) -> DialledSocket:
    async with asyncio.timeout(5):
        return await dial.dial(
            parse_url(url),
            subprotocol="test.1",
            token_bytes=os.urandom,
            message_bytes_max=message_bytes_max,
            unread_bytes_max=unread_bytes_max,
        )


def saying(*parts: bytes) -> Script:
    """Upgrades, sends these bytes one by one, and waits for the end."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepted(await reader.readuntil(b"\r\n\r\n")))
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    return script


async def drained(socket: DialledSocket) -> None:
    """Reads to the end."""
    while await socket.receive() is not None:
        pass


async def frame_of_client(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One frame as a server reads it: it must be masked."""
    first, second = await reader.readexactly(2)
    assert second & 0x80
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
    mask, data = await reader.readexactly(4), await reader.readexactly(size)
    return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
async def test_messages_of_every_size_pass_both_ways(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepted(await reader.readuntil(b"\r\n\r\n")))
        opcode, got = await frame_of_client(reader)
        assert opcode == 2
        head = bytes((0x82, len(got))) if size < 126 else struct.pack("!BBH", 0x82, 126, size) if size < 65536 else struct.pack("!BBQ", 0x82, 127, size)  # fmt: skip
        writer.write(head + got)
        assert (await frame_of_client(reader))[0] == 8

    async with server(echo) as url:
        socket = await connect(url, message_bytes_max=200_000)
        socket.send(data[:size])
        assert await socket.receive() == data[:size]
        assert socket.address == "127.0.0.1"
        assert socket.certificate is None
        socket.close()
        assert await socket.receive() is None
        assert socket.buffered == 0


async def test_pieces_are_joined_and_pings_are_answered() -> None:
    pongs: list[tuple[int, bytes]] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepted(await reader.readuntil(b"\r\n\r\n")))
        for byte in b"\x02\x02ab\x89\x01p\x8a\x00\x80\x02cd\x82\x00\x88\x02\x03\xe8":
            writer.write(bytes((byte,)))
            await writer.drain()
        pongs.append(await frame_of_client(reader))

    async with server(script) as url:
        socket = await connect(url)
        assert [await socket.receive() for _ in range(3)] == [b"abcd", b"", None]
        await asyncio.sleep(0.01)
        assert pongs == [(10, b"p")]


@pytest.mark.parametrize(
    "bad",
    [
        b"\x81\x01x",  # text
        b"\xc2\x01x",  # a bit of an extension
        b"\x82\x81mmmmx",  # masked by a server
        b"\x80\x01x",  # goes on with nothing
        b"\x02\x01x\x82\x01x",  # begins in the middle
        b"\x82\x7e\x03\xe9",  # larger than allowed, by its head alone
        b"\x82\x7f" + (2**40).to_bytes(8),
        b"\x89\x7e\x00\x7e" + bytes(126),  # a ping that is too long
        b"\x09\x00",  # a ping in pieces
        b"\x83\x00",  # an unknown kind
        b"\x02\x7e\x02\x58" + bytes(600) + b"\x80\x7e\x02\x58" + bytes(600),  # large in pieces
        b"\x02\x00" + b"\x00\x00" * 70,  # pieces without end
    ],
)
async def test_a_broken_frame_ends_the_connection(bad: bytes) -> None:
    async with server(saying(bad)) as url:
        socket = await connect(url)
        with pytest.raises(RemoteError):
            await drained(socket)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", 404),
        (b"HTTP/1.1 301 Moved\r\nLocation: ws://127.0.0.1/\r\n\r\n", 301),
        (b"HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: wrong\r\nSec-WebSocket-Protocol: test.1\r\n\r\n", 101),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", 0),
        (b"HTTP/1.1 101 " + b"x" * 10_000, 0),
        (b"", 0),
    ],
)
async def test_what_is_no_upgrade(answer: bytes, status: int) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with server(script) as url:
        with pytest.raises(UpgradeRefused) as refused:
            await connect(url)
        assert refused.value.status == status


@pytest.mark.parametrize(
    ("extra", "protocol"), [("", "other"), ("Sec-WebSocket-Extensions: permessage-deflate\r\n", "test.1")]
)
async def test_what_was_not_asked_for(extra: str, protocol: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepted(await reader.readuntil(b"\r\n\r\n"), extra, protocol))

    async with server(script) as url:
        with pytest.raises(UpgradeRefused):
            await connect(url)


async def test_a_reader_that_pauses_holds_the_sender() -> None:
    sent = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(accepted(await reader.readuntil(b"\r\n\r\n")))
        for _ in range(30_000):
            writer.write(b"\x82\x7e\x03\xe8" + bytes(1000))
            await writer.drain()
            sent += 1

    async with server(script) as url:
        socket = await connect(url)
        assert await socket.receive() is not None
        for _ in range(300):
            await asyncio.sleep(0)
        held = sent
        assert held < 30_000
        assert socket._unread < 4_000 + 300_000
        for _ in range(29_999):
            assert await socket.receive() is not None
        assert sent == 30_000


async def test_nobody_listens() -> None:
    async with server(saying()) as url:
        pass
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        await connect(url)


async def test_an_abort_wakes_the_reader() -> None:
    async with server(saying()) as url, asyncio.TaskGroup() as group:
        socket = await connect(url)
        reading = group.create_task(socket.receive())
        await asyncio.sleep(0)
        socket.abort()
        assert await reading is None
        socket.send(b"into nothing")


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("ws://192.0.2.1:8443/s2s", ("192.0.2.1", 8443, "/s2s", False)),
        ("wss://casa.example/s2s", ("casa.example", 443, "/s2s", True)),
        ("ws://[2001:db8::1]:80/s2s", ("2001:db8::1", 80, "/s2s", False)),
        ("ws://[fe80::1%25eth0]:80/s2s", ("fe80::1%eth0", 80, "/s2s", False)),
    ],
)
def test_addresses(url: str, parsed: tuple[str, int, str, bool]) -> None:
    target = parse_url(url)
    assert (target.host, target.port, target.path, target.secure) == parsed


@pytest.mark.parametrize(
    "url", ["https://casa.example/", "ws:///s2s", "ws://a:b@c/", "ws://a/#x", "casa", "ws://a:99999/", "ws://[x/"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several texts
        parse_url(url)


@given(st.text(max_size=60))
def test_text_of_any_kind_is_an_address_or_is_not(url: str) -> None:
    try:
        parse_url(url)
    except ValueError:
        return
