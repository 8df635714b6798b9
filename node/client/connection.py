"""One WebSocket to ``/c2s``: opens it, says hello, carries frames, closes it. What frames mean is the client's business.

A frame whose name this version does not know is skipped, so that a newer node may say more.
"""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
import msgspec

from node.base import limits
from node.base.errors import Rejected
from node.client.api import Api, untrusted
from node.client.errors import Lost, SignedOut
from node.runtime.clock import Clock
from node.wire import c2s
from node.wire.codec import Decoder

CONNECT_S: Final = 20.0  # to open the socket and to be welcomed
SILENCE_S: Final = 2.5  # times the heartbeat: nothing heard this long, not even a pong, means a dead connection
_NAMES: Final = frozenset(frame.__struct_config__.tag for frame in c2s.NodeFrame.__args__)
_decode: Final[Decoder[c2s.NodeFrame]] = Decoder(c2s.NodeFrame, size_bytes_max=limits.NODE_FRAME_BYTES_MAX)


class Connection:
    """An open socket that was welcomed."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, welcome: c2s.Welcome, clock: Clock) -> None:
        self.welcome = welcome
        self._ws = ws
        self._clock = clock
        self._heard_at = self._pinged_at = clock.monotonic()
        self._acked_at = float("-inf")
        self._stored = self._acked = 0

    @classmethod
    async def open(cls, api: Api, *, cursor: int | None, program: str, clock: Clock) -> Connection:
        """Upgrade, hello, welcome. Raises Lost, SignedOut, Untrusted."""
        try:
            async with asyncio.timeout(CONNECT_S):
                ws = await _upgrade(api)
                try:
                    await ws.send_bytes(c2s.encode_frame(c2s.Hello(c2s.VERSION, cursor, program[:64])))
                    frame = await _receive(ws)
                except BaseException:
                    await ws.close()
                    raise
        except aiohttp.ClientConnectorCertificateError as error:
            raise untrusted(api.origin, error) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Lost(f"The node at {api.origin} does not answer ({type(error).__name__} {error}).") from error
        if not isinstance(frame, c2s.Welcome):
            await ws.close()
            raise Lost("The node did not say welcome.")
        return cls(ws, frame, clock)

    async def send(self, frame: c2s.Frame) -> None:
        """Sends a frame; a lost connection shows in `receive`."""
        try:
            await self._ws.send_bytes(c2s.encode_frame(frame))
        except (aiohttp.ClientError, OSError):
            return

    async def acknowledge(self, seq: int) -> None:
        """Everything up to `seq` is stored. What comes close together is acknowledged together, by `receive`."""
        self._stored = seq
        if seq - self._acked >= limits.ACK_ENTRIES_MAX or self._clock.monotonic() >= self._ack_due:
            await self._acknowledge()

    @property
    def _ack_due(self) -> float:
        return self._acked_at + limits.ACK_WITHIN_MS / 1000

    async def _acknowledge(self) -> None:
        self._acked, self._acked_at = self._stored, self._clock.monotonic()
        await self.send(c2s.Ack(self._acked))

    async def receive(self) -> c2s.NodeFrame:
        """The next frame; pings and acknowledges when it is time, so somebody must always be receiving. Raises Lost, SignedOut."""
        every_s = self.welcome.heartbeat_s
        while True:
            now = self._clock.monotonic()
            if now - self._heard_at > SILENCE_S * every_s:
                raise Lost("Nothing was heard from the node for too long.")
            if now - self._pinged_at >= every_s:
                self._pinged_at = now
                await self.send(c2s.Ping(self._clock.now_ms()))
            due = self._pinged_at + every_s
            if self._acked != self._stored:
                if now >= self._ack_due:
                    await self._acknowledge()
                else:
                    due = min(due, self._ack_due)
            try:
                async with asyncio.timeout(max(0.001, due - now)):
                    frame = await _receive(self._ws)
            except TimeoutError:
                continue
            self._heard_at = self._clock.monotonic()
            return frame

    async def close(self) -> None:
        """Says what is stored, and goodbye."""
        if self._acked != self._stored:
            await self._acknowledge()
        await self._ws.close()


async def _upgrade(api: Api) -> aiohttp.ClientWebSocketResponse:
    try:
        return await api.http.ws_connect(
            f"{api.origin}/c2s",
            protocols=(c2s.SUBPROTOCOL,),
            headers=api.headers,
            max_msg_size=limits.NODE_FRAME_BYTES_MAX,
            compress=0,
            autoping=True,
            ssl=api.trust,
        )
    except aiohttp.WSServerHandshakeError as error:
        if error.status in {401, 403}:
            raise SignedOut("The node does not accept this session; sign in again.") from error
        raise Lost(f"The node answered with status {error.status}.") from error


async def _receive(ws: aiohttp.ClientWebSocketResponse) -> c2s.NodeFrame:
    while True:
        message = await ws.receive()
        if message.type is not aiohttp.WSMsgType.BINARY:
            code = message.data if message.type is aiohttp.WSMsgType.CLOSE else ws.close_code
            if code == c2s.CLOSE_SIGNED_OUT:
                raise SignedOut("This device was signed out.")
            raise Lost(f"The connection was closed ({code}).")
        try:
            return _decode(message.data)
        except Rejected:
            if _name(message.data) in _NAMES:
                raise Lost("The node sent a frame that is not valid.") from None


def _name(data: bytes) -> object:
    """The name of a frame; one that every version knows for what is no frame at all."""
    try:
        frame = msgspec.msgpack.decode(data)
    except msgspec.DecodeError:
        return c2s.Error.__struct_config__.tag
    return frame[0] if isinstance(frame, list) and frame else c2s.Error.__struct_config__.tag
