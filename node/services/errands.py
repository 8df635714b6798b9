"""Work that requests of devices and nodes wait for, done beside the loop in the task group of a service.

While the service does not run nothing is begun: whoever waits is told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from node.base.errors import Code, Rejected, RemoteError

T = TypeVar("T")


class Errands:
    """Begun with `spawn` (nobody waits) or `submit` (somebody does)."""

    def __init__(self) -> None:
        self._tasks: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Errands are done while the block runs."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                yield
        finally:
            self._tasks = None

    def spawn(self, work: Coroutine[Any, Any, None]) -> bool:
        """Begins `work`, which handles its own errors; false if it could not begin."""
        if self._tasks is None:
            work.close()
            return False
        self._tasks.create_task(work)
        return True

    def submit(self, work: Coroutine[Any, Any, T], answer: Callable[[T | None, Exception | None], None]) -> None:
        """Begins `work`; `answer` is called with its result or with why there is none."""

        async def task() -> None:
            try:
                result = await work
            except (RemoteError, TimeoutError, ConnectionError):
                answer(None, Rejected(Code.PEER_OFFLINE, "The other node does not answer now; try again later."))
            except Exception as error:  # noqa: BLE001 - the boundary of one request: it fails, the others go on
                answer(None, error)
            else:
                answer(result, None)

        if not self.spawn(task()):
            work.close()
            answer(None, Rejected(Code.UNAVAILABLE, "Calls do not run yet; try again in a moment."))
