"""One script, played on one node and on three: six people, a direct chat and a group. Where several nodes hold the group, their logs are
the same byte for byte, and every device shows the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from node.base.errors import Code
from node.base.ids import RoomId
from node.client import Client
from node.core import content
from node.core.room import Room
from node.storage.log import Link
from tests.cast import Node, acquaint, befriend, group, hears, left, refuses, sees, stage

PEOPLE = ("alice", "bob", "carol", "dave", "erin", "frank")
pytestmark = pytest.mark.slow


@pytest_asyncio.fixture(params=[1, 3], ids=["one node", "three nodes"])
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(stage(tmp_path / str(number))) for number in range(request.param)]
        await acquaint(*made)
        yield made


@pytest_asyncio.fixture
async def cast(nodes: list[Node]) -> list[Client]:
    """Two people a node, or all six on one."""
    return [await nodes[number * len(nodes) // len(PEOPLE)].person(local) for number, local in enumerate(PEOPLE)]


def replica(node: Node, room: RoomId) -> tuple[list[Link], Room]:
    """What a node holds of a room."""
    rooms, log, db = node.services.rooms, node.services.log, node.services.db
    row = db.view(lambda tx: rooms.peek(tx, room))
    assert row is not None
    return db.view(lambda tx: list(log.links(tx, row.pk, 1, 10_000))), row.state


async def test_the_life_of_a_group_of_six(nodes: list[Node], cast: list[Client]) -> None:
    alice, bob, carol, dave, erin, frank = cast
    room = await group(alice, bob, carol, dave, erin, frank, name="Walk")
    for client in cast:
        await client.say(room, f"I am {client.user.partition('@')[0]}")
        await hears(alice, room, *(f"I am {local}" for local in PEOPLE[: cast.index(client) + 1]))
    slip = await carol.ordered(await carol.say(room, "wrong chat"))
    word = await frank.ordered(await frank.say(room, "at nine"))
    await frank.edit(room, word.event_id, "at ten")
    await erin.react(room, word.event_id, "👍")
    await sees(frank, lambda: bool(frank.rooms[room].messages[word.event_id].reactions))
    await carol.recall(room, slip.event_id)
    shown = [*(f"I am {local}" for local in PEOPLE), ""]  # a recalled message shows nothing
    for client in cast:
        await hears(client, room, *shown, "at ten")
    await alice.post(room, content.Rename(name="Long walk"))
    await alice.post(room, content.Kick(user=frank.user, reason="late"))
    await left(frank, room)
    await refuses(Code.NOT_MEMBER, frank.say(room, "wait"))
    await dave.say(room, "he is gone")
    for client in cast[:-1]:
        await hears(client, room, *shown, "at ten", "he is gone")
    logs = [replica(node, room) for node in nodes]
    assert all(log == logs[0] for log in logs)
    assert logs[0][1].name == "Long walk"
    assert [link.body for link in logs[0][0] if link.idx == slip.idx] == [None]


async def test_a_direct_chat(nodes: list[Node], cast: list[Client]) -> None:
    alice, frank = cast[0], cast[-1]
    if len(nodes) == 1:
        room = await alice.open_direct(frank.user)
        await alice.say(room, "May I?")
    else:
        room = await befriend(alice, frank)
    await frank.say(room, "you may")
    await hears(alice, room, "May I?", "you may")
    await alice.say(room, "good")
    for client in (alice, frank):
        await hears(client, room, "May I?", "you may", "good")
    logs = [replica(node, room) for node in {nodes[0], nodes[-1]}]
    assert all(log == logs[0] for log in logs)
