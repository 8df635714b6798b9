"""What people do: direct chats and groups, words, edits, second thoughts, reactions, invitations, quarrels."""

from __future__ import annotations

import asyncio
from random import Random

from node.base.ids import UserId
from node.core import content
from node.core.content import Body
from node.core.hub import direct_room_id
from node.core.roles import Role
from tests.sim.device import Device
from tests.sim.world import World

TALK = ("say", "say", "say", "say", "say", "burst", "reply", "edit", "recall", "react", "read", "read", "page")
MANAGE = (
    "create",
    "direct",
    "invite",
    "accept",
    "accept",
    "kick",
    "leave",
    "role",
    "mute",
    "unmute",
    "mute_all",
    "rename",
    "ban",
)


async def live(world: World, device: Device, until_s: float) -> None:
    """One device's person, until a point in time."""
    random = Random(f"person {world.seed} {device.number}")
    while True:
        await asyncio.sleep(random.expovariate(1.6))
        if world.loop.time() > until_s:
            return
        if device.first_head is None:
            continue
        await act(world, device, random)


async def act(world: World, device: Device, random: Random) -> None:
    """One thing."""
    rooms = device.rooms("member")
    what = random.choice(TALK if random.random() < 0.75 else MANAGE)
    if not rooms and what not in {"accept", "create", "direct"}:
        what = random.choice(("accept", "create", "direct"))
    others = [user for user in world.users if user != device.user]
    other = random.choice(others)
    if what == "create":
        if len(device.rooms("member")) < 4:
            device.wish(b"", content.Create(name="Group"), tuple(random.sample(others, random.randint(0, len(others)))))
    elif what == "accept":
        for room in device.rooms("invited"):
            device.wish(room, content.Join() if random.random() < 0.8 else content.Decline())
    elif what == "direct":
        await open_direct(world, device, other)
    elif what == "read":
        room = random.choice(rooms)
        device.read(room, max((idx for where, idx in device.live if where == room), default=0))
    elif what == "page":
        await turn_pages(device, random.choice(rooms), random)
    elif what in TALK:
        talk(device, what, random.choice(rooms), other, random)
    else:
        device.wish(random.choice(rooms), manage(what, other, random, world.clock.now_ms()))


async def open_direct(world: World, device: Device, other: UserId) -> None:
    """The HTTP API opens direct chats; here its service is called, as its handler would."""
    if world.node is None:
        return
    services = world.services
    try:
        actor = services.sessions.authenticate(device._token)
        await asyncio.wait_for(services.posting.open_direct(actor, other), 5)
    except Exception:  # noqa: BLE001 - the node may crash at any moment; the room is opened another time
        return
    device.wish(direct_room_id(device.user, other), content.Text(text="hello"))


async def turn_pages(device: Device, room: bytes, random: Random) -> None:
    """A look at history, which must agree with what came live."""
    if device.ready:
        try:
            page = await device.history(room, random.randint(0, 20), back=random.random() < 0.7)
        except ConnectionError:
            return
        device.see_page(page)


def talk(device: Device, what: str, room: bytes, other: UserId, random: Random) -> None:
    """Words and what is done to words."""
    known = device.messages(room)
    if what in {"say", "burst"} or not known:
        mention = content.Mention(user=other, start=0, len=1)
        for _ in range(random.randint(5, 25) if what == "burst" else 1):
            device.wish(
                room, content.Text(text="word " * random.randint(1, 40), mentions=(mention,) * random.randint(0, 1))
            )
        return
    mine = [
        entry
        for entry in known
        if device.wishes and entry.event_id in {w.posted.event_id for w in device.wishes if w.posted}
    ]
    entry = random.choice(mine if mine and what in {"edit", "recall"} else known)
    bodies: dict[str, Body] = {
        "edit": content.Edit(target=entry.event_id, text="other words"),
        "recall": content.Recall(target=entry.event_id)
        if random.random() < 0.7
        else content.Redact(target=entry.event_id),
        "react": content.Reaction(target=entry.event_id, value=random.choice("👍🌱"), on=random.random() < 0.8),
        "reply": content.Text(text="yes", reply_to=content.ReplyTo(event=entry.event_id, author=other)),
    }
    device.wish(room, bodies[what])


def manage(what: str, other: UserId, random: Random, now_ms: int) -> Body:
    """Who is in, and who may speak."""
    until_ms = random.choice((0, now_ms + 20_000))
    bodies: dict[str, Body] = {
        "invite": content.Invite(user=other),
        "kick": content.Kick(user=other),
        "leave": content.Leave(),
        "role": content.SetRole(user=other, role=random.choice((Role.ADMIN, Role.MEMBER, Role.VISITOR))),
        "mute": content.Mute(user=other, until_ms=until_ms),
        "unmute": content.Unmute(user=other),
        "mute_all": content.MuteAll(on=random.random() < 0.3),
        "rename": content.Rename(name=random.choice(("Garden", "Forest", "Beach"))),
        "ban": content.Ban(user=other, until_ms=now_ms + 20_000),
    }
    return bodies[what]
