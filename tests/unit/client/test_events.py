"""A reader gets everything in order, and a slow one makes the client wait."""

from __future__ import annotations

import asyncio

import pytest

from node.base.ids import UserId
from node.client.errors import SignedOut
from node.client.events import EVENTS_KEPT, Events
from node.client.news import PresenceChanged


def news(n: int) -> PresenceChanged:
    return PresenceChanged(UserId(str(n)), "online")


async def test_everything_comes_in_order() -> None:
    events = Events(lambda: None)
    for n in range(3):
        events.put(news(n))
    assert [await anext(events) for _ in range(3)] == [news(0), news(1), news(2)]


async def test_a_full_queue_makes_the_client_wait_until_something_is_taken() -> None:
    events = Events(lambda: None)
    for n in range(EVENTS_KEPT):
        await asyncio.wait_for(events.space(), 1)
        events.put(news(n))
    assert events.full
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(events.space())
        await asyncio.sleep(0)
        assert not waiting.done()
        assert await anext(events) == news(0)
    assert not events.full


async def test_the_end_is_an_exception_after_what_was_left() -> None:
    fault: list[Exception | None] = [None]
    events = Events(lambda: fault[0])
    events.put(news(1))
    fault[0] = SignedOut("over")
    events.wake()
    assert await anext(events) == news(1)
    with pytest.raises(SignedOut):
        await anext(events)
