"""Rooms in memory and on disk say the same, also after a batch was undone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import RoomId
from node.core import content
from node.core.roles import Role
from node.services.access import access_room
from node.storage.database import Tx
from node.storage.rooms import RoomRow
from tests.unit.storage.ledger import Ledger


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    made = await Ledger.open(tmp_path)
    yield made
    await made.close()


async def garden(ledger: Ledger) -> RoomId:
    room = (await ledger.post("alice", b"", content.Create(name="Garden"), guests=("bob",))).room
    await ledger.post("bob", room, content.Join())
    return room


def check_coherent(ledger: Ledger, room: RoomId) -> RoomRow:
    """Cache, row, ``members`` and ``invitations`` agree."""
    services = ledger.services
    cached = services.db.view(lambda tx: services.rooms.peek(tx, room))
    (stored,) = [row for row in services.db.view(lambda tx: list(services.rooms.everyone(tx))) if row.room == room]
    assert cached is not None
    assert (cached.state, cached.head, cached.head_seq) == (stored.state, stored.head, stored.head_seq)
    sql = "SELECT u.user FROM members m JOIN users u ON u.id = m.user WHERE m.room = ? AND m.last_idx IS NULL"
    assert {user for (user,) in services.db.view(lambda tx: tx.all(sql, (stored.pk,)))} == set(stored.state.members)
    sql = "SELECT u.user FROM invitations i JOIN users u ON u.id = i.user WHERE i.room = ?"
    assert {user for (user,) in services.db.view(lambda tx: tx.all(sql, (stored.pk,)))} == set(stored.state.invited)
    return stored


async def test_members_in_sql_follow_the_state(ledger: Ledger) -> None:
    room = await garden(ledger)
    check_coherent(ledger, room)
    for name, body in (
        ("alice", content.Invite(user=ledger.user("carol"))),
        ("carol", content.Join()),
        ("alice", content.SetRole(user=ledger.user("bob"), role=Role.ADMIN)),
        ("bob", content.Kick(user=ledger.user("carol"))),
        ("bob", content.Invite(user=ledger.user("dave"))),
        ("dave", content.Decline()),
        ("bob", content.Invite(user=ledger.user("dave"))),
        ("alice", content.Ban(user=ledger.user("dave"))),
        ("bob", content.Leave()),
    ):
        await ledger.post(name, room, body)
        check_coherent(ledger, room)


async def test_a_batch_that_was_undone_leaves_no_trace_in_memory(ledger: Ledger) -> None:
    room = await garden(ledger)
    before = check_coherent(ledger, room).state

    def fail(tx: Tx) -> None:
        tx.execute("INSERT INTO meta (key, value) VALUES ('half', 1)")
        raise ZeroDivisionError

    posting, alice = ledger.services.posting, ledger.actors["alice"]
    rename = asyncio.ensure_future(posting.post(alice, ledger.command(room, content.Rename(name="Forest"))))
    invite = asyncio.ensure_future(posting.post(alice, ledger.command(room, content.Invite(user=ledger.user("carol")))))
    results = await asyncio.gather(rename, ledger.services.db.write(fail), invite, return_exceptions=True)
    assert isinstance(results[1], ZeroDivisionError)
    after = check_coherent(ledger, room)
    assert (before.name, after.state.name) == ("Garden", "Forest")
    assert ledger.user("carol") in after.state.invited
    assert after.head.idx == 5, "each of the good ones was appended once"


async def test_no_two_entries_get_one_place(ledger: Ledger) -> None:
    """A head in memory that is not the one on disk is found out, and forgotten."""
    services, room = ledger.services, await garden(ledger)
    row = services.rooms._rows[room]
    row.head, row.stored_idx = row.head.__class__(1, 1, bytes(32)), 1
    with pytest.raises(RuntimeError, match="behind"):
        await ledger.post("alice", room, content.Text(text="in the place of another"))
    assert (await ledger.post("alice", room, content.Text(text="again"))).idx == 4
    check_coherent(ledger, room)


async def test_a_room_is_in_one_hand(ledger: Ledger) -> None:
    """Two objects of one room in one batch would give one place twice."""
    services, room = ledger.services, await garden(ledger)

    def write(tx: Tx) -> None:
        for _ in range(2):
            services.rooms._rows.clear()
            row = services.rooms.load(tx, room)
            assert row is not None
            services.rooms.touch(tx, row)

    with pytest.raises(RuntimeError, match="behind"):
        await services.db.write(write)


async def test_a_room_that_was_undone_does_not_exist(ledger: Ledger) -> None:
    def fail(tx: Tx) -> None:
        raise ZeroDivisionError

    posting, alice = ledger.services.posting, ledger.actors["alice"]
    post = ledger.command(b"", content.Create(name="Garden"))

    def create_and_fail(tx: Tx) -> None:
        posting._append(tx, alice, post, content.Create(name="Garden"))
        fail(tx)

    with pytest.raises(ZeroDivisionError):
        await ledger.services.db.write(create_and_fail)
    services = ledger.services
    assert services.db.view(lambda tx: list(services.rooms.everyone(tx))) == []
    assert services.rooms._rows == {}
    await garden(ledger)


async def test_what_was_read_stays_readable_after_leaving(ledger: Ledger) -> None:
    room = await garden(ledger)
    services, bob = ledger.services, ledger.actors["bob"]
    await ledger.post("bob", room, content.Leave())
    await ledger.post("alice", room, content.Text(text="he is gone"))
    access = services.db.view(lambda tx: access_room(tx, services.rooms, bob, room))
    assert (access.first, access.last, access.present) == (3, 4, False)
    with pytest.raises(Rejected) as refused:
        services.db.view(lambda tx: access_room(tx, services.rooms, ledger.actors["carol"], room))
    assert refused.value.code is Code.NOT_FOUND
    assert all("gone" not in str(entry) for entry in services.sync.page(bob, 0, 99).entries)


async def test_a_direct_chat_is_shown_with_its_first_message(ledger: Ledger) -> None:
    room = await ledger.direct("alice", "bob")
    assert room == await ledger.direct("bob", "alice")
    services, bob = ledger.services, ledger.actors["bob"]
    assert [card for frame in services.sync.snapshot(bob, None, services.sync.head()) for card in frame.rooms] == []
    await ledger.post("alice", room, content.Text(text="hello"))
    (frame,) = services.sync.snapshot(bob, None, services.sync.head())
    assert [(card.room, card.unread, card.peer) for card in frame.rooms] == [(room, 1, ledger.user("alice"))]


async def test_the_cache_has_an_end(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROOM_CACHE_MAX", 4)
    rooms = [await garden(ledger) for _ in range(6)]
    assert len(ledger.services.rooms._rows) <= 4
    await asyncio.gather(*(ledger.post("alice", room, content.Text(text="x")) for room in rooms))
    for room in rooms:
        assert check_coherent(ledger, room).head.idx == 4


async def test_a_device_that_was_away_is_told_of_a_hub_that_broke_its_rules(ledger: Ledger) -> None:
    room, services = await garden(ledger), ledger.services

    def accuse(tx: Tx) -> None:
        row = services.rooms.load(tx, room)
        assert row is not None
        services.rooms.set_trouble(tx, row, "forked")

    def changed(tx: Tx) -> list[RoomId]:
        pk = services.users.find(tx, ledger.actors["bob"].user)
        assert pk is not None
        return services.rooms.changed_since(tx, pk, services.log.head_seq(tx))

    assert services.db.view(changed) == []
    await services.db.write(accuse)
    assert services.db.view(changed) == [room]
