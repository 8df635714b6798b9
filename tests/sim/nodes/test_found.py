"""What the simulation found, each as the shortest story that shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from node.core import content
from node.runtime.entropy import SeededEntropy
from tests.sim.device import Device
from tests.sim.machine import Machine
from tests.sim.nodes import checkers
from tests.sim.nodes.run import play
from tests.sim.nodes.world import Nodes, Plan
from tests.sim.run import Errors

PATIENCE_S = 300.0
Story = Callable[[Nodes, Device, Device], Coroutine[Any, Any, None]]


def on_two_nodes(story: Story) -> None:
    """One person on each of two nodes; afterwards everything has to be settled."""
    on_nodes(2, story)


def on_nodes(size: int, story: Story, people: tuple[int, ...] = ()) -> None:
    """The same, of more nodes, or with more `people` on each; the story gets the first person of the first two."""

    async def told(world: Nodes, errors: Errors) -> None:
        await world.begin()
        world.connect_devices()
        alice, bob = (machine.devices[0] for machine in world.machines[:2])
        await until(lambda: all(device.ready for device in world.devices))
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

    play(0, Plan(size=size, theme="", people=people or (1,) * size, live_s=0, apart=None), told)


async def until(met: Callable[[], bool], *, step_s: float = 0.05) -> None:
    """Waits for something to become true."""
    async with asyncio.timeout(PATIENCE_S):
        while not met():
            await asyncio.sleep(step_s)


async def invited(alice: Device, *guests: Device) -> bytes:
    """A group of alice's into which the others are asked."""
    made = alice.wish(b"", content.Create(name="Walk"), tuple(guest.user for guest in guests))
    await until(lambda: made.posted is not None and all(guest.rooms("invited") for guest in guests))
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


def test_a_link_made_anew_carries_the_identities_that_were_lost_with_the_old_one() -> None:
    """The hub had told the old link who signs for the third node; the new link brought the entry without, which was poison and lost."""

    async def story(world: Nodes, alice: Device, bob: Device) -> None:
        carol = world.machines[2].devices[0]
        made = alice.wish(b"", content.Create(name="Walk"), (bob.user, carol.user))
        await until(lambda: bool(bob.rooms("invited")) and bool(carol.rooms("invited")))
        assert made.posted is not None
        bob.wish(made.posted.room, content.Join())
        await until(lambda: bool(bob.rooms("member")))
        a, b, _ = world.machines
        for pipe in world.network.between(a.host, b.host):
            (pipe if pipe.local[0] == a.host else pipe.peer).lose()
        carol.wish(made.posted.room, content.Join())
        await until(lambda: bool(carol.rooms("member")))
        await asyncio.sleep(1)
        for one, other in ((a, b), (b, a)):
            assert one.node is not None
            if any(
                link.dialled and link.nid == other.services.identity.nid for link in one.node.federation.open_links()
            ):
                await one.within(renew(one, other))
        await asyncio.sleep(20)

    on_nodes(3, story)


async def renew(one: Machine, other: Machine) -> None:
    """A new link in the place of a half-open one."""
    assert one.node is not None
    one.node.federation._campaign(other.services.identity.nid, renew=True)


def test_a_renewed_link_that_breaks_before_hello_is_dialled_again() -> None:
    """The new link had ended the old one and broke before hello; the renewal was content, and its campaign stood in for another."""

    async def story(world: Nodes, alice: Device, bob: Device) -> None:
        room = await invited(alice, bob)
        bob.wish(room, content.Join())
        await until(lambda: bool(bob.rooms("member")))
        a, b = world.machines
        assert b.node is not None
        links, nid = b.node.federation._links, a.services.identity.nid
        old = links[nid]
        await b.within(renew(b, a))
        await until(lambda: links[nid] is not old, step_s=0.001)
        for pipe in world.network.between(a.host, b.host):
            pipe.cut(ours=True, theirs=True)
        await until(lambda: nid not in links, step_s=0.001)
        await asyncio.sleep(0.001)
        assert b.node.federation.dialling == [nid]

    on_two_nodes(story)


def test_a_node_with_a_new_key_gets_back_what_it_signed_with_the_old_one() -> None:
    """The hub left the identity out, for the event was the receiver's own; but a renewed node does not know its earlier key there."""

    async def story(world: Nodes, alice: Device, bob: Device) -> None:
        room = await invited(alice, bob)
        a, b = world.machines
        for pipe in world.network.between(a.host, b.host):
            (pipe if pipe.local[0] == a.host else pipe.peer).lose()
        bob.wish(room, content.Join())
        await until(lambda: len(alice.live) >= 3)
        await b.stop()
        await renewed(b)
        await until(lambda: bool(bob.rooms("member")))

    on_two_nodes(story)


def test_a_refusal_that_an_earlier_key_signed_is_signed_again() -> None:
    """It lay in the outbox while the hub changed its op key; the author's node could not verify it any more and waited for ever."""

    async def story(world: Nodes, alice: Device, bob: Device) -> None:
        room = await invited(alice, bob)
        bob.wish(room, content.Join())
        await until(lambda: bool(bob.rooms("member")))
        a, b = world.machines
        for pipe in world.network.between(a.host, b.host):
            (pipe if pipe.local[0] == a.host else pipe.peer).lose()
        again = bob.wish(room, content.Join())
        await until(lambda: bool(a.services.db.view(lambda tx: tx.all("SELECT 1 FROM refusals"))))
        await a.stop()
        await renewed(a)
        await until(lambda: again.posted is not None and bob.waiting[again.posted.event_id].code == "already_done")

    on_two_nodes(story)


def test_who_has_no_name_joins_without_a_word_that_nobody_can_take() -> None:
    """The hub was told an empty name, which is poison, with each one who came in."""

    async def story(world: Nodes, alice: Device, bob: Device) -> None:
        room = await invited(alice, bob)
        bob.wish(room, content.Join())
        await until(lambda: bool(bob.rooms("member")))
        await asyncio.sleep(5)
        for machine in world.machines:
            assert not machine.services.db.view(lambda tx: tx.all("SELECT code FROM quarantine"))

    on_two_nodes(story)


def test_a_node_that_comes_back_with_a_new_key_before_its_old_link_is_missed() -> None:
    """What a node did beside the link, such as fetching entries, went on with the old key, and nothing verified until the link was lost."""

    async def story(world: Nodes, alice: Device, bob: Device) -> None:
        room = await invited(alice, bob)
        bob.wish(room, content.Join())
        await until(lambda: bool(bob.rooms("member")))
        mover, other = sorted(
            world.machines, key=lambda machine: machine.services.identity.nid
        )  # links of the smaller nid stay
        nid = mover.services.identity.nid
        assert mover.node is not None
        assert other.node is not None
        links = other.node.federation._links
        await mover.within(renew(mover, other))
        await until(lambda: nid in links and links[nid].up and not links[nid].dialled)
        for pipe in world.network.between(mover.host, other.host):
            pipe.cut(ours=pipe.local[0] == mover.host, theirs=pipe.local[0] != mover.host)
        await mover.stop()
        assert links[nid].up
        await renewed(mover)
        await until(lambda: links[nid].peer.incarnation == 2)
        await until(lambda: other.services.exchange._loops[nid][0].incarnation == 2, step_s=0.001)
        assert [link.nid for link in other.node.federation.open_links()] == [nid]

    on_two_nodes(story)


def test_a_no_is_heard_although_the_last_member_of_the_node_has_just_left() -> None:
    """The invitation was known by the log, which the node reads no more; the hub's word that it is gone was not taken for the answer."""

    async def story(world: Nodes, alice: Device, bob: Device) -> None:
        robin = world.machines[1].devices[1]
        room = await invited(alice, bob, robin)
        bob.wish(room, content.Join())
        await until(lambda: bool(bob.rooms("member")))
        a, b = world.machines
        for pipe in world.network.between(a.host, b.host):
            (pipe if pipe.local[0] == b.host else pipe.peer).lose()
        left = bob.wish(room, content.Leave())
        await until(lambda: left.posted is not None)
        no = robin.wish(room, content.Decline())
        await until(
            lambda: no.posted is not None and no.posted.event_id not in robin.waiting and not robin.rooms("invited")
        )

    on_nodes(2, story, people=(1, 2))


def test_a_no_that_has_its_place_in_the_log_waits_no_more() -> None:
    """Its author was never inside and gets no entry, so their devices showed it as waiting until they connected anew."""

    async def story(world: Nodes, alice: Device, bob: Device) -> None:
        robin = world.machines[1].devices[1]
        room = await invited(alice, bob, robin)
        bob.wish(room, content.Join())
        await until(lambda: bool(bob.rooms("member")))
        no = robin.wish(room, content.Decline())
        await until(lambda: no.posted is not None and no.posted.event_id not in robin.waiting)

    on_nodes(2, story, people=(1, 2))


def test_an_invitation_that_is_taken_back_goes_away_where_nobody_reads_the_log_any_more() -> None:
    """The node of the invited person had a replica that ended with its last member; there the invitation stood for ever."""

    async def story(world: Nodes, alice: Device, bob: Device) -> None:
        robin = world.machines[1].devices[1]
        room = await invited(alice, bob, robin)
        bob.wish(room, content.Join())
        await until(lambda: bool(bob.rooms("member")))
        bob.wish(room, content.Leave())
        await until(lambda: bool(bob.rooms("left")))
        await asyncio.sleep(5)
        assert robin.rooms("invited") == [room]
        alice.wish(room, content.Uninvite(user=robin.user))
        await until(lambda: not robin.rooms("invited"))

    on_nodes(2, story, people=(1, 2))


async def renewed(machine: Machine) -> None:
    """The same node with a new op key."""
    machine.open()
    identity = machine.services.identity
    identity.renew(identity.phrase(), entropy=SeededEntropy("renewal"))
    await machine.services.close()
    machine.open()
    await machine.start()
