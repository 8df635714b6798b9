"""Calls on one node: who rings, who answers, how it ends, what the log says. No media: the relay is a tape."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from node.base.errors import Code
from node.base.ids import RoomId
from node.client import Client
from node.core import content
from tests.cast import Node, refuses, sees
from tests.handset import Handset, handset
from tests.tape import Tape


@pytest.fixture
def tape(node: Node) -> Tape:
    made = Tape()
    node.services.calls.attach(made)
    return made


@pytest_asyncio.fixture
async def hers(tape: Tape, alice: Client) -> AsyncIterator[Handset]:
    async with handset(alice) as made:
        yield made


@pytest_asyncio.fixture
async def his(tape: Tape, bob: Client) -> AsyncIterator[Handset]:
    async with handset(bob) as made:
        yield made


@pytest_asyncio.fixture
async def room(alice: Client, bob: Client) -> RoomId:
    return await alice.open_direct(bob.user)


def entries(client: Client, room: RoomId) -> list[content.Call]:
    """The calls in the log as the device shows them."""
    known = client.rooms.get(room)
    found = () if known is None else known.entries.values()
    return [entry.body for entry in found if isinstance(entry.body, content.Call)]


async def test_a_call_from_the_first_ring_to_the_entry_in_the_log(
    node: Node, tape: Tape, alice: Client, bob: Client, hers: Handset, his: Handset, room: RoomId
) -> None:
    mine = await hers.start(room, media="video")
    ring = await his.ring()
    assert (ring.call, ring.room, ring.by, ring.media) == (mine.call, room, alice.user, "video")
    assert hers.roster(mine.call).state == "ringing"
    assert await hers.up("v=0 up", m0="mic", m1="camera") == "answer to v=0 up"
    seat = await his.join(ring.call)
    assert tape.seats == {(mine.call, mine.seat), (mine.call, seat.seat)}
    await hers.until(lambda: hers.users(mine.call) == [alice.user, bob.user])
    assert hers.roster(mine.call).state == "live"
    assert tape.events is not None
    for one in (mine, seat):
        tape.events.connected(one.call, one.seat, on=True)
    await hers.until(lambda: set(hers.states(mine.call).values()) == {"live"})
    node.clock.advance(seconds=42)
    await his.leave()
    assert await hers.over(mine.call) == "ended"
    await sees(bob, lambda: len(entries(bob, room)) == 2)
    start, end = entries(bob, room)
    assert (start.state, start.media, start.call) == ("start", "video", mine.call)
    assert (end.state, end.result, end.ms, end.joined, end.missed) == ("end", "answered", 42_000, 2, ())
    assert bob.rooms[room].card.unread == 0
    assert not tape.seats


async def test_without_a_relay_a_call_is_refused_with_the_reason(
    node: Node, alice: Client, bob: Client, room: RoomId
) -> None:
    async with handset(alice) as phone:
        await refuses(Code.UNAVAILABLE, phone.start(room))
        node.services.calls.attach(Tape(level=0))
        refusal = await refuses(Code.UNAVAILABLE, phone.start(room))
        assert "there is no UDP" in refusal.text
