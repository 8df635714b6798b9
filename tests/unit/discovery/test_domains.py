"""A domain belongs to a node when both say so, and only then."""

from __future__ import annotations

import asyncio

from node.base.errors import Code, Rejected
from node.base.ids import NodeId
from node.discovery.domains import AGAIN_S, REMEMBERED, WAITING_MAX, Domains
from node.runtime.clock import ManualClock
from node.services.peers import PeerLink
from node.wire.record import Verifier
from tests.unit.discovery.records import NOW_MS, nid_of, raw_of

ALICE, BOB = nid_of("alice"), nid_of("bob")
DOMAIN = "casa.example"


class World:
    """Links, the resolver and the pins."""

    def __init__(self) -> None:
        self.records = {ALICE: raw_of("alice", domain=DOMAIN), BOB: raw_of("bob")}
        self.owners = {DOMAIN: ALICE}
        self.pinned: dict[NodeId, str] = {}
        self.asked: list[NodeId] = []
        self.clock = ManualClock(now_ms=NOW_MS)
        self.domains = Domains(links=lambda: self, owners=self, pins=self, verify=Verifier(), clock=self.clock)

    def open_links(self) -> list[PeerLink]:
        return []

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        assert (method, args) == ("who", bytes(nid))
        self.asked.append(nid)
        if nid not in self.records:
            raise Rejected(Code.NOT_FOUND, "Nothing is known of this node.")
        return self.records[nid]

    async def who_owns(self, domain: str) -> NodeId:
        if domain not in self.owners:
            raise Rejected(Code.PEER_UNREACHABLE, "This domain does not say which node it has.")
        return self.owners[domain]

    def has_domain(self, nid: NodeId) -> bool:
        return nid in self.pinned

    async def pin_domain(self, nid: NodeId, domain: str, proof: str) -> None:
        assert proof
        if domain in self.pinned.values():
            raise Rejected(Code.KEY_CHANGED, "It belonged to another node before.")
        self.pinned[nid] = domain


async def test_both_say_so() -> None:
    world = World()
    running = asyncio.ensure_future(world.domains.run(lambda: None))
    world.domains.heard(ALICE)
    while not world.pinned:
        await asyncio.sleep(0)
    running.cancel()
    assert world.pinned == {ALICE: DOMAIN}


async def test_one_word_is_not_enough() -> None:
    world = World()
    world.owners[DOMAIN] = BOB
    await world.domains.check(ALICE)
    del world.owners[DOMAIN]
    await world.domains.check(ALICE)
    await world.domains.check(BOB)
    for raw in (world.records[BOB], b"", b"rubbish"):
        world.records[ALICE] = raw  # of somebody else, or none
        await world.domains.check(ALICE)
    await world.domains.check(nid_of("mute"))
    assert not world.pinned


async def test_a_pin_of_another_node_stays() -> None:
    world = World()
    world.pinned[BOB] = DOMAIN
    await world.domains.check(ALICE)
    assert world.pinned == {BOB: DOMAIN}


async def test_a_node_is_asked_about_once_in_a_while() -> None:
    world = World()
    running = asyncio.ensure_future(world.domains.run(lambda: None))
    for wait_s, count in ((0, 1), (AGAIN_S - 1, 1), (1, 2)):
        world.clock.advance(seconds=wait_s)
        world.domains.heard(BOB)
        for _ in range(10):
            await asyncio.sleep(0)
        assert world.asked == [BOB] * count
    world.pinned[BOB] = DOMAIN
    world.clock.advance(seconds=AGAIN_S)
    world.domains.heard(BOB)
    running.cancel()
    assert world.domains._waiting.empty()


def test_a_crowd_fills_nothing() -> None:
    world = World()
    for number in range(REMEMBERED + 2):
        world.domains.heard(NodeId(number.to_bytes(32)))
        if number >= WAITING_MAX:
            world.domains._waiting.get_nowait()
    assert len(world.domains._asked_s) <= REMEMBERED
    assert world.domains._waiting.qsize() <= WAITING_MAX
