"""The node says where it is when that is known, again when it changes, and asks peers to prove it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.discovery.reachability import Endpoint, Reachability, Witness
from node.discovery.resolver import Pin, Resolver
from node.discovery.service import Discovery
from node.runtime.clock import ManualClock
from node.runtime.targets import Targets
from node.services.ports import Candidate
from node.wire.location import Flag, LocBody
from node.wire.record import Record, Verifier, make_loc
from tests.links import identity
from tests.polling import until
from tests.unit.discovery.records import NOW_MS, NOW_S, nid_of, spot

BOB = Witness(nid_of("bob"), "1.1.1.1")
CAROL = Witness(nid_of("carol"), "9.9.9.9")
DAVE = Witness(nid_of("dave"), "192.168.1.9")


class Nothing:
    """A memory without content."""

    def pin(self, nid: NodeId) -> Pin | None:
        return None

    def addresses(self, nid: NodeId) -> Sequence[Candidate]:
        return ()

    def owner(self, domain: str) -> NodeId | None:
        return None

    def learned(self, record: Record) -> None:
        raise AssertionError("nothing is pinned")


class Maker:
    """Signs as alice; or not."""

    def __init__(self) -> None:
        self.bodies: list[LocBody] = []
        self.statements: Mapping[bytes, bytes] = {}
        self.revoked = False
        self.fenced = False

    def location(self, body: LocBody) -> bytes:
        if self.fenced:
            raise Rejected(Code.READ_ONLY, "An older copy of this node may be running.")
        self.bodies.append(body)
        who = identity("alice")
        seq = NOW_MS + len(self.bodies)
        return make_loc(chain=who.chain, cert=who.cert, op_key=who.op_key, seq=seq, now_s=NOW_S, body=body)


class Board:
    def __init__(self, *, refuses: bool = False) -> None:
        self.raws: list[bytes] = []
        self.refuses = refuses

    async def put_record(self, raw: bytes) -> int:
        self.raws.append(raw)
        if self.refuses:
            raise RemoteError("not joined")
        return 1


class Peers:
    """Peers that dial back, or do not."""

    def __init__(self, *witnesses: Witness, seen: str = "8.8.4.4") -> None:
        self.list = witnesses
        self.seen = seen
        self.asked: list[tuple[NodeId, int]] = []

    def witnesses(self) -> Sequence[Witness]:
        return self.list

    async def dial_back(self, nid: NodeId, port: int) -> str:
        self.asked.append((nid, port))
        if not self.seen:
            raise Rejected(Code.PEER_UNREACHABLE, "no answer")
        return self.seen


class Desk:
    def __init__(self, *, board: Board | None = None, peers: Peers | None = None, domain: str = "casa.example") -> None:
        self.maker = Maker()
        self.board = board or Board()
        self.told: list[bytes] = []
        clock = ManualClock(now_ms=NOW_MS)
        targets = Targets()
        self.discovery = Discovery(
            clock=clock,
            resolver=Resolver(clock=clock, targets=targets, memory=Nothing(), verify=Verifier()),
            reachability=Reachability(targets=targets),
            maker=self.maker,
            domain=domain,
            port=lambda: 8443,
            boards=[self.board],
            dialback=peers,
            published=self.told.append,
            addresses=lambda: ("192.168.1.5", "fe80::1%2"),
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Discovery]:
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.discovery.run(ready.set))
            await ready.wait()
            try:
                yield self.discovery
            finally:
                running.cancel()


async def test_the_first_record_names_the_domain_and_no_address() -> None:
    desk = Desk()
    async with desk.open() as discovery:
        await until(lambda: desk.board.raws)
        assert desk.maker.bodies == [LocBody(domain="casa.example", versions=(1,))]
        assert desk.board.raws == desk.told == [discovery.record]
        assert discovery.nearby() == ()
        assert discovery.seq == NOW_MS + 1


async def test_a_board_that_refuses_is_no_fault() -> None:
    desk = Desk(board=Board(refuses=True))
    async with desk.open():
        await until(lambda: desk.told)


async def test_a_fenced_node_publishes_nothing() -> None:
    desk = Desk()
    desk.maker.fenced = True
    async with desk.open() as discovery:
        for _ in range(20):
            await asyncio.sleep(0)
        assert discovery.record is None
        assert not desk.board.raws


async def test_a_revoked_node_publishes_its_tombstone_only() -> None:
    desk = Desk()
    desk.maker.revoked, desk.maker.statements = True, {b"rev": b"tombstone"}
    async with desk.open() as discovery:
        await until(lambda: desk.board.raws)
        assert desk.board.raws == [b"tombstone"]
        assert discovery.record is None


async def test_peers_outside_are_asked_to_dial_back_once_each() -> None:
    peers = Peers(BOB, CAROL, DAVE)
    desk = Desk(peers=peers)
    desk.discovery.mapped(Endpoint("8.8.4.4", 8443))
    async with desk.open() as discovery:
        await until(lambda: discovery.verdict().spots)
        assert peers.asked == [(BOB.nid, 8443), (CAROL.nid, 8443)]
        assert discovery.verdict().spots == (spot("8.8.4.4"),)
        assert discovery.verdict().flags == Flag.PUBLIC
        await discovery._ask_peers()
        assert len(peers.asked) == 2


async def test_a_peer_that_reaches_another_address_proves_that_one() -> None:
    peers = Peers(BOB, CAROL, seen="8.8.8.8")
    desk = Desk(peers=peers)
    desk.discovery.mapped(Endpoint("8.8.4.4", 8443))
    async with desk.open() as discovery:
        await until(lambda: len(peers.asked) == 2)
        assert discovery.verdict().spots == ()


async def test_a_peer_that_does_not_reach_us_proves_nothing_and_is_left_alone_for_a_while() -> None:
    peers = Peers(BOB, seen="")
    desk = Desk(peers=peers)
    desk.discovery.mapped(Endpoint("8.8.4.4", 8443))
    async with desk.open() as discovery:
        await until(lambda: peers.asked)
        await discovery._ask_peers()
        assert len(peers.asked) == 1
        assert discovery.verdict().spots == ()
    assert limits.DIALBACK_ASK_S > limits.DIALBACK_S


async def test_a_change_is_noticed() -> None:
    desk = Desk()
    async with desk.open() as discovery:
        await until(lambda: desk.told)
        discovery.observed(BOB, "4.4.4.4")
        discovery.mapped(Endpoint("100.64.0.7", 8443))
        await discovery._until_different()
        assert discovery.verdict().flags == Flag.CGNAT
    assert limits.PUBLISH_DEBOUNCE_S == 30
    assert limits.PUBLISH_EVERY_S == 3600
