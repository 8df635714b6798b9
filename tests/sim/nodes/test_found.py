"""What the simulation found, each as the shortest story that shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from node.core import content
from tests.sim.device import Device
from tests.sim.nodes import checkers
from tests.sim.nodes.run import play
from tests.sim.nodes.world import Nodes, Plan
from tests.sim.run import Errors

PATIENCE_S = 300.0
Story = Callable[[Nodes, Device, Device], Coroutine[Any, Any, None]]


def on_two_nodes(story: Story) -> None:
    """One person on each of two nodes; afterwards everything has to be settled."""

    async def told(world: Nodes, errors: Errors) -> None:
        await world.begin()
        world.connect_devices()
        alice, bob = (machine.devices[0] for machine in world.machines)
        await until(lambda: alice.ready and bob.ready)
        await story(world, alice, bob)
        await until(lambda: not any([*checkers.unsettled(machine, set())] for machine in world.machines))
        await asyncio.sleep(8)
        await world.end()
        for machine in world.machines:
            machine.open()
        ledgers = [checkers.read(machine) for machine in world.machines]
        assert not [*checkers.check(ledgers, world), *errors.lines, *world.faults, *world.loop.faults]
        for machine in world.machines:
            await machine.services.close()

    play(0, Plan(size=2, theme="", people=(1, 1), live_s=0, apart=None), told)


async def until(met: Callable[[], bool], *, step_s: float = 0.05) -> None:
    """Waits for something to become true."""
    async with asyncio.timeout(PATIENCE_S):
        while not met():  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(step_s)


async def invited(alice: Device, bob: Device) -> bytes:
    """A group of alice's into which bob is asked."""
    made = alice.wish(b"", content.Create(name="Walk"), (bob.user,))
    await until(lambda: made.posted is not None and bool(bob.rooms("invited")))
    assert made.posted is not None
    return made.posted.room


def test_no_is_an_answer_that_does_not_wait_for_ever() -> None:
    """The hub keeps the entry of a decline to itself, so the declining node showed it as waiting, always."""

    async def story(world: Nodes, alice: Device, bob: Device) -> None:
        room = await invited(alice, bob)
        bob.wish(room, content.Decline())
        await until(lambda: bool(bob.waiting))
        await until(lambda: not bob.waiting)

    on_two_nodes(story)


def test_who_was_kicked_before_their_node_had_the_log_learns_of_it() -> None:
    """The node had to fetch the log up to the kick and got `not_found`: the join waited for ever, the replica stayed empty."""

    async def story(world: Nodes, alice: Device, bob: Device) -> None:
        room = await invited(alice, bob)
        hosts = [machine.host for machine in world.machines]
        for pipe in world.network.between(*hosts):
            (pipe if pipe.local[0] == hosts[0] else pipe.peer).lose()
        bob.wish(room, content.Join())
        await until(lambda: alice.cards[room].head_idx >= 0 and len(alice.live) >= 3)
        alice.wish(room, content.Kick(user=bob.user))
        await until(lambda: not bob.waiting and bool(bob.rooms("left")))

    on_two_nodes(story)


def test_a_replica_that_could_not_be_stored_for_a_while_is_fetched_later() -> None:
    """The disk was full when the log came, and then nobody said anything: the replica stayed behind until the next link."""

    async def story(world: Nodes, alice: Device, bob: Device) -> None:
        room = await invited(alice, bob)
        services, nid = world.machines[1].services, world.machines[0].services.identity.nid
        bob.wish(room, content.Join())
        await until(lambda: bool(services.db.view(lambda tx: services.rooms.behind(tx, nid))), step_s=0.0001)
        services.db.trouble, services.db._retry_at = "The disk is full.", world.loop.time() + 3.0
        await until(lambda: bool(bob.rooms("member")))

    on_two_nodes(story)
