"""A reader gets everything in order, and a slow one makes the client wait."""

from __future__ import annotations

import asyncio

import pytest

from node.base.ids import UserId
from node.client.errors import SignedOut
from node.client.events import EVENTS_KEPT, Events, Readers
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


async def test_the_first_reader_begins_with_the_connection_and_later_ones_with_now() -> None:
    readers = Readers(lambda: None)
    await readers.tell(news(0))
    first = readers.add()
    second = readers.add()
    await readers.tell(news(1))
    assert [await anext(first), await anext(first), await anext(second)] == [news(0), news(1), news(1)]


async def test_what_nobody_reads_is_not_kept_for_ever() -> None:
    readers = Readers(lambda: None)
    for n in range(EVENTS_KEPT + 1):
        await readers.tell(news(n))
    late = readers.add()
    await readers.tell(news(-1))
    assert await anext(late) == news(-1)


async def test_somebody_who_waits_for_knowledge_hears_of_each_event_and_of_the_end() -> None:
    fault: list[Exception | None] = [None]
    readers, known = Readers(lambda: fault[0]), set[int]()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(readers.until(lambda: 7 in known))
        await asyncio.sleep(0)
        known.add(7)
        await readers.tell(news(7))
        await waiting
        ending = group.create_task(readers.until(lambda: fault[0] is not None))
        await asyncio.sleep(0)
        fault[0] = SignedOut("over")
        await readers.wake()
        await ending
