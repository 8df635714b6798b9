"""The fold of a room on a device, fed with the story of the vectors: feed, pages, repeats, any of them first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from node.base.ids import EventId, UserId
from node.client.news import Entry, parse_entry
from node.client.room import MESSAGES_KEPT, Room
from node.wire import c2s
from tests.vectors import generate
from tests.vectors.generate import ALICE, BOB, CAROL, NODE, ROOM

LIVE = [parse_entry(bytes(c2s.encode_entry(told.entry(ROOM, 41 + told.head.idx)))) for told in generate.STORY.told]
LATER = [parse_entry(bytes(c2s.encode_entry(entry))) for entry in generate.entries()]
SHOWN = ["Where do we meet?", "at the bridge", "", "", "Poll: bridge or mill?"]


def card(*, as_of: int = 0, read_idx: int = 0, unread: int = 0, mentions: int = 0) -> c2s.Card:
    return c2s.Card(
        room=ROOM, kind="group", name="Walk", hub=NODE, as_of=as_of, read_idx=read_idx, unread=unread, mentions=mentions
    )


def told(entries: list[Entry], user: str = CAROL) -> Room:
    room = Room(card(), UserId(user))
    for entry in entries:
        room.take_entry(entry)
    return room


def test_the_feed_leads_to_what_people_read() -> None:
    assert told(LIVE).texts() == SHOWN


def test_a_page_from_later_leads_to_the_same() -> None:
    room = Room(card(), CAROL)
    room.take_page(LATER, generate.marks())
    assert room.texts() == SHOWN
    answer = room.messages[EventId(LATER[4].event_id)]
    assert (answer.edits, answer.reactions) == (1, {"👍": (ALICE,)})
    assert room.messages[EventId(LATER[9].event_id)].reason == "off topic"


@given(st.lists(st.sampled_from(LIVE), max_size=30))
def test_repeats_change_nothing(repeats: list[Entry]) -> None:
    room = told(LIVE)
    before = (room.texts(), dict(room.messages), room.unread, room.mentions)
    assert not any(room.take_entry(entry) for entry in repeats)
    assert (room.texts(), room.messages, room.unread, room.mentions) == before


def test_unread_counts_what_others_said_and_nobody_took_back() -> None:
    assert (told(LIVE).unread, told(LIVE).mentions) == (3, 0)
    alice = told(LIVE, ALICE)
    assert (alice.unread, alice.mentions) == (0, 0), "she wrote last, so she has read"
    before_answer = told(LIVE[:5], ALICE)
    assert (before_answer.unread, before_answer.mentions) == (1, 1)


def test_what_the_card_counted_is_not_counted_again() -> None:
    room = Room(card(as_of=41 + 5, unread=2), CAROL)
    for entry in LIVE:
        room.take_entry(entry)
    assert room.unread == 2 + 1  # the poll came after the card; two others came and went
    room.read(13)
    assert room.unread == 0


def test_a_newer_card_takes_over() -> None:
    room = told(LIVE)
    room.take_card(card(as_of=41 + 13, read_idx=11, unread=1))
    assert (room.unread, room.read_idx) == (1, 11)


def test_receipts_only_grow() -> None:
    room = told(LIVE)
    room.take_receipt(c2s.Receipt(ROOM, BOB, 9, 7, 100))
    room.take_receipt(c2s.Receipt(ROOM, BOB, 5, 8, 50))
    assert room.receipts[BOB] == c2s.Receipt(ROOM, BOB, 9, 8, 100)


def test_memory_is_bounded() -> None:
    say = LIVE[3]
    many = [replace(say, idx=n, seq=n, event_id=EventId(n.to_bytes(32, "big"))) for n in range(1, MESSAGES_KEPT + 10)]
    room = told(many)
    assert min(room.entries) == 10
    assert len(room.entries) == len(room.messages) == MESSAGES_KEPT
