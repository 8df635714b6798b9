"""Sockets in memory: whole messages with a seeded delay, cut so that both ends notice, or neither."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from node.runtime.entropy import SeededEntropy
from node.services.ports import Candidate
from tests.links import Home, Who, identity
from tests.sim.loop import SimLoop
from tests.sim.machine import SimClock
from tests.sim.net import Network


class MemorySocket:
    """One end. Implements `session.LinkSocket`, and what `dialer.Opener` gives."""

    peer: MemorySocket

    def __init__(self, random: Random, address: str) -> None:
        self._random = random
        self._delay_s = random.choice((0.0005, 0.005, 0.05))
        self._last = 0.0
        self._messages: deque[bytes | None] = deque()
        self._news = asyncio.Event()
        self.lost = self.over = False
        self.address = address
        self.buffered = 0
        self.certificate: bytes | None = None

    async def receive(self) -> bytes | None:
        while not self._messages:
            if self.over:
                return None
            self._news.clear()
            await self._news.wait()
        return self._messages.popleft()

    def send(self, payload: bytes) -> None:
        if not self.over and not self.lost:
            self._later(payload)

    def close(self, code: int = 1000, reason: str = "") -> None:
        if not self.over:
            if not self.lost:
                self._later(None)
            self.finish()

    def abort(self) -> None:
        if not self.over and not self.lost:
            asyncio.get_running_loop().call_later(self._delay_s, self.peer.finish)
        self.finish()

    def cut(self, *, ours: bool, theirs: bool) -> None:
        """Nothing passes any more; the ends named here notice."""
        self.lost = self.peer.lost = True
        for notices, end in ((ours, self), (theirs, self.peer)):
            if notices:
                end.finish()

    def finish(self) -> None:
        self.over = True
        self._news.set()

    def _later(self, payload: bytes | None) -> None:
        loop = asyncio.get_running_loop()
        self._last = max(self._last + 1e-6, loop.time() + self._delay_s * self._random.uniform(0.5, 1.5))
        loop.call_at(self._last, self.peer._arrive, payload)

    def _arrive(self, payload: bytes | None) -> None:
        if self.over or self.lost:
            return
        if payload is None:
            self.over = True
        else:
            self._messages.append(payload)
        self._news.set()


class Street:
    """Where nodes are, by URL. Implements `dialer.Opener`."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"street {seed}")
        self.homes: dict[str, Home] = {}
        self.open_sockets: list[tuple[MemorySocket, Home | None]] = []
        self.handlers: dict[asyncio.Task[None], Home] = {}

    async def open(self, candidate: Candidate) -> MemorySocket:
        await asyncio.sleep(self._random.uniform(0.0001, 0.02))
        home = self.homes.get(candidate.url)
        if home is None:
            raise ConnectionRefusedError(candidate.url)
        ours, theirs = MemorySocket(self._random, "192.0.2.1"), MemorySocket(self._random, "192.0.2.2")
        ours.peer, theirs.peer = theirs, ours
        self.open_sockets = [pair for pair in self.open_sockets if not pair[0].over]
        self.open_sockets.append((ours, home))
        task = asyncio.get_running_loop().create_task(home.federation.listener.handle(theirs, None))  # type: ignore[arg-type]
        self.handlers[task] = home
        task.add_done_callback(lambda done: self.handlers.pop(done, None))
        return ours

    async def lose(self, home: Home) -> None:
        """The machine of this node is gone, and what it did with it."""
        tasks = [task for task, at in self.handlers.items() if at is home]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class Town:
    """Some nodes on one street, in virtual time."""

    def __init__(self, folder: Path, loop: SimLoop) -> None:
        self.folder, self.loop = folder, loop
        self.street = Street(0)
        self.clock = SimClock(loop)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._homes: list[Home] = []

    async def home(self, name: str, *, who: Who | None = None, life: str = "") -> Home:
        """A node that runs; with another `life` it has a new disk."""
        folder = self.folder / f"{name}{life}"
        folder.mkdir(exist_ok=True)
        who = who or identity(name, now_s=self.clock.now_ms() // 1000)
        made = Home(folder, who, clock=self.clock, entropy=SeededEntropy(f"home {name}{life}"), opener=self.street)  # type: ignore[arg-type]
        made.url = f"ws://{name}.test/s2s"
        await made.inbox.make()
        ready = asyncio.Event()
        self._tasks[made.url] = self.loop.create_task(made.federation.run(ready.set))
        await ready.wait()
        self.street.homes[made.url] = made
        self._homes.append(made)
        return made

    async def stop(self, home: Home) -> None:
        """An orderly end."""
        self.street.homes.pop(home.url, None)
        task = self._tasks.pop(home.url)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await self.street.lose(home)
        await home.db.close()
        self._homes.remove(home)

    async def end(self) -> None:
        """Everybody stops."""
        for home in list(self._homes):
            await self.stop(home)


Story = Callable[[Town], Coroutine[Any, Any, None]]


@pytest.fixture
def simulate(tmp_path: Path) -> Iterator[Callable[[Story], None]]:
    """Runs a story in virtual time; faults of tasks fail the test."""
    loop = SimLoop(0, Network(0))
    asyncio.set_event_loop(loop)

    def run(story: Story) -> None:
        async def whole() -> None:
            town = Town(tmp_path, loop)
            try:
                await story(town)
            finally:
                await town.end()
                await asyncio.sleep(1)

        loop.run_until_complete(whole())
        assert not loop.faults

    yield run
    asyncio.set_event_loop(None)
    loop.close()
