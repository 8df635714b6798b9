"""Runs as a process of its own: a peer that says as much as its link takes, of everything that costs the other side something.

python flood.py FOLDER URL NID_HEX ROOM_HEX
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

from node.base.errors import Rejected
from node.base.ids import NodeId, RoomId, make_user
from node.core.hub import Head
from node.runtime.clock import ManualClock
from node.services.roomkeys import RoomKeys
from node.storage.database import Tx
from node.storage.outbox import DIRECT
from node.wire import exchange
from node.wire.exchange import Acks, Ask
from tests.links import Home, home, identity


async def main(folder: Path, url: str, victim: NodeId, room: RoomId) -> None:
    clock = ManualClock()
    async with home(folder, "flood", clock=clock, listening=False) as own:
        acknowledgements = many(own, room)  # takes seconds
        await own.db.write(
            lambda tx: own.peers.address_ok(tx, own.peers.ensure(tx, victim, 1).pk, url, "typed", 1, tls=False)
        )
        await own.federation.reach(victim)
        print("linked", flush=True)
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(items(own, victim))
            for _ in range(16):
                group.create_task(questions(own, victim, acknowledgements))
            group.create_task(whispers(own, victim))


async def items(own: Home, victim: NodeId) -> None:
    """Poison, and questions to nobody."""
    ask = exchange.encode_item(Ask(make_user("mallory", own.nid), "M", "nobody", "Hello?" * 40, 1))
    while True:

        def put(tx: Tx) -> None:
            pk = own.peers.ensure(tx, victim, 1).pk
            for n in range(64):
                own.outbox.enqueue(tx, pk, DIRECT, body=ask if n % 2 else os.urandom(8192))

        if own.waiting() < 1000:
            await own.db.write(put)
            own.federation.wake(victim)
        await asyncio.sleep(0.02)


def many(own: Home, room: RoomId) -> bytes:
    """Acknowledgements with as many identities as fit; each costs two signatures to check."""
    now_s = own.clock.now_ms() // 1000
    keys = RoomKeys(own.who)
    certs = tuple(RoomKeys(identity(f"x{n}", now_s=now_s)).cert for n in range(100))
    return exchange.encode_item(Acks(tuple(keys.ack(room, Head(1, n, bytes(32))) for n in range(100)), certs))


async def questions(own: Home, victim: NodeId, body: bytes) -> None:
    """What has to be looked at."""
    while True:
        with suppress(Rejected):
            await own.federation.request(victim, exchange.ACKS, body)
        await asyncio.sleep(0)


async def whispers(own: Home, victim: NodeId) -> None:
    """Of nothing."""
    while True:
        own.federation.whisper(victim, "typing", os.urandom(1024))
        await asyncio.sleep(0.001)


asyncio.run(
    main(Path(sys.argv[1]), sys.argv[2], NodeId(bytes.fromhex(sys.argv[3])), RoomId(bytes.fromhex(sys.argv[4])))
)
