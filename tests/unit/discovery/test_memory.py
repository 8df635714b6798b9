"""What the tables of peers say to the resolver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from node.base.ids import NodeId
from node.discovery.memory import PeerMemory
from node.discovery.resolver import Pin
from node.runtime.clock import ManualClock
from node.services.ports import Candidate
from node.storage.database import Database, Tx
from node.storage.peers import PeerStore, Proof
from node.wire.codec import encode
from tests.links import identity
from tests.unit.discovery.records import NOW_MS, nid_of, record_of

PEERS = PeerStore()
ALICE = identity("alice", rotations=1)


@pytest.fixture
async def db(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Database]:
    made = Database(path=tmp_path / "startalk.db", clock=clock)
    yield made
    await made.close()


def prove(tx: Tx) -> int:
    PEERS.ensure(tx, ALICE.nid, 1)
    proof = Proof(
        nid=ALICE.nid,
        chain=encode(ALICE.chain),
        cert=encode(ALICE.cert),
        op=ALICE.cert.op,
        rotations=1,
        incarnation=1,
    )
    row = PEERS.prove(tx, proof, 1, known=True)
    assert row is not None
    PEERS.put_record(tx, row.pk, b"record", 77)
    PEERS.set_domain(tx, row.pk, "casa.example", "claimed", 1)
    PEERS.pin_domain(tx, "casa.example", ALICE.nid, 1, "wellknown")
    return row.pk


async def test_a_node_that_proved_itself_is_pinned(db: Database) -> None:
    memory = PeerMemory(db=db, peers=PEERS, clock=ManualClock())
    await db.write(lambda tx: PEERS.ensure(tx, ALICE.nid, 1))
    assert memory.pin(ALICE.nid) is None
    assert not memory.knows(ALICE.nid)
    await db.write(prove)
    assert memory.knows(ALICE.nid)
    assert memory.pin(ALICE.nid) == Pin(rotations=1, incarnation=1, seq=77, chain=ALICE.chain, domain="casa.example")
    assert memory.owner("casa.example") == ALICE.nid
    assert memory.owner("other.example") is None


async def test_addresses_come_as_they_worked(db: Database) -> None:
    memory = PeerMemory(db=db, peers=PEERS, clock=ManualClock())
    assert memory.addresses(ALICE.nid) == ()
    pk = await db.write(prove)

    def links(tx: Tx) -> None:
        PEERS.address_ok(tx, pk, "wss://192.168.1.5:8443/s2s", "mdns", 10, tls=True)
        PEERS.address_ok(tx, pk, "wss://casa.example/s2s", "domain", 20, tls=True)

    await db.write(links)
    assert memory.addresses(ALICE.nid) == [
        Candidate("wss://casa.example/s2s", "domain", check_certificate=True),
        Candidate("wss://192.168.1.5:8443/s2s", "mdns", lan=True),
    ]


async def test_a_newer_record_raises_the_pin(db: Database) -> None:
    told: list[NodeId] = []
    memory = PeerMemory(db=db, peers=PEERS, clock=ManualClock(), moved=told.append)
    await db.write(prove)
    newest = msgspec.structs.replace(record_of("alice", seq=NOW_MS), rotations=1, op=ALICE.cert.op)
    assert newest.nid == ALICE.nid
    memory.learned(msgspec.structs.replace(newest, seq=77))
    memory.learned(msgspec.structs.replace(newest, rotations=0))
    memory.learned(msgspec.structs.replace(newest, op=bytes(32)))
    await db.write(lambda tx: None)
    assert told == []
    memory.learned(newest)
    await db.write(lambda tx: None)
    assert told == [ALICE.nid]
    pin = memory.pin(ALICE.nid)
    assert pin is not None
    assert pin.seq == NOW_MS


async def test_records_of_strangers_are_not_kept(db: Database) -> None:
    memory = PeerMemory(db=db, peers=PEERS, clock=ManualClock())
    memory.learned(record_of("bob"))
    await db.write(lambda tx: None)
    assert db.view(lambda tx: PEERS.find(tx, nid_of("bob"))) is None
