"""The chain: one order, and no entry can be changed without everybody seeing it."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.base.ids import EventId, RoomId
from node.core import hub
from node.core.hub import Head
from tests.unit.core.chronicle import ALICE, BOB

ROOM = RoomId(bytes(range(32)))
Link = tuple[bytes, int]
logs = st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 2**53)), min_size=1, max_size=12)


def chain(log: list[Link], room: RoomId = ROOM) -> list[Head]:
    heads = [Head()]
    for event, at_ms in log:
        heads.append(hub.append(room, heads[-1], EventId(event), at_ms))
    return heads[1:]


@given(logs, st.data())
def test_any_change_of_an_entry_changes_every_later_head(log: list[Link], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(log) - 1))
    event, at_ms = log[place]
    other: Link = data.draw(
        st.sampled_from([(bytes([event[0] ^ 1]) + event[1:], at_ms), (event, at_ms + 1), (event[::-1] + b"x", at_ms)])
    )
    changed = [*log[:place], other, *log[place + 1 :]]
    before, after = chain(log), chain(changed)
    assert before[:place] == after[:place]
    assert all(a.hash != b.hash for a, b in zip(before[place:], after[place:], strict=True))


@given(logs)
def test_order_room_and_length_are_part_of_the_chain(log: list[Link]) -> None:
    heads = chain(log)
    assert [head.idx for head in heads] == list(range(1, len(log) + 1))
    assert heads[-1].hash != chain(log, RoomId(bytes(32)))[-1].hash
    assert len({head.hash for head in heads}) == len(heads)
    if log[0] != log[-1]:
        assert chain(log[::-1])[-1].hash != heads[-1].hash


def test_the_bytes_of_the_first_entry() -> None:
    head = hub.append(ROOM, Head(), EventId(bytes(32)), 5)
    entry = b"\x97\x02" + b"\xc4\x20" + ROOM + b"\x01\x01" + b"\xc4\x20" + bytes(32) + b"\xc4\x20" + bytes(32) + b"\x05"
    assert head.hash == hashlib.sha256(b"startalk-room-v1\x00" + entry).digest()


def test_a_direct_chat_has_one_id_whoever_asks() -> None:
    ids: set[Any] = {hub.direct_room_id(ALICE, BOB), hub.direct_room_id(BOB, ALICE)}
    assert len(ids) == 1
    assert hub.direct_room_id(ALICE, ALICE) not in ids


def test_the_body_hash_needs_the_salt() -> None:
    assert hub.body_hash(b"a" * 16, b"body") != hub.body_hash(b"b" * 16, b"body")
