"""Neighbours on loopback: two nodes find each other, and a liar in the network gains little (security class 13).

The liar speaks raw multicast DNS. Memory is measured on the process, with everything the library keeps.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.base import limits
from node.base.ids import NodeId, format_node
from node.discovery.lan import Lan
from node.discovery.proto.neighbours import SERVICE
from node.runtime.clock import SystemClock
from node.runtime.targets import Exceptions, Targets

pytestmark = pytest.mark.xdist_group("mdns")
TARGETS = Targets(exceptions=Exceptions.parse(allow=["127.0.0.0/8"]))
GROUP = ("224.0.0.251", 5353)


_SALT = [b""]


@pytest.fixture(autouse=True)
def strangers_to_each_other() -> None:
    """Every test has its own nodes: a late packet of another test, or of another run on this machine, is about somebody else."""
    _SALT[0] = os.urandom(16)


def nid_of(name: str) -> NodeId:
    return NodeId(hashlib.sha256(_SALT[0] + name.encode()).digest())


class House:
    """A node's ear and mouth in the network, and the news it had."""

    def __init__(
        self,
        name: str,
        *,
        port: int = 8443,
        known: tuple[NodeId, ...] = (),
        addresses: tuple[str, ...] = ("127.0.0.1",),
    ) -> None:
        self.nid = nid_of(name)
        self.found: list[NodeId] = []
        self.lan = Lan(
            nid=self.nid,
            clock=SystemClock(),
            targets=TARGETS,
            port=lambda: port,
            seq=lambda: 7,
            known=known.__contains__,
            found=self.found.append,
            addresses=lambda: addresses,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[House]:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.lan.run())
            try:
                yield self
            finally:
                running.cancel()


async def until(true: Callable[[], object], within_s: float = 5) -> float:
    """Seconds until `true()`."""
    clock = SystemClock()
    began = clock.monotonic()
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.005)
    return clock.monotonic() - began


# --- a liar ---------------------------------------------------------------------------------------------


def name(text: str) -> bytes:
    labels = [label.encode() for label in text.rstrip(".").split(".")]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def record(owner: str, kind: int, data: bytes, ttl: int = 120) -> bytes:
    return name(owner) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def announcement(nid: NodeId, *, ip: str = "127.0.0.66", port: int = 6666, ttl: int = 120, txt: bytes | None = None,
                 label: str = "") -> bytes:  # fmt: skip
    """A packet that says: `nid` is at `ip`."""
    instance = f"{label or format_node(nid)}.{SERVICE}"
    host = f"h{format_node(nid)[:20]}.local."
    keys = (b"v=1", b"id=" + format_node(nid).encode(), b"seq=1")
    text = b"".join(bytes((len(key),)) + key for key in keys) if txt is None else txt
    answers = [
        record(SERVICE, 12, name(instance), ttl),
        record(instance, 33, struct.pack("!HHH", 0, 0, port) + name(host), ttl),
        record(instance, 16, text, ttl),
        record(host, 1, socket.inet_aton(ip), ttl),
    ]
    return struct.pack("!HHHHHH", 0, 0x8400, 0, len(answers), 0, 0) + b"".join(answers)


@pytest.fixture
def shout() -> Iterator[Callable[[bytes], None]]:
    speaker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    speaker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    speaker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    speaker.bind(("127.0.0.1", 5353))

    def send(packet: bytes) -> None:
        speaker.sendto(packet, GROUP)

    yield send
    speaker.close()


# --- stories --------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_two_nodes_find_each_other(record_property: Callable[[str, object], None]) -> None:
    alice, bob = House("alice"), House("bob", port=9443)
    async with alice.open(), bob.open():
        seconds = await until(lambda: alice.lan.nearby() and bob.lan.nearby())
        record_property("found_s", round(seconds, 3))
        assert [near.nid for near in alice.lan.nearby()] == [bob.nid]
        assert alice.found == [bob.nid]
        (claim,) = alice.lan.claims(bob.nid)
        assert (claim.addresses, claim.port, claim.seq) == (("127.0.0.1",), 9443, 7)


@pytest.mark.slow
async def test_a_node_that_goes_is_gone_soon() -> None:
    alice, bob = House("alice"), House("bob")
    async with alice.open():
        async with bob.open():
            await until(alice.lan.nearby)
        await until(lambda: not alice.lan.nearby(), within_s=3 * limits.LAN_GOODBYE_S)


@pytest.mark.slow
async def test_who_looks_for_a_node_hears_at_once_or_not_at_all() -> None:
    alice, bob = House("alice"), House("bob")
    async with alice.open(), bob.open():
        assert await alice.lan.look_for(bob.nid)
        async with asyncio.timeout(10 * limits.LAN_WAIT_MS / 1000):
            assert await alice.lan.look_for(nid_of("nobody")) == ()


@pytest.mark.slow
async def test_a_false_claim_stands_beside_the_true_one(shout: Callable[[bytes], None]) -> None:
    alice, bob = House("alice"), House("bob")
    async with alice.open(), bob.open():
        await until(lambda: alice.lan.claims(bob.nid))
        shout(announcement(bob.nid, label=format_node(bob.nid) + "-2"))
        await until(lambda: len(alice.lan.claims(bob.nid)) == 2)
        assert [claim.port for claim in alice.lan.claims(bob.nid)] == [8443, 6666]
        shout(announcement(bob.nid, label=format_node(nid_of("carol"))))
        shout(announcement(nid_of("dave")))
        await until(lambda: alice.lan.claims(nid_of("dave")))
        assert len(alice.lan.claims(bob.nid)) == 2, "the name of an instance begins with the nid it claims"


@pytest.mark.slow
async def test_a_forged_goodbye_removes_nobody(shout: Callable[[bytes], None]) -> None:
    alice, bob = House("alice"), House("bob")
    async with alice.open(), bob.open():
        await until(lambda: alice.lan.claims(bob.nid))
        for _ in range(5):
            shout(announcement(bob.nid, ip="127.0.0.1", port=8443, ttl=0))
        clock = SystemClock()
        began = clock.monotonic()
        while clock.monotonic() - began < 2 * limits.LAN_GOODBYE_S:
            assert alice.lan.claims(bob.nid)
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_flood_fills_the_table_and_no_more(shout: Callable[[bytes], None]) -> None:
    bob = House("bob")
    alice = House("alice", known=(bob.nid,))
    async with alice.open():
        await until(lambda: alice.lan._zeroconf)
        await flood(shout, 2_000, seed="warm")
        before = memory_kib()
        await flood(shout, 12_000, seed="flood")
        assert len(alice.lan.nearby()) == limits.LAN_ENTRIES_MAX
        async with bob.open():
            await until(lambda: alice.lan.claims(bob.nid))
        assert len(alice.lan.nearby()) <= limits.LAN_ENTRIES_MAX
        assert memory_kib() - before < 16 * 1024


@pytest.mark.slow
async def test_a_huge_txt_is_ignored(shout: Callable[[bytes], None]) -> None:
    bob = House("bob")
    alice = House("alice")
    ours = b"".join(bytes((len(key),)) + key for key in (b"v=1", b"id=" + format_node(bob.nid).encode(), b"seq=1"))
    async with alice.open():
        await until(lambda: alice.lan._zeroconf)
        before = memory_kib()
        for _ in range(200):
            shout(announcement(bob.nid, txt=ours + (b"\xff" + b"x" * 255) * 30))
        shout(announcement(bob.nid, txt=ours[:-1]))
        shout(announcement(bob.nid, txt=b"\xff"))
        shout(b"\0" * 12 + os.urandom(500))
        shout(announcement(nid_of("last")))
        await until(lambda: alice.lan.claims(nid_of("last")))
        assert not alice.lan.claims(bob.nid)
        assert memory_kib() - before < 8 * 1024


async def flood(shout: Callable[[bytes], None], count: int, *, seed: str) -> None:
    for number in range(count):
        shout(announcement(nid_of(f"{seed} {number}")))
        if number % 20 == 0:
            await asyncio.sleep(0)


def memory_kib() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024
