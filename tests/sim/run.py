"""One seed from beginning to end: people live, the nemesis harms, everything heals, the checkers look."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from msgspec import Struct

from tests.sim import checkers
from tests.sim.device import Device
from tests.sim.loop import HOST, SimLoop
from tests.sim.nemesis import Nemesis
from tests.sim.net import Network
from tests.sim.workload import live
from tests.sim.world import DEVICES, World, shrunk

LIVE_S = (10.0, 40.0)
HEAL_S = 150.0  # longer than every heartbeat, back-off and slow-reader limit together
MEMORY = Path("/dev/shm")


class Outcome(Struct, frozen=True):
    """What a seed brought; `complaints` is empty when all is well."""

    seed: int
    complaints: tuple[str, ...]
    story: tuple[str, ...]
    entries: int
    frames: int
    restarts: int
    virtual_s: float
    trace: str


class Errors(logging.Handler):
    """What nodes log as an error: nothing should be. What the host `but` logs does not count."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []
        self.but = ""

    def emit(self, record: logging.LogRecord) -> None:
        if HOST.get() == self.but:
            return
        fault = record.exc_info[1] if record.exc_info else None
        self.lines.append(f"log: {record.getMessage()} {fault!r}")


@contextmanager
def theatre(name: str, seed: int) -> Iterator[tuple[Path, SimLoop, Errors]]:
    """A folder, a loop and what is logged as an error. Leaves nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix=f"startalk-sim-{name}-", dir=MEMORY if MEMORY.is_dir() else None))
    errors = Errors()
    logger = logging.getLogger("node")
    logger.addHandler(errors)
    loop = SimLoop(seed, Network(seed))
    asyncio.set_event_loop(loop)
    try:
        yield folder, loop, errors
    finally:
        logger.removeHandler(errors)
        asyncio.set_event_loop(None)
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


def run(seed: int) -> Outcome:
    """Runs one seed. Deterministic."""
    with theatre(str(seed), seed) as (folder, loop, errors), shrunk(Random(f"limits {seed}")):
        return loop.run_until_complete(_story(seed, folder, loop, errors))


async def _story(seed: int, folder: Path, loop: SimLoop, errors: Errors) -> Outcome:
    world = World(seed, folder, loop)
    world.open()
    await world.settle(DEVICES)
    await world.start()
    until_s = loop.time() + world.random.uniform(*LIVE_S)
    for device in world.devices:
        world.spawn(loop.create_task(device.run()))
    world.spawn(loop.create_task(_watch(world)))
    nemesis = Nemesis(world)
    people = [loop.create_task(live(world, device, until_s)) for device in world.devices]
    await asyncio.gather(nemesis.run(until_s), *people)
    world.note("healing")
    nemesis.heal()
    await asyncio.sleep(HEAL_S)
    for device in world.devices:
        await read_back(device)
    await world.end()
    world.open()
    complaints = checkers.check(world, world.services) + errors.lines
    entries = sum(len(log.lines) for log in checkers.read_logs(world.services).values())
    await world.services.close()
    return Outcome(
        seed=seed,
        complaints=tuple(complaints),
        story=tuple(world.story),
        entries=entries,
        frames=sum(len(device.trace) for device in world.devices),
        restarts=world.restarts,
        virtual_s=loop.time(),
        trace=digest(world.devices),
    )


async def _watch(world: World) -> None:
    while True:
        await asyncio.sleep(0.5)
        world.faults += [text for text in checkers.check_queues(world) if text not in world.faults]


async def read_back(device: Device) -> None:
    """Pages through every chat from the end, as a person does, and compares with what came live."""
    for room in device.rooms("member") + device.rooms("left"):
        idx, last = 0, 1 << 60
        while True:
            try:
                page = await device.history(room, idx)
            except ConnectionAbortedError:
                break  # never inside
            except ConnectionError as error:
                device.complaints.append(f"{device.name}: no quiet line after healing: {error!r}")
                return
            idxs = device.see_page(page)
            if idxs != list(range(idxs[0], idxs[0] + len(idxs))) if idxs else False:
                device.complaints.append(f"{device.name}: a page with holes: {idxs}")
            if idxs and idxs[-1] >= last:
                device.complaints.append(f"{device.name}: pages overlap")
            if not page.more or not idxs:
                break
            idx = last = idxs[0]


def digest(devices: Sequence[Device]) -> str:
    """A hash over every frame that a device received, and when."""
    made = hashlib.sha256()
    for at, name, frame in sorted(line for device in devices for line in device.trace):
        made.update(f"{at:.9f} {name} ".encode() + frame)
    return made.hexdigest()[:16]
