"""Media over the HTTPS port, with a real worker; HTTPS on the same port goes on as before."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.base import limits
from node.media.proto import sdp, stun
from node.media.service import Relay
from node.runtime import tls
from node.runtime.clock import SystemClock
from node.web.peek import PeekServer, bind
from tests.integration.media.device import Device, local_of
from tests.integration.media.test_relay import ANNA, CALL, LOOPBACK, Events, rtp, running
from tests.polling import until
from tests.unit.media.proto import offers

pytestmark = pytest.mark.slow  # worker processes


class StreamDevice(Device):
    """A device whose network blocks UDP."""

    async def dial(self, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection(LOOPBACK, port)
        self.listening = self._tasks.create_task(self._listen())

    def send(self, data: bytes, sock: object = None) -> None:
        self.writer.write(len(data).to_bytes(2, "big") + data)

    async def _listen(self) -> None:
        try:
            while True:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
                self._take(await self.reader.readexactly(size), self.sock)
                self._news.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended = True
            self._news.set()

    def close(self) -> None:
        super().close()
        self.writer.close()


class Greeter(asyncio.Protocol):
    """What HTTPS is here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")


@asynccontextmanager
async def port_of(relay: Relay, folder: Path) -> AsyncIterator[int]:
    certificate = tls.Certificate.own(folder, domain="", clock=SystemClock())
    sockets = await bind(LOOPBACK, 0)
    port = sockets[0].getsockname()[1]
    server = PeekServer(sockets, tls=certificate.context, factory=Greeter, door=relay)
    async with asyncio.TaskGroup() as tasks:
        server.serve(tasks)
        try:
            yield port
        finally:
            server.close()


async def seated(relay: Relay, events: Events, device: Device) -> None:
    await relay.seat(CALL, ANNA)
    text = device.described(offers.whole(offers.audio("0"), bundle="0"))
    device.local = local_of(await relay.offer(CALL, ANNA, text, {"0": "mic"}))


async def ending(reader: asyncio.StreamReader) -> bytes:
    """What is said until the end; being cut off is an end too."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


def nobody() -> sdp.Local:
    return local_of(offers.CHROME)


async def test_a_call_over_tcp(tmp_path: Path) -> None:
    async with running() as (relay, events), port_of(relay, tmp_path) as port, asyncio.TaskGroup() as tasks:
        device = StreamDevice(nobody(), tasks)
        await seated(relay, events, device)
        await device.dial(port)
        await device.connect()
        await until(lambda: (ANNA, True) in events.states)
        for number in range(5):
            device.send_rtp(rtp(number))
        await until(lambda: events.sources.get(ANNA) == ("mic",))
        (call,) = (await relay.report()).calls
        assert [seat.path for seat in call.seats] == ["tcp"]
        device.close()
        await until(lambda: (ANNA, False) in events.states)


async def test_a_device_that_finds_no_udp_any_more_moves_to_tcp(tmp_path: Path) -> None:
    async with running() as (relay, events), port_of(relay, tmp_path) as port, asyncio.TaskGroup() as tasks:
        device = Device(nobody(), tasks)
        await seated(relay, events, device)
        await device.connect()
        await until(lambda: (ANNA, True) in events.states)
        moved = StreamDevice(device.local, tasks)
        moved.ufrag, moved.pwd, moved.srtp = device.ufrag, device.pwd, device.srtp
        await moved.dial(port)
        moved.check()
        await moved.until(lambda: bool(moved.answers))
        moved.send_rtp(rtp(1))
        await until(lambda: events.sources.get(ANNA) == ("mic",))
        assert events.states == [(ANNA, True)]
        relay.unseat(CALL, ANNA)
        await moved.until(lambda: moved.ended)  # its connection is closed with it
        moved.close()
        device.close()


async def test_https_goes_on_as_before(tmp_path: Path) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with running() as (relay, _), port_of(relay, tmp_path) as port:
        for _ in range(3):
            reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context)
            assert await reader.readexactly(5) == b"hello"
            writer.close()
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"\x16\x03nonsense")
        assert await ending(reader) != b"hello"
        writer.close()


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\x00\x14" + bytes(20), b"\xff\xff\xff"])
async def test_strangers_are_closed(tmp_path: Path, said: bytes) -> None:
    async with running() as (relay, _), port_of(relay, tmp_path) as port:
        for started in (False, True):
            if started:
                await relay.seat(CALL, ANNA)
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.write(said)
            async with asyncio.timeout(5):
                assert await ending(reader) == b""
            writer.close()


async def test_a_check_with_the_wrong_password_is_not_answered(tmp_path: Path) -> None:
    async with running() as (relay, events), port_of(relay, tmp_path) as port, asyncio.TaskGroup() as tasks:
        device = StreamDevice(nobody(), tasks)
        await seated(relay, events, device)
        await device.dial(port)
        device.check(pwd="wrong")
        device.send(stun.build(stun.REQUEST, os.urandom(12), ()))  # plain STUN is answered here too
        await device.until(lambda: len(device.answers) == 1)
        assert stun.mapped_address(device.answers[0]) is not None
        device.send(bytes(limits.MEDIA_DATAGRAM_BYTES_MAX + 1))
        await device.until(lambda: device.ended)
        report = await relay.report()
        assert report.dropped["forged"] == 1
        assert report.dropped["malformed"] == 1
        device.close()
