"""Link chaos: links cut while items pass, nodes that crash and come back from their disk, both sides dialling. Each item has its effect
exactly once and in order; each refused one goes back to its author once. Everything follows from a seed."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from node.base import limits
from node.runtime.entropy import SeededEntropy
from tests.links import Home, Who, identity
from tests.sim import disk
from tests.sim.loop import SimLoop
from tests.sim.machine import EPOCH_MS, SimClock
from tests.sim.net import Network
from tests.unit.federation.conftest import Street

SEEDS = int(os.environ.get("LINK_SEEDS", "24"))
LIVE_S = 20.0
HEAL_S = 900.0
MEMORY = Path("/dev/shm")


class Machine:
    """A node that may lose power."""

    def __init__(self, name: str, street: Street, folder: Path, loop: SimLoop, random: Random) -> None:
        self.name, self.street, self.loop, self.random = name, street, loop, random
        self.folder = folder / name
        self.life = 0
        self.who: Who = identity(name, now_s=EPOCH_MS // 1000)
        self.url = f"ws://{name}.test/s2s"
        self.home: Home
        self.task: asyncio.Task[None]
        self.count = 0
        (self.folder / "0").mkdir(parents=True)

    async def start(self) -> None:
        clock = SimClock(self.loop)
        clock.offset_s = self.random.uniform(-3600, 3600)
        entropy = SeededEntropy(f"{self.name} {self.life} {self.random.random()}")
        self.home = Home(self.folder / str(self.life), self.who, clock=clock, entropy=entropy, opener=self.street)  # type: ignore[arg-type]
        self.home.url = self.url
        await self.home.inbox.make()
        ready = asyncio.Event()
        self.task = self.loop.create_task(self.home.federation.run(ready.set))
        await ready.wait()
        self.street.homes[self.url] = self.home

    async def crash(self) -> None:
        home = self.home
        del self.street.homes[self.url]
        mine = home.db._conn
        calls = [call for call in self.loop.threads if getattr(call.fn, "__self__", None) is mine]
        commit = next((call for call in calls if call.args == ("COMMIT",)), None)
        self.loop.threads = [call for call in self.loop.threads if call not in calls]
        self.life += 1
        disk.crash(home.folder, self.folder / str(self.life), commit, self.random)
        for session in home.federation._links.values():
            session._socket.cut(ours=True, theirs=self.random.random() < 0.7)  # type: ignore[attr-defined]
        db = home.db
        db._final, db.trouble = True, "power is gone"
        db._queue.drain()
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
        await self.street.lose(home)
        db.abandon()

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
        await self.home.db.close()


async def _live(here: Machine, there: Machine, until_s: float) -> None:
    """Posts, now and then a burst, now and then something that is refused or makes the other node fail."""
    random = here.random
    while here.loop.time() < until_s:
        await asyncio.sleep(random.expovariate(4.0))
        bodies = []
        for _ in range(random.choice((1, 1, 2, 5, 200))):
            here.count += 1
            kind = random.choices((b"ok", b"bad", b"bad signature", b"bug"), (40, 1, 1, 1))[0]
            bodies.append(b"%s %s %d" % (kind, here.name.encode(), here.count))
        with suppress(Exception):  # the power may go meanwhile
            await asyncio.wait_for(here.home.post(there.home, *bodies), 5.0)


async def _harm(street: Street, machines: list[Machine], random: Random, until_s: float) -> int:
    crashes = 0
    loop = machines[0].loop
    while loop.time() < until_s:
        await asyncio.sleep(random.expovariate(1.0))
        live = [socket for socket, _ in street.open_sockets if not socket.over]
        if live and random.random() < 0.7:
            notice = random.choice(((True, True), (True, True), (True, False), (False, False)))
            random.choice(live).cut(ours=notice[0], theirs=notice[1])
        elif random.random() < 0.5:
            machine = random.choice(machines)
            await machine.crash()
            crashes += 1
            await asyncio.sleep(random.uniform(0.0, 4.0))
            await machine.start()
    return crashes


async def _story(seed: int, folder: Path, loop: SimLoop) -> None:
    random, street = Random(f"chaos {seed}"), Street(seed)
    a, b = (Machine(name, street, folder, loop, Random(f"{name} {seed}")) for name in "ab")
    for machine in (a, b):
        await machine.start()
    await a.home.knows(b.home)
    await b.home.knows(a.home)
    await asyncio.gather(_live(a, b, LIVE_S), _live(b, a, LIVE_S), _harm(street, [a, b], random, LIVE_S))
    for here, there in ((a, b), (b, a)):
        with suppress(Exception):
            await asyncio.wait_for(here.home.post(there.home, b"ok the last"), 5.0)
    until_s = loop.time() + HEAL_S
    while (a.home.waiting() or b.home.waiting()) and loop.time() < until_s:
        await asyncio.sleep(1)
    for here, there in ((a, b), (b, a)):
        assert not here.home.waiting(), "everything is acknowledged in the end"
        posted, noted = here.home.posted(), there.home.noted()
        assert noted == [body for body in posted if body.startswith(b"ok")]
        refused = [body for body in posted if not body.startswith(b"ok")]
        assert [body for body, _ in here.home.returned()] == refused
        assert len(posted) > 20
    for machine in (a, b):
        await machine.stop()
        await street.lose(machine.home)
    await asyncio.sleep(1)
    assert not [fault for fault in loop.faults if "power" not in fault], loop.faults


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_item_once_and_in_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(f"limits {seed}")
    monkeypatch.setattr(limits, "LINK_CREDIT", random.choice((256, 256, 7)))
    monkeypatch.setattr(limits, "LINK_BATCH", random.choice((64, 64, 3)))
    monkeypatch.setattr(limits, "LINK_WAITING_MAX", random.choice((1000, 5)))
    folder = Path(tempfile.mkdtemp(prefix=f"startalk-chaos-{seed}-", dir=MEMORY if MEMORY.is_dir() else None))
    logging.getLogger("node").setLevel(logging.CRITICAL)
    loop = SimLoop(seed, Network(seed))
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_story(seed, folder, loop))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        logging.getLogger("node").setLevel(logging.NOTSET)
        shutil.rmtree(folder, ignore_errors=True)
