"""A peer written by hand: it proves who it is and then says whatever it likes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from node.federation.proto.handshake import Channel, Handshake, Role
from node.services.ports import Candidate
from node.wire import s2s
from tests.links import Home, Who, identity
from tests.unit.federation.conftest import MemorySocket, Story, Town

Simulate = Callable[[Story], None]


class Stranger:
    """A peer written by hand: it does the handshake and then whatever it likes."""

    def __init__(self, socket: MemorySocket, channel: Channel) -> None:
        self.socket, self.channel = socket, channel

    @classmethod
    async def call(cls, town: Town, home: Home, who: Who) -> Stranger:
        socket = await town.street.open(Candidate(home.url, "test"))
        shake = Handshake(
            role=Role.INITIATOR, own=who, target=home.nid, now_s=town.clock.now_ms() // 1000, accept=lambda who: None
        )
        while True:
            for message in shake.to_send():
                socket.send(message)
            if shake.proven is not None:
                break
            data = await socket.receive()
            assert data is not None
            shake.receive(data)
        assert shake.channel is not None
        return cls(socket, shake.channel)

    def say(self, frame: s2s.AnyFrame) -> None:
        self.socket.send(self.channel.seal(s2s.encode_frame(frame)))

    async def hears(self) -> s2s.AnyFrame | None:
        data = await self.socket.receive()
        return None if data is None else s2s.decode_frame(self.channel.open(data))

    async def hears_until(self, kind: type[s2s.Frame]) -> s2s.AnyFrame | None:
        """The next frame of this kind; None when the link ends before."""
        async with asyncio.timeout(600):
            while (frame := await self.hears()) is not None:
                if isinstance(frame, kind):
                    return frame
        return None

    async def rest(self) -> list[s2s.AnyFrame]:
        """All that comes until the link ends."""
        found = []
        async with asyncio.timeout(600):
            while (frame := await self.hears()) is not None:
                found.append(frame)
        return found


def mallory(town: Town, incarnation: int = 1) -> Who:
    return identity("mallory", incarnation=incarnation, now_s=town.clock.now_ms() // 1000)


async def befriend(town: Town, home: Home) -> int:
    """Mallory is no stranger to `home`; the number it has there."""
    who = mallory(town)
    return (await home.db.write(lambda tx: home.peers.ensure(tx, who.nid, 1))).pk
