"""What a device knows follows its frames; the cursor follows only once everything was handed on."""

from __future__ import annotations

import pytest
from msgspec import Raw

from node.base.ids import EventId, RoomId, UserId
from node.client.news import CardChanged, Entry, Named, ReceiptMoved, WaitingChanged
from node.client.view import View
from node.wire import c2s
from tests.vectors import generate
from tests.vectors.generate import ALICE, BOB, CAROL, NODE, ROOM

ENTRIES = c2s.Entries(
    tuple(Raw(c2s.encode_entry(told.entry(ROOM, 41 + told.head.idx))) for told in generate.STORY.told)
)
SAID = EventId(generate.STORY.told[0].entry(ROOM, 42).event_id)
CARD = c2s.Card(room=ROOM, kind="group", name="Walk", hub=NODE, as_of=0, read_idx=0, unread=0, mentions=0)


def welcome(*, resumed: bool) -> c2s.Welcome:
    return c2s.Welcome(1, NODE, "casa.example", CAROL, b"d" * 16, 50, resumed, 60, 30, 0)


def view() -> View:
    made = View(cursor=None)
    made.begin(welcome(resumed=False))
    made.cursor = 41
    return made


def waiting(*, code: str = "", gone: bool = False) -> c2s.Waiting:
    return c2s.Waiting((c2s.WaitingItem(ROOM, SAID, b"c" * 16, "text", b"", 1, code, "", NODE, gone),))


def test_the_cursor_moves_when_every_entry_was_handed_on() -> None:
    known = view()
    told = known.take(ENTRIES)
    first = next(told)
    assert isinstance(first, Entry)
    assert known.cursor == 41, "whoever stops here gets all of it again"
    assert len([first, *told]) == len(ENTRIES.entries)
    assert known.cursor == 41 + len(ENTRIES.entries)


def test_a_room_keeps_its_place_when_its_card_changes() -> None:
    known = view()
    assert list(known.take(c2s.Rooms((CARD,), (c2s.Person(BOB, "Bob"),), more=False))) == [CardChanged(CARD)]
    room = known.rooms[RoomId(ROOM)]
    list(known.take(ENTRIES))
    list(known.take(c2s.RoomChanged(CARD, ())))
    assert known.rooms[RoomId(ROOM)] is room
    assert known.entry(RoomId(ROOM), SAID) is not None
    assert known.names == {BOB: "Bob"}


def test_a_snapshot_starts_anew_and_a_resumed_connection_does_not() -> None:
    known = view()
    list(known.take(c2s.Rooms((CARD,), (), more=False)))
    known.begin(welcome(resumed=True))
    assert (known.cursor, len(known.rooms)) == (41, 1)
    known.begin(welcome(resumed=False))
    assert (known.cursor, len(known.rooms)) == (None, 0)
    assert known.user == CAROL


def test_a_post_waits_until_it_is_refused_dismissed_or_has_its_place() -> None:
    known = view()
    assert [type(event) for event in known.take(waiting())] == [WaitingChanged]
    assert known.refusal(SAID) is None
    list(known.take(waiting(code="forbidden")))
    refusal = known.refusal(SAID)
    assert refusal is not None
    assert refusal.code == "forbidden"
    list(known.take(waiting(gone=True)))
    assert not known.waiting
    list(known.take(waiting()))
    list(known.take(ENTRIES))
    assert not known.waiting


def test_marks_move_the_cursor_only_forward() -> None:
    known = view()
    receipt = c2s.Receipt(ROOM, ALICE, 3, 2, 1)
    for seq in (45, 43):
        assert list(known.take(c2s.Receipts(seq, (receipt,)))) == [ReceiptMoved(receipt)]
    assert known.cursor == 45


@pytest.mark.parametrize("frame", [c2s.Pong(1), c2s.Done(1)])
def test_what_is_no_news_yields_nothing(frame: c2s.NodeFrame) -> None:
    assert list(view().take(frame)) == []


def test_names_are_told_one_by_one() -> None:
    people = c2s.People((c2s.Person(ALICE, "Alice"), c2s.Person(BOB, "Bob")))
    assert list(view().take(people)) == [Named(UserId(ALICE), "Alice"), Named(UserId(BOB), "Bob")]
