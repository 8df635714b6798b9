"""Runs in a namespace whose network lets no UDP out: a device that reaches its node's relay over the HTTPS port. Prints what happens.

python narrow.py https://11.22.33.10 alice ROOM
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
from contextlib import suppress

from node.base.ids import ROOM_ID_BYTES, RoomId, parse_id
from node.client import Client
from node.media.proto import sdp, stun
from node.wire import calling
from tests.integration.media.device import CERTIFICATE, Device, local_of
from tests.unit.media.proto import offers

PASSWORD = "a-long-enough-word"


class StreamDevice(Device):
    """Its packets go over TCP, framed (RFC 4571)."""

    async def dial(self, host: str, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection(host, port)
        self.listening = self._tasks.create_task(self._listen())

    def send(self, data: bytes, sock: object = None) -> None:
        self.writer.write(len(data).to_bytes(2, "big") + data)

    async def _listen(self) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
                self._take(await self.reader.readexactly(size), self.sock)
                self._news.set()


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def udp_answers(candidate: sdp.Candidate) -> bool:
    """Whether the node answers plain STUN there within two seconds."""
    loop = asyncio.get_running_loop()
    answered = loop.create_future()

    class Asking(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            if not answered.done():
                answered.set_result(data)

    with suppress(TimeoutError, OSError):
        transport, _ = await loop.create_datagram_endpoint(Asking, remote_addr=(candidate.host, candidate.port))
        async with asyncio.timeout(2):
            for _ in range(4):
                transport.sendto(stun.build(stun.REQUEST, os.urandom(12), ()))
                await asyncio.sleep(0.2)
            await answered
            return True
    return False


async def main(url: str, local: str, room: str) -> None:
    nobody = sdp.Local(ufrag="", pwd="", fingerprint=CERTIFICATE.fingerprint, candidates=())
    async with Client.login(url, local=local, password=PASSWORD, insecure=True) as me, asyncio.TaskGroup() as tasks:
        calls = me.calls
        seat = await calls._ask(calling.CallStart(calls._number(), RoomId(parse_id(room, ROOM_ID_BYTES)), "audio"))
        assert isinstance(seat, calling.CallSeat)
        device = StreamDevice(nobody, tasks)
        text = device.described(offers.whole(offers.audio("0"), bundle="0"))
        up = calling.CallUp(calls._number(), seat.call, seat.seat, text, {"0": "mic"})
        answer = await calls._ask(up)
        assert isinstance(answer, calling.CallSdp)
        device.local = local_of(answer.sdp)
        by = {candidate.transport: candidate for candidate in device.local.candidates if ":" not in candidate.host}
        tell(udp=await udp_answers(by["udp"]), tcp=[by["tcp"].host, by["tcp"].port])
        await device.dial(by["tcp"].host, by["tcp"].port)
        await device.connect()
        for number in range(500):
            device.send_rtp(struct.pack("!BBHII", 0x80, 111, number, 960 * number, 1001) + b"voice" * 10)
            await asyncio.sleep(0.02)
            roster = calls.rosters.get(seat.call)
            if roster is not None and any(one.seat == seat.seat and one.state == "live" for one in roster.participants):
                tell(live=number)
                break
        await asyncio.sleep(60)


asyncio.run(main(*sys.argv[1:]))
