"""One simulated world: a machine with its node (machine.py), people and their devices.

A world follows from its seed alone; `limits` are shrunk in some worlds, so that windows fill, caches evict and batches split.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from node.base import limits
from node.base.ids import UserId
from tests.sim.helpers import Helpers
from tests.sim.loop import HOST, SimLoop
from tests.sim.machine import Machine
from tests.sim.net import Network

DEVICES: Final = ("alice", "alice", "bob", "bob", "carol", "dave")
SHRUNK: Final[dict[str, tuple[int, ...]]] = {
    "WINDOW_ENTRIES": (1024, 1024, 5),
    "SYNC_PAGE_ENTRIES": (60, 60, 3),
    "BATCH_WRITES_MAX": (512, 512, 2),
    "ROOM_CACHE_MAX": (4096, 4096, 4),
    "RECEIPT_MEMBERS_MAX": (200, 200, 2),
    "SOCKET_BUFFER_BYTES_MAX": (256 * 1024, 256 * 1024, 4096),
    "ENTRIES_FRAME_BYTES_MAX": (255 * 1024, 255 * 1024, 2000),
}


@contextmanager
def shrunk(random: Random, table: dict[str, tuple[int, ...]] = SHRUNK) -> Iterator[None]:
    """Some limits are much lower in this world."""
    before = {name: getattr(limits, name) for name in table}
    try:
        for name, choices in table.items():
            setattr(limits, name, random.choice(choices))
        yield
    finally:
        for name, value in before.items():
            setattr(limits, name, value)


class World(Machine):
    """Machine, node, people."""

    def __init__(self, seed: int, folder: Path, loop: SimLoop) -> None:
        super().__init__(seed=seed, name="", folder=folder, loop=loop, host=HOST.get(), story=[], faults=[])
        self.network: Network = loop.network
        self._helpers = Helpers()

    @property
    def users(self) -> list[UserId]:
        """Everybody."""
        return list(dict.fromkeys(device.user for device in self.devices))

    def spawn(self, task: asyncio.Task[None]) -> None:
        """Something that goes on until the world ends."""
        self._helpers.add(task)

    async def end(self) -> None:
        """Devices and helpers stop, then the node."""
        await self._helpers.end()
        await self.stop()
