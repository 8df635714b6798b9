"""What goes wrong: cut and half-open connections, readers that stop reading, crashes, restarts, clocks that jump."""

from __future__ import annotations

import asyncio
from random import Random

from node.storage.database import Tx
from tests.sim.world import World

DOWN_S = (0.1, 4.0)
CRASHES_MAX = 5


class Nemesis:
    """Does harm until told to stop; `heal` repairs what repairs itself in life."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = Random(f"nemesis {world.seed}")
        self._crashes = 0
        self._harms = {
            "cut": self._cut, "stall": self._stall, "lazy": self._lazy, "clock": self._clock, "slow disk": self._slow_disk, "neighbour": self._bad_neighbour,
        }  # fmt: skip

    async def run(self, until_s: float) -> None:
        """One harm after the other."""
        world, random = self._world, self._random
        while True:
            await asyncio.sleep(random.uniform(0.2, 4.0))
            if world.loop.time() > until_s:
                return
            if random.random() < 0.35 and self._crashes < CRASHES_MAX:
                self._crashes += 1
                await self._restart()
            else:
                self._harms[
                    random.choice(
                        ("cut", "cut", "cut", "stall", "lazy", "clock", "slow disk", "neighbour", "neighbour")
                    )
                ]()

    def heal(self) -> None:
        """Everybody reads again and acknowledges at once."""
        self._world.loop.slow_disk.clear()
        for device in self._world.devices:
            device.ack_delay_s = 0.0
            if device.socket is not None and device.socket.pipe is not None:
                device.socket.pipe.resume_reading()

    async def _restart(self) -> None:
        world, random = self._world, self._random
        if random.random() < 0.75:
            if random.random() < 0.8:
                await world.meet_commit(random)
            await world.crash()
        else:
            world.note("restart")
            await world.stop()
        await asyncio.sleep(random.uniform(*DOWN_S))
        world.open()
        await world.start()

    def _bad_neighbour(self) -> None:
        """A transaction that fails after a change: its whole batch is undone and runs again."""

        def fail(tx: Tx) -> None:
            tx.execute("INSERT INTO meta (key, value) VALUES ('half', 1)")
            raise ZeroDivisionError

        if self._world.node is not None:
            self._world.note("a bad neighbour in the batch")
            self._world.services.db.submit(fail, lambda result, error: None)

    def _cut(self) -> None:
        pipes = self._world.network.pipes
        if pipes:
            ours, theirs = self._random.choice(((True, True), (True, False), (False, True), (False, False)))
            pipe = self._random.choice(pipes)
            self._world.note(f"cut {pipe.local} device notices {ours}, node notices {theirs}")
            pipe.cut(ours=ours, theirs=theirs)

    def _stall(self) -> None:
        device = self._random.choice(self._world.devices)
        if device.socket is not None and device.socket.pipe is not None:
            self._world.note(f"{device.name} stops reading")
            device.socket.pipe.pause_reading()
            self._world.loop.call_later(self._random.uniform(1, 60), device.socket.pipe.resume_reading)

    def _lazy(self) -> None:
        device = self._random.choice(self._world.devices)
        device.ack_delay_s = self._random.choice((0.0, 0.5, 3.0, 20.0))
        self._world.note(f"{device.name} acknowledges every {device.ack_delay_s} s")

    def _clock(self) -> None:
        self._world.clock.offset_s += self._random.choice((-3600, -5, 5, 3600))
        self._world.note(f"the clock is off by {self._world.clock.offset_s} s")

    def _slow_disk(self) -> None:
        chance = self._world.loop.slow_disk[self._world.host] = self._random.choice((0.0, 0.1, 0.5))
        self._world.note(f"slow commits {chance}")
