"""The end of a call in the log when whoever began it cannot say it any more: kicked, left, frozen, on a node that hears of the room no more."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from node.base import limits
from node.base.ids import RoomId, UserId
from node.client import Client
from node.client.news import Entry
from node.core import content
from tests.cast import Node, group, sees
from tests.handset import Handset, handset
from tests.plays.test_calls_across import Town, sees_soon, town
from tests.tape import Tape

__all__ = ["town"]
pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def phones(tape: Tape, alice: Client, bob: Client, carol: Client) -> AsyncIterator[list[Handset]]:
    async with handset(alice) as one, handset(bob) as two, handset(carol) as three:
        yield [one, two, three]


def ends(client: Client, room: RoomId) -> list[Entry]:
    """What the log says of ends of calls."""
    known = client.rooms.get(room)
    found = () if known is None else known.entries.values()
    return [one for one in found if isinstance(one.body, content.Call) and one.body.state == "end"]


async def only_end(client: Client, room: RoomId) -> tuple[UserId, content.Call]:
    """Who ended the one call, and how; after one more message, so that a second entry would be seen."""
    await sees(client, lambda: bool(ends(client, room)))
    await client.say(room, "so far")
    await sees(client, lambda: "so far" in client.rooms[room].texts())
    (entry,) = ends(client, room)
    assert isinstance(entry.body, content.Call)
    return UserId(entry.author), entry.body


@pytest.mark.parametrize("how", ["kicked", "left", "frozen"])
async def test_a_call_without_its_starter_is_ended_in_the_log(
    node: Node, tape: Tape, alice: Client, bob: Client, carol: Client, phones: list[Handset], how: str
) -> None:
    room = await group(alice, bob, carol)
    mine = await phones[1].start(room)
    seats = [mine, await phones[0].join(mine.call), await phones[2].join(mine.call)]
    assert tape.events is not None
    for one in seats:
        tape.events.connected(one.call, one.seat, on=True)
    if how == "kicked":
        await alice.post(room, content.Kick(user=bob.user))
    elif how == "left":
        await bob.post(room, content.Leave())
    else:
        accounts = node.services.accounts
        await accounts.change_account(accounts.console(), bob.user, role=None, frozen=True)
        await phones[0].until(lambda: "reconnecting" in phones[0].states(mine.call).values())
        node.clock.advance(seconds=limits.CALL_RECONNECT_S)
    await phones[0].until(lambda: phones[0].users(mine.call) == [alice.user, carol.user])
    node.clock.advance(seconds=30)
    await phones[0].leave(everybody=how == "kicked")
    if how != "kicked":
        await phones[2].leave()
        await phones[0].until(lambda: not phones[0].users(mine.call))
        node.clock.advance(seconds=limits.CALL_EMPTY_S)
    author, end = await only_end(carol, room)
    assert author == (bob.user if how == "frozen" else alice.user)
    assert (end.call, end.result, end.joined) == (mine.call, "answered", 3)
    assert end.ms >= 30_000


async def test_a_call_that_rings_ends_with_its_starter(
    tape: Tape, alice: Client, bob: Client, carol: Client, phones: list[Handset]
) -> None:
    room = await group(alice, bob, carol)
    await phones[1].start(room, carol.user)
    await phones[2].ring()
    await alice.post(room, content.Kick(user=bob.user))
    author, end = await only_end(alice, room)
    assert (author, end.result, end.missed) == (alice.user, "cancelled", (carol.user,))
    await sees(carol, lambda: any(entry.author == alice.user for entry in ends(carol, room)))
    await sees(carol, lambda: carol.rooms[room].mentions == 1)


@pytest.mark.parametrize("hub_has_somebody", [True, False])
async def test_a_starter_of_another_node(town: Town, *, hub_has_somebody: bool) -> None:
    """The hub's people end it; when nobody of the hub's node is in the chat any more, somebody of another node does."""
    alice, bob, carol = town.people
    room = await group(alice, bob, carol)
    mine = await town.phones[1].start(room)
    await town.phones[2].until(lambda: bool(town.phones[2].users(mine.call)))
    await town.phones[2].join(mine.call)
    await sees(carol, lambda: any(isinstance(one.body, content.Call) for one in carol.rooms[room].entries.values()))
    if hub_has_somebody:
        await alice.post(room, content.Kick(user=bob.user))
    else:
        await alice.post(room, content.Transfer(user=carol.user))
        await alice.post(room, content.Leave())
        await sees(carol, lambda: any(one.kind == "leave" for one in carol.rooms[room].entries.values()))
        await carol.post(room, content.Kick(user=bob.user))
    await town.phones[2].until(lambda: town.phones[2].users(mine.call) == [carol.user])
    await town.phones[2].leave(everybody=not hub_has_somebody)
    if hub_has_somebody:
        await town.phones[0].until(lambda: not town.phones[0].users(mine.call))
        town.pass_time(limits.CALL_EMPTY_S + 1)
    await sees_soon(lambda: bool(ends(carol, room)))
    author, end = await only_end(carol, room)
    assert author == (alice.user if hub_has_somebody else carol.user)
    assert (end.call, end.joined) == (mine.call, 2)
