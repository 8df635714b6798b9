"""Calls of a client without a node: what it does when it is told that the relay begins anew, or that it is over."""

from __future__ import annotations

import asyncio
from itertools import count

from node.base.ids import RoomId
from node.client.calling import Calls
from node.client.news import CallEnded, Event
from node.client.outbox import Answer, Request
from node.wire import c2s, calling
from node.wire.frame import Frame

CALL, ROOM = bytes(16), RoomId(bytes(32))


class Node:
    """Answers requests at once, with a new seat each time."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.told: list[Event] = []
        self.seats = (number.to_bytes(8, "big") for number in count(1))
        numbers = count(1)
        self.calls = Calls(ask=self.ask, number=lambda: next(numbers), send=self.hear, tell=self.tell)

    async def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        if isinstance(request, calling.CallStart | calling.CallJoin):
            return calling.CallSeat(request.n, CALL, next(self.seats), ROOM, 30)
        return c2s.Done(request.n)

    async def hear(self, frame: Frame) -> None:
        """Frames without an answer."""

    async def tell(self, event: Event) -> None:
        self.told.append(event)


async def test_a_relay_that_begins_anew_is_joined_again_with_the_old_seat() -> None:
    node = Node()
    async with asyncio.timeout(20), node.calls.start(ROOM) as call:
        old = call.seat
        await node.calls.take(calling.CallOver(CALL, ROOM, "restarting"))
        await call.until(lambda: call.joins == 2)
        assert not call.over
        joins = [one for one in node.asked if isinstance(one, calling.CallJoin)]
        assert [one.seat for one in joins] == [old]
        assert call.seat != old
        assert not node.told


async def test_a_call_that_is_over_is_over() -> None:
    node = Node()
    async with asyncio.timeout(20), node.calls.start(ROOM) as call:
        await node.calls.take(calling.CallOver(CALL, ROOM, "ended"))
        assert await call.ended() == "ended"
    assert [type(event) for event in node.told] == [CallEnded]
    assert not [one for one in node.asked if isinstance(one, calling.CallLeave)]
