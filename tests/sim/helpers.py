"""Tasks that go on beside the nodes of a simulated world: devices, watchers."""

from __future__ import annotations

import asyncio


class Helpers:
    """Those of one world."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, task: asyncio.Task[None]) -> None:
        """Something that goes on until the world ends."""
        self._tasks.append(task)

    async def end(self) -> None:
        """All of them stop. Raises what one of them failed with."""
        for task in self._tasks:
            task.cancel()
        done, _ = await asyncio.wait(self._tasks)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
