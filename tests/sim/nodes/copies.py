"""Two live copies of one identity: a machine's disk is copied, both copies serve, each as if it were the only one.

*Old copy*: the owner moved the node (a new op key, incarnation + 1) and an older backup was started as well. Nobody who has met the
newer one takes the older one in, and nothing that is true of honest nodes changes.
*Clone*: nobody renewed anything. Two nodes with the same keys order the same rooms: that is a hub with two histories, and is noticed
as one.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from node.runtime.entropy import SeededEntropy
from tests.sim.machine import Machine
from tests.sim.nodes.world import Nodes

BEFORE_S = (2.0, 5.0)
BETWEEN_S = (0.5, 3.0)


async def copy(world: Nodes) -> None:
    """The first machine gets a double, in the middle of its life."""
    machine, random = world.machines[0], world.random
    await asyncio.sleep(random.uniform(*BEFORE_S))
    await machine.stop()
    twin = await _double(world, machine)
    await _again(machine)
    await asyncio.sleep(random.uniform(*BETWEEN_S))
    if world.plan.theme == "old copy":
        await machine.stop()
        machine.open()
        words = machine.services.identity.phrase()
        machine.services.identity.renew(words, entropy=SeededEntropy(f"renewal {world.seed}"))
        await machine.services.close()
        await _again(machine)
        await world.meet()
        machine.note("moved on, everybody has met it")
    twin.open()
    await twin.start()
    twin.note("serves, too")


async def _again(machine: Machine) -> None:
    machine.open()
    await machine.start()


async def _double(world: Nodes, machine: Machine) -> Machine:
    host = f"10.1.0.{100 + world.plan.size}"
    twin = Machine(
        seed=world.seed, name=f"{machine.name}'", folder=machine.data.parent.with_name("double"), loop=world.loop, host=host,
        story=world.story, faults=[],
    )  # fmt: skip
    world.extra.append(twin)
    _copy_folder(machine.data, twin.data)
    return twin


def _copy_folder(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=lambda _, names: [name for name in names if name in {"lock", "admin.sock"}])
