"""Floods at one DHT node: what they leave behind, and what the node sends to people who did not ask.

The victim stands in a small honest network. Attackers use plain sockets on loopback addresses of their own.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bench.dht_village import Home, Village
from node.discovery.dht import Dht
from node.discovery.proto import datagram
from node.discovery.proto.datagram import Method, Request
from node.discovery.proto.policy import ID_BYTES, make_id

PACKETS: Final = 4_000
ADDRESSES: Final = 60
SETTLE_S: Final = 0.02
ROWS: Final = (
    ("flood_stores_stored", "records kept after 4,000 stores without a valid token or a valid record, from one address"),
    ("flood_valid_strangers_stored", "records kept after 120 valid records stored without proof of address, from 60 addresses"),
    ("flood_pings_table_growth", "contacts gained by 4,000 pings with random ids from one socket"),
    ("flood_pings_silent_growth", "contacts gained by 240 pings with fitting ids from 60 addresses that do not answer"),
    ("flood_answers_table_growth", "contacts gained by 4,000 answers that nobody asked for"),
    ("flood_lookup_ok", "look-ups of 20 that the victim got right during a flood of 4,000 packets"),
    ("reflection_ratio_max", "bytes sent to a silent source for each byte it sent, worst request (unguarded library: 103)"),
)  # fmt: skip


@contextmanager
def stranger(ip: str) -> Iterator[socket.socket]:
    """A socket that asks and need not listen."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.bind((ip, 0))
    try:
        yield opened
    finally:
        opened.close()


def request(method: Method, *, node: bytes | None = None, key: bytes = b"", value: bytes = b"", token: bytes = b"", size: int = 0) -> bytes:  # fmt: skip
    """A request of somebody."""
    asked = Request(method, node or os.urandom(ID_BYTES), 0, token, key, value)
    return datagram.encode_request(os.urandom(20), asked, size_bytes=size)


async def pour(source: socket.socket, victim: Dht, packets: Iterator[bytes]) -> None:
    """Sends as fast as the victim reads, so that the kernel drops nothing on the way."""
    for packet in packets:
        source.sendto(packet, victim.servers[4].own.endpoint)
        await asyncio.sleep(0)
    await asyncio.sleep(SETTLE_S)


def received_bytes(source: socket.socket) -> int:
    """Everything that has arrived at it."""
    total = 0
    while True:
        try:
            total += len(source.recv(65_535))
        except BlockingIOError:
            return total


async def measure() -> dict[str, float]:
    """All figures of ROWS."""
    village = Village(seed=1)
    try:
        await village.grow(["honest"] * 20)
        await village.settle()
        figures: dict[str, float] = {}
        figures["flood_stores_stored"] = await stores(village)
        figures["flood_valid_strangers_stored"] = await valid_stores(village)
        figures["flood_pings_table_growth"] = await pings(village)
        figures["flood_pings_silent_growth"] = await silent_pings(village)
        figures["flood_answers_table_growth"] = await answers(village)
        figures["flood_lookup_ok"] = await lookups(village)
        figures["reflection_ratio_max"] = await reflection(village)
        return figures
    finally:
        village.close()


async def stores(village: Village) -> int:
    """Records kept after stores with no token, an invented one, or a real one and an invalid record."""
    victim = village.alive[1]
    before = len(victim.servers[4].storage)
    with stranger(village.address()) as source:
        token = await _token(source, victim)
        tokens = (b"", os.urandom(8), token)
        made = (
            request("store", key=os.urandom(20), value=os.urandom(900), token=tokens[n % 3]) for n in range(PACKETS)
        )
        await pour(source, victim, made)
    return len(victim.servers[4].storage) - before


async def _token(source: socket.socket, victim: Dht) -> bytes:
    source.sendto(request("stun"), victim.servers[4].own.endpoint)
    await asyncio.sleep(0.05)
    return datagram.decode_answer(source.recv(2_000)).token


async def valid_stores(village: Village) -> int:
    """Records kept after valid records were stored by addresses that cannot show a token."""
    victim = village.alive[2]
    now_s = village.clock.now_ms() // 1000
    before = len(victim.servers[4].storage)
    for number in range(ADDRESSES):
        home = Home(50_000 + number, now_s=now_s)
        with stranger(village.address()) as source:
            packets = (request("store", key=home.key, value=home.version(1), token=token) for token in (b"", bytes(8)))
            await pour(source, victim, packets)
    return len(victim.servers[4].storage) - before


async def pings(village: Village) -> int:
    """Contacts gained by pings with random ids from one socket that does not answer."""
    victim = village.alive[3]
    before = len(victim.contacts())
    with stranger(village.address()) as source:
        await pour(source, victim, (request("ping") for _ in range(PACKETS)))
    return len(victim.contacts()) - before


async def silent_pings(village: Village) -> int:
    """Contacts gained by ids that fit their addresses, from sockets that do not answer."""
    victim = village.alive[4]
    before = len(victim.contacts())
    for _ in range(ADDRESSES):
        ip = village.address()
        with stranger(ip) as source:
            await pour(source, victim, (request("ping", node=make_id(ip, os.urandom(20))) for _ in range(4)))
    return len(victim.contacts()) - before


async def answers(village: Village) -> int:
    """Contacts gained by answers with invented message ids."""
    victim = village.alive[5]
    before = len(victim.contacts())
    with stranger(village.address()) as source:
        invented = datagram.Answer(os.urandom(20), os.urandom(8), b"", os.urandom(26 * 20), b"", 0)
        await pour(source, victim, (datagram.encode_answer(os.urandom(20), invented) for _ in range(PACKETS)))
    return len(victim.contacts()) - before


async def lookups(village: Village) -> int:
    """Look-ups that succeed while somebody floods the one who asks."""
    victim = village.alive[6]
    now_s = village.clock.now_ms() // 1000
    homes = [Home(60_000 + number, now_s=now_s) for number in range(20)]
    for home in homes:
        await village.alive[7].put_record(home.version(1))
    with stranger(village.address()) as source:
        packets = (request("find_node", key=os.urandom(20), size=1_300) for _ in range(PACKETS))
        async with asyncio.TaskGroup() as group:
            group.create_task(pour(source, victim, packets))
            found = [await victim.get_record(home.nid) for home in homes]
    return sum(record is not None for record in found)


async def reflection(village: Village) -> float:
    """The largest ratio of bytes sent to a silent source to bytes it sent, over all requests and sizes."""
    victim = village.alive[7]  # holds records
    key = next(iter(victim.servers[4].storage))[0]
    methods: tuple[Method, ...] = ("ping", "stun", "find_node", "find_value", "store")
    worst = 0.0
    for method in methods:
        for size in (0, 200, 470, 1_000):
            ip = village.address()
            with stranger(ip) as source:
                keyed = key if method not in {"ping", "stun"} else b""
                packet = request(method, node=make_id(ip, os.urandom(20)), key=keyed, size=size)
                source.sendto(packet, victim.servers[4].own.endpoint)
                await asyncio.sleep(0.1)  # the answer, and a ping back
                worst = max(worst, received_bytes(source) / len(packet))
    return round(worst, 2)
