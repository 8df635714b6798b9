"""One seed of many nodes from beginning to end: people live, the nemesis harms, everything heals, the checkers look."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from msgspec import Struct

from node.main import Node
from tests.sim.machine import Tampering
from tests.sim.nodes import checkers
from tests.sim.nodes.copies import copy
from tests.sim.nodes.nemesis import Nemesis
from tests.sim.nodes.workload import live
from tests.sim.nodes.world import SHRUNK, Nodes, Plan, plan
from tests.sim.run import Errors, Outcome, digest, read_back, theatre
from tests.sim.world import shrunk

T = TypeVar("T")
HEAL_STEP_S = 5.0
HEAL_S_MIN = 30.0
QUIET_S = 8.0  # receipts, acknowledgements and devices after the last item


class Sabotage(Struct, frozen=True):
    """What is broken on purpose in every honest node."""

    services: Tampering | None = None
    node: Callable[[Node], None] | None = None


def run(seed: int, sabotage: Sabotage | None = None) -> Outcome:
    """Runs one seed. Deterministic; leaves nothing behind."""

    def story(world: Nodes, errors: Errors) -> Coroutine[Any, Any, Outcome]:
        if sabotage is not None:
            for machine in world.honest:
                machine.tampering, machine.rewiring = sabotage.services, sabotage.node
        return _story(world, errors)

    with shrunk(Random(f"limits n{seed}"), SHRUNK):
        return play(seed, plan(seed), story)


def play(seed: int, planned: Plan, story: Callable[[Nodes, Errors], Coroutine[Any, Any, T]]) -> T:
    """Runs a story in a world of its own."""
    with theatre(f"n{seed}", seed) as (folder, loop, errors):
        return loop.run_until_complete(story(Nodes(seed, folder, loop, planned), errors))


async def _story(world: Nodes, errors: Errors) -> Outcome:
    seed, loop = world.seed, world.loop
    watch = checkers.Watch()
    errors.but = world.machines[0].host if world.has_villain else ""
    await world.begin()
    until_s = loop.time() + world.plan.live_s
    world.connect_devices()
    world.spawn(loop.create_task(_watch(world, watch, until_s)))
    nemesis = Nemesis(world)
    people = [loop.create_task(live(world, device, until_s)) for device in world.devices]
    if world.plan.theme in {"old copy", "clone"}:
        await copy(world)
    await asyncio.gather(nemesis.run(until_s), *people)
    world.note("healing")
    nemesis.heal()
    late = await _settle(world)
    for machine in world.honest:
        for device in machine.devices:
            await read_back(device)
    await world.end()
    for machine in world.machines:
        machine.open()
    ledgers = [checkers.read(machine) for machine in world.machines]
    complaints = [
        *world.faults,
        *(world.machines[0].faults if world.has_villain else ()),  # a liar that fails does not lie any more
        *loop.faults,
        *late,
        *checkers.check(ledgers, world),
        *watch.check(ledgers, world.villain),
        *errors.lines,
    ]
    for machine in world.machines:
        await machine.services.close()
    return Outcome(
        seed=seed,
        complaints=tuple(complaints),
        story=tuple(world.story),
        entries=sum(len(log.lines) for ledger in ledgers for log in ledger.logs.values()),
        frames=sum(len(device.trace) for device in world.devices),
        restarts=sum(machine.restarts for machine in world.machines),
        virtual_s=loop.time(),
        trace=_digest(world, ledgers),
    )


async def _watch(world: Nodes, watch: checkers.Watch, until_s: float) -> None:
    while True:
        await asyncio.sleep(1.0 if world.loop.time() < until_s else 15.0)
        watch.look(world.honest, world.villain)
        if world.plan.theme == "old copy":
            watch.look_away(world.honest, world.extra)


async def _settle(world: Nodes) -> list[str]:
    """Waits until nobody has anything to do; what is left when that takes too long."""
    began = world.loop.time()
    if world.has_villain:
        await world.meet()
    await asyncio.sleep(HEAL_S_MIN)
    while True:
        left = [text for machine in world.honest for text in checkers.unsettled(machine, world.unreachable(machine))]
        if not left or world.loop.time() - began > checkers.WAITS_S:
            break
        await asyncio.sleep(HEAL_STEP_S)
    world.note(f"settled after {world.loop.time() - began:.0f} s")
    if world.bad is not None:
        world.bad.over = True
    await asyncio.sleep(QUIET_S)
    return [f"not settled: {text}" for text in left]


def _digest(world: Nodes, ledgers: list[checkers.Ledger]) -> str:
    made = hashlib.sha256(digest(world.devices).encode())
    for ledger in ledgers:
        for key, links in sorted(ledger.links.items()):
            made.update(key + (links[-1].log_hash if links else b""))
    return made.hexdigest()[:16]
