"""The HTTPS listener that looks first: who has not said a byte, who is too many, who goes where, what an end leaves behind."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.base import limits
from node.runtime import tls
from node.runtime.clock import SystemClock
from node.web.peek import PeekServer, bind
from tests.polling import until

LOOPBACK = "127.0.0.1"


class Door:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def adopt(self, sock: socket.socket) -> None:
        self.sockets.append(sock)


class Greeter(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")


class Stage:
    def __init__(self, server: PeekServer, door: Door) -> None:
        self.server = server
        self.door = door
        self.port = server.sockets[0].getsockname()[1]
        self.clients: list[socket.socket] = []

    async def dial(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (LOOPBACK, self.port))
        self.clients.append(sock)
        return sock

    async def hello(self) -> bytes:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port, ssl=context)
        said = await reader.readexactly(5)
        writer.close()
        return said


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    certificate = tls.Certificate.own(tmp_path, domain="", clock=SystemClock())
    door = Door()
    server = PeekServer(await bind(LOOPBACK, 0), tls=certificate.context, factory=Greeter, door=door)
    made = Stage(server, door)
    async with asyncio.TaskGroup() as tasks:
        server.serve(tasks)
        try:
            yield made
        finally:
            server.close()
            server.close()
            for sock in (*made.clients, *door.sockets):
                sock.close()


async def test_tls_goes_on_as_https_and_the_rest_to_the_door_unread(stage: Stage) -> None:
    assert await stage.hello() == b"hello"
    sock = await stage.dial()
    sock.send(b"\x00\x14rest")
    await until(lambda: len(stage.door.sockets) == 1)
    assert stage.door.sockets[0].recv(10) == b"\x00\x14rest"
    assert await stage.hello() == b"hello"


async def test_whoever_leaves_without_a_word_is_forgotten(stage: Stage) -> None:
    (await stage.dial()).close()
    await until(lambda: not stage.server._looking)
    assert not stage.door.sockets


async def test_a_handshake_that_breaks_harms_nobody(stage: Stage) -> None:
    sock = await stage.dial()
    sock.send(b"\x16\x03\x01\x00\x05hello")
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        while await loop.sock_recv(sock, 100):  # an alert, then the end
            pass
    assert await stage.hello() == b"hello"


@pytest.mark.slow
async def test_those_who_say_nothing_make_room_for_others(stage: Stage) -> None:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    if files[1] < 3 * limits.PEEKED_MAX:
        pytest.fail("this test needs more open files: raise the hard limit (ulimit -Hn)")
    for _ in range(limits.PEEKED_MAX):
        await stage.dial()
    await until(lambda: len(stage.server._looking) == limits.PEEKED_MAX)
    assert await stage.hello() == b"hello"
    assert len(stage.server._looking) == limits.PEEKED_MAX - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, files)


async def test_without_descriptors_it_waits_and_goes_on(stage: Stage) -> None:
    """The process runs out of files while somebody connects; a moment later there are some again."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    sock = socket.socket()
    sock.setblocking(False)
    stage.clients.append(sock)
    used = [socket.socket()]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used[0].fileno() + 1, files[1]))
        with pytest.raises(BlockingIOError):
            sock.connect((LOOPBACK, stage.port))
        await asyncio.sleep(limits.ACCEPT_PAUSE_S)
        assert not stage.server._looking
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
        used[0].close()
    await until(lambda: len(stage.server._looking) == 1)
    assert await stage.hello() == b"hello"


async def test_every_address_of_a_name_is_listened_on() -> None:
    sockets = await bind("localhost", 0)
    assert LOOPBACK in {sock.getsockname()[0] for sock in sockets}
    taken = sockets[0].getsockname()[1]
    with pytest.raises(OSError, match="in use"):
        await bind(LOOPBACK, taken)
    for sock in sockets:
        sock.close()


async def test_a_connection_that_fails_for_any_reason_takes_nobody_along(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in the group of the handshakes would end the listener, and the web server with it."""
    good, stage.server._factory = stage.server._factory, _broken
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        async with asyncio.timeout(10):
            await stage.hello()
    await until(lambda: "could not be taken" in caplog.text)
    stage.server._factory = good
    assert await stage.hello() == b"hello"


def _broken() -> asyncio.Protocol:
    raise ValueError("nobody expected this")
