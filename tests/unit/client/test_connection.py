"""What a connection says by itself, to a server that only listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from node.base import limits
from node.client.api import Api
from node.client.connection import Connection
from node.runtime.clock import SystemClock
from node.wire import c2s
from node.wire.codec import Decoder

_decode: Decoder[c2s.ClientFrame] = Decoder(c2s.ClientFrame, size_bytes_max=limits.FRAME_BYTES_MAX)


class Listener:
    """Welcomes one device and writes down what it acknowledges."""

    def __init__(self) -> None:
        self.acks: list[int] = []
        self.over = asyncio.Event()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(c2s.SUBPROTOCOL,))
        await socket.prepare(request)
        await socket.receive()
        welcome = c2s.Welcome(
            version=c2s.VERSION, node=b"n" * 32, domain="", user="a@b", device=b"d" * 16, head=0, resumed=True,
            window=limits.WINDOW_ENTRIES, heartbeat_s=limits.HEARTBEAT_S, now_ms=0,
        )  # fmt: skip
        await socket.send_bytes(c2s.encode_frame(welcome))
        async for message in socket:
            frame = _decode(message.data)
            assert isinstance(frame, c2s.Ack)
            self.acks.append(frame.seq)
        self.over.set()
        return socket


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Listener, Connection]]:
    listener = Listener()
    app = web.Application()
    app.router.add_get("/c2s", listener.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    async with Api(f"http://127.0.0.1:{port}", token="t") as api:
        connection = await Connection.open(api, cursor=0, program="test", clock=SystemClock())
        try:
            yield listener, connection
        finally:
            await connection.close()
            await runner.cleanup()


async def listen(connection: Connection, until: Callable[[], bool]) -> None:
    """Receives, as somebody always must, until something is true."""
    receiving = asyncio.ensure_future(connection.receive())
    async with asyncio.timeout(10):
        while not until():
            await asyncio.sleep(0.005)
    receiving.cancel()
    with suppress(asyncio.CancelledError):
        await receiving


async def test_what_comes_close_together_is_acknowledged_together() -> None:
    async with listening() as (listener, connection):
        for seq in range(1, 71):
            await connection.acknowledge(seq)
        await listen(connection, lambda: listener.acks[-1:] == [70])
        assert listener.acks[0] == 1
        assert len(listener.acks) < 20
        assert max(b - a for a, b in zip(listener.acks, listener.acks[1:], strict=False)) <= limits.ACK_ENTRIES_MAX


async def test_who_leaves_says_first_what_is_stored() -> None:
    async with listening() as (listener, connection):
        for seq in (1, 2, 3):
            await connection.acknowledge(seq)
        await connection.close()
        await asyncio.wait_for(listener.over.wait(), 10)
        assert listener.acks[-1] == 3
