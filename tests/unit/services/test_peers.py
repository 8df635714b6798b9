"""Other nodes as an admin sees them, and what a decision about one of them does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.base.errors import Code, Rejected
from node.base.ids import NodeId, format_node
from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy
from node.services.peers import PeerLink, Peers
from node.storage.database import Database
from node.storage.outbox import DIRECT, Outbox
from node.storage.peers import ALLOW, BLOCK, OPEN, PeerStore, Quarantine

A, B, C = (NodeId(bytes([n]) * 32) for n in (1, 2, 3))


class Links:
    """A table of links as a federation service has it."""

    def __init__(self) -> None:
        self.links: list[PeerLink] = []
        self.dialling: list[NodeId] = []
        self.done: list[tuple[str, NodeId | None]] = []

    def open_links(self) -> list[PeerLink]:
        return self.links

    def wake(self, nid: NodeId) -> None:
        self.done.append(("wake", nid))

    def drop(self, nid: NodeId, reason: str = "closed") -> None:
        self.done.append((reason, nid))

    def nudge(self, nid: NodeId | None = None) -> None:
        self.done.append(("nudge", nid))


class Office:
    def __init__(self, path: Path) -> None:
        clock = ManualClock()
        self.db = Database(path=path / "startalk.db", clock=clock)
        self.store, self.outbox = PeerStore(), Outbox(clock=clock, entropy=SeededEntropy("peers"))
        self.peers = Peers(db=self.db, store=self.store, outbox=self.outbox, quarantine=Quarantine(), clock=clock)
        self.links = Links()
        self.peers.attach(self.links)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.db.abandon()


async def test_the_page_of_peers(office: Office) -> None:
    pk = (await office.db.write(lambda tx: office.store.ensure(tx, A, 1))).pk
    await office.db.write(lambda tx: office.outbox.enqueue(tx, pk, DIRECT, body=b"x"))
    await office.db.write(lambda tx: office.store.dialled(tx, pk, 5, "connection refused"))
    for nid in (B, C):
        await office.db.write(lambda tx, nid=nid: office.store.ensure(tx, nid, 1))  # type: ignore[misc]
    office.links.links = [
        PeerLink(nid=C, address="192.0.2.1", url="", dialled=False, age_s=3.0, rtt_ms=1.5, skew_ms=-20, under_way=4)
    ]
    office.links.dialling = [A]
    rows = await office.peers.all()
    assert [(row.nid, row.state) for row in rows] == [(C, "linked"), (A, "dialling"), (B, "offline")]
    assert (rows[0].path, rows[0].rtt_ms, rows[0].skew_ms, rows[0].under_way) == ("in 192.0.2.1", 1.5, -20, 4)
    assert (rows[1].queue_rows, rows[1].dial_error, rows[1].refused) == (1, "connection refused", 0)


async def test_one_peer_with_its_addresses(office: Office) -> None:
    with pytest.raises(Rejected) as refused:
        office.peers.get(A)
    assert refused.value.code is Code.NOT_FOUND
    pk = (await office.db.write(lambda tx: office.store.ensure(tx, A, 1))).pk
    await office.db.write(lambda tx: office.store.address_ok(tx, pk, "ws://a.test/s2s", "typed", 2, tls=False))
    office.links.links = [
        PeerLink(
            nid=A,
            address="192.0.2.1",
            url="ws://a.test/s2s",
            dialled=True,
            age_s=3.0,
            rtt_ms=None,
            skew_ms=0,
            under_way=0,
        )
    ]
    state = office.peers.get(A)
    assert state.path == "out ws://a.test/s2s"
    assert [address.url for address in state.addresses] == ["ws://a.test/s2s"]


async def test_a_policy_is_kept_and_takes_effect(office: Office) -> None:
    assert not office.peers.is_blocked(A)
    await office.peers.set_policy(A, BLOCK)
    assert office.peers.is_blocked(A)
    assert not office.peers.get(A).known, "to block somebody is not to know them"
    await office.peers.set_policy(A, ALLOW)
    await office.peers.set_policy(A, OPEN)
    assert office.links.done == [("blocked", A), *[("wake", A), ("nudge", A)] * 2]
    with pytest.raises(Rejected):
        await office.peers.set_policy(A, "maybe")


async def test_a_domain_belongs_to_the_first_that_proved_it(office: Office) -> None:
    assert office.peers.name_of(A) == format_node(A)
    await office.peers.pin_domain(A, "casa.example", "well-known")
    assert office.peers.name_of(A) == "casa.example"
    with pytest.raises(Rejected) as refused:
        await office.peers.pin_domain(B, "casa.example", "well-known")
    assert refused.value.code is Code.KEY_CHANGED
    assert office.peers.name_of(B) == format_node(B)
    assert office.peers.get(B).domain_state == "conflict"
