"""The same life on two and three nodes: asking, writing, groups, going away and coming back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from node.base.errors import Code
from node.core import content
from tests.cast import Node, acquaint, befriend, group, hears, left, refuses, sees, stage

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def homes(tmp_path: Path) -> AsyncIterator[tuple[Node, Node, Node]]:
    """Three nodes that know where the others are."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(stage(tmp_path / name)) for name in "abc"]
        await acquaint(*nodes)
        yield nodes[0], nodes[1], nodes[2]


async def test_two_people_of_two_nodes_agree_and_write(homes: tuple[Node, Node, Node]) -> None:
    alice, bob = await homes[0].person("alice"), await homes[1].person("bob")
    room = await befriend(alice, bob)
    await alice.say(room, "hello")
    await hears(bob, room, "May I?", "hello")
    await bob.say(room, "hello to you")
    await hears(alice, room, "May I?", "hello", "hello to you")
    await hears(bob, room, "May I?", "hello", "hello to you")


async def test_a_group_on_three_nodes(homes: tuple[Node, Node, Node]) -> None:
    alice, bob, carol = [await node.person(name) for node, name in zip(homes, ("alice", "bob", "carol"), strict=True)]
    room = await group(alice, bob, carol)
    said = await bob.ordered(await bob.say(room, "from b"))
    await hears(carol, room, "from b")
    await carol.react(room, said.event_id, "👍")
    await sees(bob, lambda: bool(bob.rooms[room].messages[said.event_id].reactions))
    await bob.edit(room, said.event_id, "from bob")
    await hears(alice, room, "from bob")
    await alice.post(room, content.Kick(user=carol.user))
    await left(carol, room)
    await refuses(Code.NOT_MEMBER, carol.say(room, "still here?"))
    await alice.say(room, "after")
    await hears(bob, room, "from bob", "after")
