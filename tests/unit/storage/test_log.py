"""The log on disk: pages, cursors, erasing, and that every kind of damage is found."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.base.errors import Rejected
from node.base.ids import RoomId
from node.core import content
from node.core.unread import Counts
from node.storage import log as log_module
from node.storage.database import Tx
from node.storage.rooms import RoomRow
from node.wire import c2s
from node.wire.envelope import decode_event
from tests.unit.storage.ledger import Ledger


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    made = await Ledger.open(tmp_path)
    yield made
    await made.close()


async def garden(ledger: Ledger, *words: str) -> RoomId:
    """Alice's group with Bob, and Alice's words; entries 1 create, 2 invite, 3 join, 4… texts."""
    room = (await ledger.post("alice", b"", content.Create(name="Garden"), guests=("bob",))).room
    await ledger.post("bob", room, content.Join())
    for word in words:
        await ledger.post("alice", room, content.Text(text=word))
    return room


def row_of(ledger: Ledger, room: RoomId) -> RoomRow:
    row = ledger.services.db.view(lambda tx: ledger.services.rooms.peek(tx, room))
    assert row is not None
    return row


def idxs(raws: list[Any]) -> list[int]:
    return [c2s.decode_entry(bytes(raw)).idx for raw in raws]


def faults(ledger: Ledger, room: RoomId) -> list[log_module.Fault]:
    def walk(tx: Tx) -> list[log_module.Fault]:
        (row,) = [row for row in ledger.services.rooms.everyone(tx) if row.room == room]
        return list(log_module.verify(tx, row))

    return ledger.services.db.view(walk)


async def test_pages_go_both_ways(ledger: Ledger) -> None:
    room = await garden(ledger, *"abcdef")
    row, log = row_of(ledger, room), ledger.services.log

    def page(first: int, last: int, limit: int, *, back: bool) -> list[int]:
        return idxs(ledger.services.db.view(lambda tx: log.page(tx, room, row.pk, first, last, limit, back=back)))

    assert page(1, 9, 3, back=True) == [7, 8, 9]
    assert page(1, 6, 3, back=True) == [4, 5, 6]
    assert page(4, 9, 2, back=False) == [4, 5]
    assert page(8, 99, 9, back=False) == [8, 9]
    assert page(5, 4, 9, back=True) == []


async def test_what_follows_a_cursor_is_found_for_every_cursor(ledger: Ledger) -> None:
    room = await garden(ledger, *"abc")
    other = await garden(ledger, *"xyz")
    for word in "def":
        await ledger.post("alice", room, content.Text(text=word))
        await ledger.post("alice", other, content.Text(text=word))
    row, log = row_of(ledger, room), ledger.services.log
    whole = ledger.services.db.view(lambda tx: log.since(tx, room, row.pk, 0, 1, row.head.idx, 99))
    assert [idx for _, idx, _ in whole] == list(range(1, 10))
    for cursor in range(ledger.services.sync.head() + 2):
        found = ledger.services.db.view(
            partial(log.since, room=room, room_pk=row.pk, seq=cursor, first=3, last=8, limit=99)
        )
        assert found == [item for item in whole if item[0] > cursor and 3 <= item[1] <= 8]


async def test_a_page_read_while_entries_are_being_committed_skips_none(ledger: Ledger) -> None:
    """The writer's head is ahead of the disk then; the device must get what is on disk, and the rest later."""
    room = await garden(ledger, "a", "b")
    db, sync, bob = ledger.services.db, ledger.services.sync, ledger.actors["bob"]
    cursor = sync.head() - 1  # "b" was not delivered yet
    gate = threading.Event()
    db._committer.submit(gate.wait, 10)
    pending = [asyncio.ensure_future(ledger.post("alice", room, content.Text(text=word))) for word in "cdefghijklmnop"]
    while not db._conn.in_transaction:
        await asyncio.sleep(0)
    page = sync.page(bob, cursor, 60)
    assert idxs(list(page.entries)) == [5]
    gate.set()
    await asyncio.gather(*pending)
    rest = sync.page(bob, page.end, 60)
    assert idxs(list(rest.entries)) == list(range(6, 20))


async def test_history_of_what_is_not_on_disk_yet_is_empty(ledger: Ledger) -> None:
    from node.services.access import access_room

    room = await garden(ledger, "a")
    services = ledger.services
    gate = threading.Event()
    services.db._committer.submit(gate.wait, 10)
    pending = asyncio.ensure_future(ledger.post("alice", room, content.Text(text="b")))
    while not services.db._conn.in_transaction:
        await asyncio.sleep(0)
    access = services.db.view(lambda tx: access_room(tx, services.rooms, ledger.actors["bob"], room))
    assert services.sync.history(access, 5, 60, back=False).entries == ()
    assert idxs(list(services.sync.history(access, 0, 60, back=True).entries)) == [3, 4]
    gate.set()
    await pending


async def test_a_repeat_is_answered_and_not_repeated(ledger: Ledger) -> None:
    room = await garden(ledger)
    post = ledger.command(room, content.Text(text="once"))
    answers = [await ledger.services.posting.post(ledger.actors["alice"], post) for _ in range(3)]
    assert len({(answer.idx, answer.seq, answer.event_id, bytes(answer.raw)) for answer in answers}) == 1
    first = await ledger.services.posting.post(ledger.actors["bob"], post)  # another device may use the same number
    assert first.idx == answers[0].idx + 1


async def test_numbers_rise_even_when_the_clock_goes_back(ledger: Ledger) -> None:
    room = await garden(ledger)
    entries = []
    for jump in (0, -3600, 7200, -7200):
        ledger.clock.jump(seconds=jump)
        entries.append(c2s.decode_entry(bytes((await ledger.post("alice", room, content.Text(text="x"))).raw)))
    seqs = [decode_event(entry.event).author_seq for entry in entries]
    assert seqs == sorted(set(seqs))
    assert [entry.seq for entry in entries] == sorted({entry.seq for entry in entries})
    assert faults(ledger, room) == []


async def test_an_erased_message_leaves_nothing_but_the_chain(ledger: Ledger) -> None:
    room = await garden(ledger, "keep")
    call = content.Mention(user=ledger.user("bob"), start=0, len=6)
    said = await ledger.post("alice", room, content.Text(text="secret", mentions=(call,)))
    await ledger.post("alice", room, content.Edit(target=said.event_id, text="secret two"))
    await ledger.post("bob", room, content.Reaction(target=said.event_id, value="🤫"))
    await ledger.post("alice", room, content.Recall(target=said.event_id))
    services, row = ledger.services, row_of(ledger, room)
    stored = services.db.view(lambda tx: tx.all("SELECT salt, body, event FROM entries WHERE room = ?", (row.pk,)))
    marks = services.db.view(lambda tx: tx.all("SELECT message FROM marks"))
    assert b"secret" not in b"".join(part or b"" for line in [*stored, *marks] for part in line)
    bodies = [line[1] for line in stored]
    assert [idx for idx, body in enumerate(bodies, start=1) if body is None] == [5, 6]
    assert services.db.view(lambda tx: services.log.unread(tx, row.pk, ledger.actors["bob"].user_pk, 0, 99)) == (1, 0)
    assert faults(ledger, room) == []


DAMAGE = {
    "event": "UPDATE entries SET event = cast(substr(event, 1, length(event) - 1) || x'00' AS BLOB) WHERE idx = 5",
    "rubbish event": "UPDATE entries SET event = x'c1' WHERE idx = 5",
    "event id": "UPDATE entries SET event_id = zeroblob(32) WHERE idx = 5",
    "body": "UPDATE entries SET body = x'81a474657874a178' WHERE idx = 5",
    "salt": "UPDATE entries SET salt = zeroblob(16) WHERE idx = 5",
    "no salt": "UPDATE entries SET salt = NULL WHERE idx = 5",
    "no body": "UPDATE entries SET body = NULL, salt = NULL WHERE idx = 5",
    "no body of a join": "UPDATE entries SET body = NULL, salt = NULL WHERE idx = 3",
    "time": "UPDATE entries SET at_ms = at_ms + 1 WHERE idx = 5",
    "epoch": "UPDATE entries SET epoch = 2 WHERE idx = 5",
    "kind": "UPDATE entries SET kind = 'topic' WHERE idx = 5",
    "hash": "UPDATE entries SET log_hash = zeroblob(32) WHERE idx = 5",
    "last hash": "UPDATE entries SET log_hash = zeroblob(32) WHERE idx = 6",
    "missing": "DELETE FROM entries WHERE idx = 5",
    "missing first": "DELETE FROM entries WHERE idx = 1",
    "missing end": "DELETE FROM entries WHERE idx = 6",
    "order": "UPDATE entries SET idx = CASE idx WHEN 4 THEN -5 WHEN 5 THEN 4 ELSE idx END; UPDATE entries SET idx = 5 WHERE idx = -5",
    "head": "UPDATE rooms SET head_hash = zeroblob(32)",
    "head idx": "UPDATE rooms SET head_idx = 5",
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_every_kind_of_damage_is_found(ledger: Ledger, damage: str) -> None:
    room = await garden(ledger, "a", "b", "c")
    assert faults(ledger, room) == []
    ledger.services.db._conn.executescript(DAMAGE[damage])
    assert faults(ledger, room)


# --- unread: what SQL counts and what the fold counts ---------------------------------------------------------

moves = st.lists(
    st.tuples(
        st.sampled_from(("alice", "bob", "carol")),
        st.sampled_from(
            ("say", "say", "say", "call", "missed", "talked", "all", "edit", "recall", "react", "read", "leave", "join")
        ),
        st.integers(0, 20),
    ),
    max_size=30,
)


async def live(ledger: Ledger, plan: list[tuple[str, str, int]]) -> None:
    services = ledger.services
    room = (await ledger.post("alice", b"", content.Create(name="Garden"), guests=("bob", "carol"))).room
    for name in ("bob", "carol"):
        await ledger.post(name, room, content.Join())
    said: list[bytes] = [bytes(32)]
    for name, what, number in plan:
        target = said[number % len(said)]
        mention = content.Mention(user="all" if what == "all" else ledger.user("bob"), start=0, len=1)
        bodies: dict[str, content.Body] = {
            "say": content.Text(text="x"),
            "call": content.Text(text="x", mentions=(mention,)),
            "all": content.Text(text="x", mentions=(mention,)),
            "edit": content.Edit(target=target, text="y"),
            "recall": content.Recall(target=target),
            "react": content.Reaction(target=target, value="👍"),
            "leave": content.Leave(),
            "join": content.Join(),
        }
        try:
            if what in {"missed", "talked"}:
                said.append(await ring(ledger, name, room, missed=("bob",) if what == "missed" else ()))
                continue
            if what == "read":
                await read(ledger, name, room, number)
                continue
            if what == "join":
                await ledger.post("alice", room, content.Invite(user=ledger.user(name)))
            entry = await ledger.post(name, room, bodies[what])
        except Rejected:
            continue
        if isinstance(bodies[what], content.Text):
            said.append(entry.event_id)
    for name in ("alice", "bob", "carol"):
        compare(ledger, name, room)
    assert faults(ledger, room) == []
    assert services.db.trouble == ""


async def ring(ledger: Ledger, name: str, room: RoomId, *, missed: tuple[str, ...]) -> bytes:
    """Start and end of a call; the id of the end."""
    posting, actor = ledger.services.posting, ledger.actors[name]
    start = content.Call(call=bytes(16), state="start", media="audio")

    def write(tx: Tx) -> bytes:
        begun = posting.post_in(tx, actor, ledger.command(room, start)).event_id
        users = tuple(ledger.user(one) for one in missed)
        end = content.Call(call=bytes(16), state="end", media="audio", start=begun, result="missed", missed=users)
        return posting.post_in(tx, actor, ledger.command(room, end)).event_id

    return await ledger.services.db.write(write)


async def read(ledger: Ledger, name: str, room: RoomId, idx: int) -> None:
    from node.services.access import access_room

    services = ledger.services
    access = services.db.view(lambda tx: access_room(tx, services.rooms, ledger.actors[name], room))
    if access.present:
        await services.receipts.read_now(access, idx)


def compare(ledger: Ledger, name: str, room: RoomId) -> None:
    """The card of `name` against the fold over the whole log, marks of `name` included."""
    services, actor = ledger.services, ledger.actors[name]
    card = services.sync.card(actor, room)
    assert card is not None
    if card.state != "member":
        return
    counts = Counts(actor.user, card.read_idx)
    entries = services.db.view(lambda tx: services.log.page(tx, room, row_of(ledger, room).pk, 1, 999, 999, back=False))
    by_event: dict[bytes, int] = {}
    for raw in entries:
        entry = c2s.decode_entry(bytes(raw))
        event = decode_event(entry.event)
        by_event[entry.event_id] = entry.idx
        body = None if entry.body is None else content.decode_body(event.kind, entry.body)
        named = [mention.user for mention in body.mentions] if isinstance(body, content.Text) else []
        named += list(body.missed) if isinstance(body, content.Call) else []
        counts.entry(entry.idx, event.author, event.kind, named)  # type: ignore[arg-type]
        if isinstance(body, content.Recall):
            counts.erased(by_event[body.target])
    assert (card.unread, card.mentions) == (counts.unread, counts.mentions)
    assert card.read_idx == counts.read_idx, "own entries move the own mark"


@given(moves)
@settings(deadline=None, max_examples=25)
@pytest.mark.slow
def test_sql_and_fold_count_the_same(plan: list[tuple[str, str, int]]) -> None:
    async def story() -> None:
        with tempfile.TemporaryDirectory() as folder:
            ledger = await Ledger.open(Path(folder))
            await live(ledger, plan)
            await ledger.close()

    asyncio.run(story())
