"""One reader of what happens to a client: a bounded queue. When it is full the client stops reading its socket, so the node
pauses the device instead of anybody's memory growing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Self

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
