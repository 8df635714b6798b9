"""What a client knows of calls, frame by frame; seats with media are tested in tests/integration/media."""

from __future__ import annotations

import asyncio

import pytest

from node.base.errors import Code, Rejected
from node.base.ids import RoomId
from node.client.calling import FINAL, ROSTERS_KEPT, Calls
from node.client.news import CallEnded, Event, QualityHeard, Rang, RosterChanged, SpeakersChanged
from node.client.outbox import Answer, Request
from node.wire import calling
from node.wire.frame import Frame

CALL, ROOM, SEAT = b"c" * 16, b"r" * 32, b"s" * 8


class Node:
    """What a client says and is told, written down."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.said: list[Frame] = []
        self.told: list[Event] = []
        self.refusal: Rejected | None = None
        self.calls = Calls(ask=self.ask, number=lambda: 7, send=self.send, tell=self.tell)

    async def ask(self, frame: Request) -> Answer:
        self.asked.append(frame)
        if self.refusal is not None:
            raise self.refusal
        return calling.CallSeat(7, CALL, SEAT, ROOM, 30)

    async def send(self, frame: Frame) -> None:
        self.said.append(frame)

    async def tell(self, event: Event) -> None:
        self.told.append(event)


def roster(version: int, call: bytes = CALL) -> calling.CallRoster:
    return calling.CallRoster(call, ROOM, version, "audio", "alice@a.example", "live", 1, (), ())


async def test_an_older_roster_changes_nothing() -> None:
    node = Node()
    for version in (1, 3, 2):
        await node.calls.take(roster(version))
    assert node.calls.rosters[CALL].version == 3
    assert node.calls.of(RoomId(ROOM)) is node.calls.rosters[CALL]
    assert [type(event) for event in node.told] == [RosterChanged, RosterChanged]


async def test_a_call_that_is_over_rings_no_more_and_is_forgotten() -> None:
    node = Node()
    ring = calling.Ring(CALL, ROOM, "alice@a.example", "audio", 9)
    over = calling.CallOver(CALL, ROOM, "cancelled")
    await node.calls.take(ring)
    await node.calls.take(roster(1))
    assert node.calls.rings == {CALL: ring}
    await node.calls.take(over)
    assert not node.calls.rings
    assert not node.calls.rosters
    assert node.told == [Rang(ring), RosterChanged(roster(1)), CallEnded(over)]


async def test_only_so_many_calls_are_known() -> None:
    node = Node()
    for number in range(ROSTERS_KEPT + 10):
        await node.calls.take(roster(1, number.to_bytes(16, "big")))
        await node.calls.take(calling.Ring(number.to_bytes(16, "big"), ROOM, "alice@a.example", "audio", 9))
    assert len(node.calls.rosters) == ROSTERS_KEPT
    assert len(node.calls.rings) == ROSTERS_KEPT
    assert (9).to_bytes(16, "big") not in node.calls.rosters, "the oldest goes first"


async def test_what_is_told_of_speakers_and_quality_is_handed_on() -> None:
    node = Node()
    speakers = calling.CallSpeakers(CALL, (SEAT,))
    quality = calling.CallQuality(CALL, SEAT, 3, 0, 100, 0, 100, 20)
    await node.calls.take(speakers)
    await node.calls.take(quality)
    assert node.told == [SpeakersChanged(speakers), QualityHeard(quality)]


async def test_to_ring_and_to_decline_are_one_frame_each() -> None:
    node = Node()
    await node.calls.ringing(CALL)
    await node.calls.decline(CALL, busy=True)
    assert node.said == [calling.CallRinging(CALL)]
    assert node.asked == [calling.CallDecline(7, CALL, True)]


async def test_a_seat_is_shown_and_left_and_offers_for_other_seats_are_not_answered() -> None:
    node = Node()
    async with asyncio.timeout(10), node.calls.join(CALL) as call:
        await node.calls.take(calling.CallOffer(CALL, b"t" * 8, 1, "of the seat before", {}))
        await asyncio.sleep(0)
        assert (call.id, call.seat, call.room) == (CALL, SEAT, ROOM)
        await call.raise_hand(up=True)
        await call.want(calling.Wish(b"t" * 8, "camera", 320))
    assert node.said[-2:] == [
        calling.CallState(CALL, SEAT, hand=True),
        calling.CallWant(CALL, SEAT, (calling.Wish(b"t" * 8, "camera", 320),)),
    ]
    assert node.asked == [calling.CallJoin(7, CALL), calling.CallLeave(7, CALL, SEAT)]


async def test_a_call_that_ended_is_not_left_again() -> None:
    node = Node()
    async with asyncio.timeout(10), node.calls.join(CALL) as call:
        await node.calls.take(calling.CallOver(CALL, ROOM, "removed"))
        assert await call.ended() == "removed"
    assert node.asked == [calling.CallJoin(7, CALL)]


async def test_a_seat_that_nobody_waits_for_any_more_is_left() -> None:
    node = Node()
    await node.calls.unwanted(calling.CallSeat(7, CALL, SEAT, ROOM, 30))
    assert node.said == [calling.CallLeave(7, CALL, SEAT)]
    node.said.clear()
    async with asyncio.timeout(10), node.calls.join(CALL):
        await node.calls.unwanted(calling.CallSeat(7, CALL, SEAT, ROOM, 30))
        assert not any(isinstance(frame, calling.CallLeave) for frame in node.said), "it is in use"


async def test_what_is_said_between_two_seats_is_said_with_the_next() -> None:
    node = Node()
    async with asyncio.timeout(10), node.calls.join(CALL) as call:
        await call._close_media()
        asked = len(node.asked)
        await call.say("mic", None)
        await call.restart()
        assert len(node.asked) == asked


@pytest.mark.parametrize("code", sorted(FINAL))
async def test_a_return_that_is_refused_for_good_is_not_tried_again(code: Code) -> None:
    node = Node()
    async with asyncio.timeout(10), node.calls.join(CALL) as call:
        node.refusal = Rejected(code, "No.")
        call.resume()
        assert await call.ended() == "failed"
    assert [type(frame) for frame in node.asked] == [calling.CallJoin, calling.CallJoin]
