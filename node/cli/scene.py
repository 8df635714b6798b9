"""The first scene of ``startalk demo``: what six people on three nodes have said to each other before anybody looks.

They use the device protocol like everybody else: a question to a stranger and its answer, two direct chats, one question that
waits for the reader, and a group of six that a.test orders. Each step waits until the others have seen the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

from msgspec import Struct

from node.base.ids import RoomId
from node.client import Client

PATIENCE_S: Final = 60.0  # the whole scene takes two seconds
GROUP: Final = "Weekend"
DEVICE: Final = "demo"


class Seat(Struct, frozen=True, kw_only=True):
    """Where somebody signs in."""

    origin: str
    link: str  # for a browser
    local: str
    address: str  # like alice@a.test


async def play(seats: Mapping[str, Seat], password: str) -> None:
    """From six new accounts to a lively group; `seats` by user name. Raises TimeoutError, Rejected, LocalError."""
    async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as stack:
        cast = {
            local: await stack.enter_async_context(
                Client.login(seat.origin, local=local, password=password, device_name=DEVICE)
            )
            for local, seat in seats.items()
        }
        alice, bob, carol = cast["alice"], cast["bob"], cast["carol"]
        await _meet(
            alice, bob, seats["bob"].address, "Hello Bob, this is Alice on a.test.", "Hello Alice! b.test hears you."
        )
        await _meet(bob, carol, seats["carol"].address, "Hi Carol, has c.test moved in?", "It has. Tell Alice.")
        await cast["dave"].ask(seats["frank"].address, "Frank, may I write to you?")
        await _group(cast)
        for client in cast.values():
            await client.api.logout()


async def _meet(asking: Client, asked: Client, address: str, question: str, reply: str) -> RoomId:
    """A question, a yes, and a word each way."""
    await asking.ask(address, question)
    await _asked_by(asked, asking)
    room = await asked.agree(asking.user)
    await _until(asking, lambda: room in asking.rooms)
    await _say(asked, room, reply, [asking])
    return room


async def _group(cast: Mapping[str, Client]) -> None:
    """Alice asks the other five in; everybody says a word."""
    alice, *others = cast.values()
    room = await alice.create_group(GROUP, [client.user for client in others])
    for client in others:
        await _until(client, lambda client=client: _state(client, room) == "invited")  # type: ignore[misc]
        await client.accept(room)
    for client in others:
        await _until(client, lambda client=client: _state(client, room) == "member")  # type: ignore[misc]
    for local, text in (
        ("alice", "Six people, three nodes, one group. Who comes along on Saturday?"),
        ("bob", "I do. b.test brings the map."),
        ("carol", "Me too, if c.test is awake by then."),
        ("frank", "I bring the tea."),
    ):
        await _say(cast[local], room, text, list(cast.values()))


async def _say(author: Client, room: RoomId, text: str, readers: list[Client]) -> None:
    """A message that has its place, and that `readers` show."""
    entry = await author.ordered(await author.say(room, text))
    for client in readers:
        await _until(
            client,
            lambda client=client: room in client.rooms and entry.event_id in client.rooms[room].messages,  # type: ignore[misc]
        )


async def _asked_by(me: Client, other: Client) -> None:
    """`me` sees the question of `other`."""
    while True:
        seen = me.contacts_seen
        if any(one.person.user == other.user and one.state == "asking" for one in await me.contacts()):
            return
        await me.until(lambda seen=seen: me.contacts_seen != seen)  # type: ignore[misc]


def _state(client: Client, room: RoomId) -> str:
    return client.rooms[room].card.state if room in client.rooms else ""


async def _until(client: Client, met: Callable[[], bool]) -> None:
    await client.until(met)
