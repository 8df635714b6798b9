"""Pins only go forward; strangers leave nothing behind; refused items are kept a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.base.ids import NodeId, make_user
from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy
from node.storage import contacts
from node.storage.cursors import Cursors
from node.storage.database import Database, Tx
from node.storage.outbox import DIRECT, Outbox
from node.storage.peers import ADDRESSES_KEPT, BLOCK, PeerStore, Proof, Quarantine, Quarantined

NID = NodeId(b"n" * 32)
STORE = PeerStore()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = Database(path=tmp_path / "startalk.db", clock=ManualClock())
    yield db
    db.abandon()


def proof(rotations: int, incarnation: int, op: bytes = b"op") -> Proof:
    return Proof(nid=NID, chain=b"chain", cert=b"cert", op=op, rotations=rotations, incarnation=incarnation)


async def test_a_pin_goes_forward_only(db: Database) -> None:
    for shown, taken in (
        (proof(0, 2), True),
        (proof(0, 2), True),
        (proof(0, 1), False),
        (proof(0, 2, b"another"), False),
        (proof(1, 1), True),
        (proof(0, 9), False),
    ):
        row = await db.write(lambda tx, shown=shown: STORE.prove(tx, shown, 1))  # type: ignore[misc]
        assert (row is not None) is taken, shown
    row = db.view(lambda tx: STORE.find(tx, NID))
    assert row is not None
    assert (row.rotations, row.incarnation, row.op) == (1, 1, b"op")
    assert row.peer.pk == row.pk


async def test_the_row_of_a_stranger_goes_with_its_link(db: Database) -> None:
    outbox = Outbox(clock=ManualClock(), entropy=SeededEntropy("peers"))
    row = await db.write(lambda tx: STORE.ensure(tx, NID, 1, known=False))
    await db.write(lambda tx: outbox.run(tx, row.pk))
    await db.write(lambda tx: STORE.address_ok(tx, row.pk, "ws://a.test/s2s", "typed", 1, tls=False))
    await db.write(lambda tx: STORE.forget_stranger(tx, row.pk))
    assert db.view(lambda tx: STORE.find(tx, NID)) is None
    again = await db.write(lambda tx: STORE.ensure(tx, NID, 1, known=False))
    assert again.pk > row.pk, "numbers are given once"


async def test_what_a_stranger_was_refused_goes_with_its_link(db: Database) -> None:
    row = await db.write(lambda tx: STORE.ensure(tx, NID, 1, known=False))
    item = Quarantined(1, 0, "bad_request", b"x", 1)
    await db.write(lambda tx: Cursors().begin(tx, row.pk, b"12345678", 1))
    await db.write(lambda tx: Quarantine().put(tx, row.pk, b"12345678", item, 9))
    await db.write(lambda tx: STORE.forget_stranger(tx, row.pk))
    assert db.view(STORE.all) == []
    assert db.view(lambda tx: Quarantine().count(tx, row.pk)) == 0


def _ask(tx: Tx) -> None:
    """Somebody of NID stands in the contacts of an account here."""
    tx.execute("INSERT INTO users (id, user) VALUES (7, 'alice'), (8, ?)", (make_user("bob", NID),))
    tx.execute(
        "INSERT INTO accounts (id, local, skeleton, role, password, created_ms) VALUES (7, 'a', 'a', 'user', '', 1)"
    )
    contacts.put(tx, 7, 8, contacts.ContactState.ASKING, at_ms=1)


def _offer(tx: Tx) -> None:
    """A group of NID is offered to somebody here."""
    tx.execute("INSERT INTO users (id, user) VALUES (7, 'alice')")
    tx.execute("INSERT INTO offers (user, room, hub, at_ms) VALUES (7, x'00', ?, 1)", (NID,))


@pytest.mark.parametrize("tie", ["known", "blocked", "outbox", "contact", "offer"])
async def test_a_peer_that_matters_is_kept(db: Database, tie: str) -> None:
    outbox = Outbox(clock=ManualClock(), entropy=SeededEntropy("peers"))
    row = await db.write(lambda tx: STORE.ensure(tx, NID, 1, known=False))
    ties: dict[str, Callable[[Tx], object]] = {
        "known": lambda tx: STORE.know(tx, row.pk),
        "blocked": lambda tx: STORE.set_policy(tx, row.pk, BLOCK),
        "outbox": lambda tx: outbox.enqueue(tx, row.pk, DIRECT, body=b"x"),
        "contact": _ask,
        "offer": _offer,
    }
    await db.write(ties[tie])
    await db.write(lambda tx: STORE.forget_stranger(tx, row.pk))
    assert db.view(lambda tx: STORE.get(tx, row.pk)) is not None


async def test_addresses_that_worked_come_first_and_are_bounded(db: Database) -> None:
    row = await db.write(lambda tx: STORE.ensure(tx, NID, 1))
    for n in range(ADDRESSES_KEPT + 3):
        url = f"ws://{n}.test/s2s"
        await db.write(lambda tx, url=url, n=n: STORE.address_ok(tx, row.pk, url, "typed", n, tls=n == 5))  # type: ignore[misc]
    await db.write(lambda tx: STORE.address_ok(tx, row.pk, "ws://5.test/s2s", "typed", 100, tls=False))
    await db.write(lambda tx: STORE.address_failed(tx, row.pk, "ws://7.test/s2s", 101))
    rows = db.view(lambda tx: STORE.addresses(tx, row.pk))
    assert len(rows) == ADDRESSES_KEPT
    assert rows[0].url == "ws://5.test/s2s"
    assert rows[0].tls == 1, "a place that had TLS once must have it again"
    assert next(one for one in rows if one.url == "ws://7.test/s2s").failed_ms == 101


async def test_a_domain_pin_is_moved_by_a_transfer_only(db: Database) -> None:
    other = NodeId(b"o" * 32)
    assert await db.write(lambda tx: STORE.pin_domain(tx, "casa.example", NID, 1, "well-known"))
    assert not await db.write(lambda tx: STORE.pin_domain(tx, "casa.example", other, 2, "well-known"))
    await db.write(lambda tx: STORE.move_domain(tx, "casa.example", other, 3, "transfer"))
    assert db.view(lambda tx: STORE.domain_owner(tx, "casa.example")) == other


async def test_what_was_noticed_about_a_peer(db: Database) -> None:
    row = await db.write(lambda tx: STORE.ensure(tx, NID, 1))
    await db.write(lambda tx: STORE.dialled(tx, row.pk, 5, "refused"))
    await db.write(lambda tx: STORE.put_record(tx, row.pk, b"record", 9))
    await db.write(lambda tx: STORE.set_domain(tx, row.pk, "casa.example", "verified", 4))
    found = db.view(STORE.all)[0]
    assert (found.dialled_ms, found.dial_error, found.record_seq, found.domain) == (5, "refused", 9, "casa.example")
    await db.write(lambda tx: STORE.seen(tx, row.pk, 7, -20))
    assert db.view(lambda tx: [peer.dial_error for peer in STORE.linked_since(tx, 6)]) == [""]
    await db.write(lambda tx: STORE.set_policy(tx, row.pk, BLOCK))
    assert db.view(lambda tx: STORE.linked_since(tx, 6)) == []


async def test_refused_items_are_kept_up_to_a_number_and_a_time(db: Database) -> None:
    row = await db.write(lambda tx: STORE.ensure(tx, NID, 1))
    store = Quarantine()
    for n in range(1, 6):
        item = Quarantined(n, 0, "bad_request", b"x", n)
        await db.write(lambda tx, item=item: store.put(tx, row.pk, b"run", item, 3))  # type: ignore[misc]
    assert db.view(lambda tx: store.of_run(tx, row.pk, b"run", 2)) == [(4, "bad_request"), (5, "bad_request")]
    assert db.view(lambda tx: store.of_run(tx, row.pk, b"other", 2)) == []
    await db.write(lambda tx: store.forget(tx, 5))
    assert db.view(lambda tx: store.count(tx, row.pk)) == 1
