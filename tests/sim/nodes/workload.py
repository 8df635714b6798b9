"""What people of many nodes do: ask and agree, write to each other, share groups, quarrel.

Every text is said once in a world, so that a message that was multiplied is seen.
"""

from __future__ import annotations

import asyncio
from random import Random

from node.base.ids import UserId, parse_user
from node.core import content
from node.core.hub import direct_room_id
from node.services.actor import Actor
from tests.sim.device import Device
from tests.sim.machine import Machine
from tests.sim.nodes.world import Nodes
from tests.sim.workload import manage, talk, turn_pages

TALK = ("say", "say", "say", "say", "burst", "reply", "edit", "recall", "react", "read", "read", "page")
MANAGE = ("create", "meet", "meet", "invite", "invite", "kick", "leave", "role", "mute", "unmute", "rename", "ban")
GROUPS_MAX = 3
ACCEPTED = 0.85


async def live(world: Nodes, device: Device, until_s: float) -> None:
    """One device's person, until a point in time."""
    random = Random(f"person {world.seed} {device.number}")
    machine = world.machine_of(device)
    while True:
        await asyncio.sleep(random.expovariate(1.4))
        if world.loop.time() > until_s:
            return
        if device.first_head is not None:
            await act(world, machine, device, random)


async def act(world: Nodes, machine: Machine, device: Device, random: Random) -> None:
    """One thing."""
    if random.random() < 0.5:
        answer_offers(device, random)
    rooms = device.rooms("member")
    other = random.choice([user for user in world.users if user != device.user])
    what = random.choice(TALK if rooms and random.random() < 0.8 else MANAGE)
    if what == "create" or (not rooms and what != "meet"):
        if sum(device.cards[room].kind == "group" for room in rooms) < GROUPS_MAX:
            others = [user for user in world.users if user != device.user]
            device.wish(
                b"", content.Create(name="Group"), tuple(random.sample(others, random.randint(1, min(6, len(others)))))
            )
    elif what == "meet":
        await meet(machine, device, other, random)
    elif what == "read":
        room = random.choice(rooms)
        device.read(room, max((idx for where, idx in device.live if where == room), default=0))
    elif what == "page":
        await turn_pages(device, random.choice(rooms), random)
    elif what in {"say", "burst"}:
        say(device, random.choice(rooms), random, random.randint(3, 12) if what == "burst" else 1)
    elif what in TALK:
        room = random.choice(rooms)
        if device.messages(room):
            talk(device, what, room, other, random)
    else:
        device.wish(random.choice(rooms), manage(what, other, random, machine.clock.now_ms()))


def say(device: Device, room: bytes, random: Random, count: int) -> None:
    """New words."""
    for _ in range(count):
        text = f"{device.name} says {len(device.wishes)} " + "word " * random.randint(0, 30)
        device.wish(room, content.Text(text=text))


def answer_offers(device: Device, random: Random) -> None:
    """Invitations that wait for an answer."""
    for room in device.rooms("invited"):
        if not device.cards[room].joining:
            device.wish(room, content.Join() if random.random() < ACCEPTED else content.Decline())


async def meet(machine: Machine, device: Device, other: UserId, random: Random) -> None:
    """The HTTP API opens chats and keeps contacts; here its services are called, as its handlers would."""
    if machine.node is None:
        return
    doing = machine.within(_meet(machine, device, other, random))
    try:
        await asyncio.wait_for(doing, 5)
    except Exception:  # noqa: BLE001 - the node may crash at any moment, and people may not agree; another time
        return


async def _meet(machine: Machine, device: Device, other: UserId, random: Random) -> None:
    services = machine.services
    actor = services.sessions.authenticate(device._token)
    if parse_user(other)[1] == services.identity.nid:
        await services.posting.open_direct(actor, other)
        say(device, direct_room_id(device.user, other), random, 1)
        return
    for contact in services.contacts.of(actor):
        if contact.state == "asking" and random.random() < ACCEPTED:
            await services.contacts.accept(actor, contact.user)
    await _write_or_ask(machine, actor, device, other, random)


async def _write_or_ask(machine: Machine, actor: Actor, device: Device, other: UserId, random: Random) -> None:
    contacts = machine.services.contacts
    state = next((contact.state for contact in contacts.of(actor) if contact.user == other), "")
    if state == "contact":
        if random.random() < 0.05:
            await contacts.block(actor, other)
        else:
            say(device, direct_room_id(device.user, other), random, 1)
    elif not state:
        await contacts.ask(actor, other, f"May {device.name} write? {len(device.wishes)}")
