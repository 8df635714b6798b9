"""Who reads what happens to a client: bounded queues. While one is full the client does not read its socket, so the node
pauses the device instead of anybody's memory growing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Self
from weakref import WeakSet

from node.client.news import Event

EVENTS_KEPT: Final = 4_096  # waiting for one reader before the client stops reading its socket


class Events:
    """What happens, from the moment this was made. An endless ``async for``; ends by raising why the client gave up."""

    def __init__(self, fault: Callable[[], Exception | None]) -> None:
        self._fault = fault
        self._waiting: deque[Event] = deque()
        self._change = asyncio.Event()
        self._space = asyncio.Event()
        self._space.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            fault = self._fault()
            if fault is not None:
                raise fault
            self._change.clear()
            await self._change.wait()
        event = self._waiting.popleft()
        if len(self._waiting) < EVENTS_KEPT:
            self._space.set()
        return event

    def put(self, event: Event) -> None:
        """One more event."""
        self._waiting.append(event)
        self._change.set()
        if len(self._waiting) >= EVENTS_KEPT:
            self._space.clear()

    @property
    def full(self) -> bool:
        """Whether the reader is far behind."""
        return len(self._waiting) >= EVENTS_KEPT

    def wake(self) -> None:
        """Something about the client changed."""
        self._change.set()

    async def space(self) -> None:
        """Waits until the reader has caught up a little."""
        await self._space.wait()


class Readers:
    """All readers of one client, and who waits for it to know something."""

    def __init__(self, fault: Callable[[], Exception | None]) -> None:
        self._fault = fault
        self._first: Events | None = Events(fault)  # until somebody takes it or it is full
        self._readers: WeakSet[Events] = WeakSet()
        self._changed = asyncio.Condition()

    def add(self) -> Events:
        """The first one begins with the connection, later ones with now."""
        reader, self._first = self._first or Events(self._fault), None
        self._readers.add(reader)
        return reader

    async def until(self, met: Callable[[], bool]) -> None:
        """Waits until `met()` after something changed."""
        async with self._changed:
            await self._changed.wait_for(met)

    async def tell(self, event: Event) -> None:
        """Hands `event` to every reader, after the slowest one has space."""
        for reader in self._all():
            await reader.space()
            reader.put(event)
        await self._notify()

    async def wake(self) -> None:
        """The client has given up."""
        for reader in self._all():
            reader.wake()
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _all(self) -> list[Events]:
        if self._first is not None and self._first.full:
            self._first = None  # nobody reads: later readers begin with now
        return [*self._readers, *([] if self._first is None else [self._first])]
