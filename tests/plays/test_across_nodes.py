"""The same life on two and three nodes: asking, writing, groups, going away and coming back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from node.base.errors import Code, Rejected
from node.base.ids import ROOM_ID_BYTES, EventId, RoomId, format_id, format_node, parse_id
from node.client import Client
from node.client.news import TypingShown
from node.core import content
from node.wire import api
from tests.cast import Node, acquaint, befriend, group, hears, joined, left, offered, refuses, sees, stage, stands

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


async def test_receipts_travel(homes: tuple[Node, Node, Node]) -> None:
    alice, bob, carol = [await node.person(name) for node, name in zip(homes, ("alice", "bob", "carol"), strict=True)]
    room = await group(alice, bob, carol)
    said = await bob.ordered(await bob.say(room, "read me"))
    await hears(carol, room, "read me")
    await carol.read(room, said.idx)
    await sees(bob, lambda: receipt(bob, room, carol) >= said.idx)
    await sees(alice, lambda: receipt(alice, room, carol) >= said.idx)


async def test_the_author_sees_on_which_nodes_it_arrived(homes: tuple[Node, Node, Node]) -> None:
    alice, bob, carol = [await node.person(name) for node, name in zip(homes, ("alice", "bob", "carol"), strict=True)]
    room = await group(alice, bob, carol)
    said = await bob.ordered(await bob.say(room, "where am I?"))
    for client in (alice, bob):
        await sees(client, lambda client=client: reached(client, room, homes[2]) >= said.idx)  # type: ignore[misc]
        await sees(client, lambda client=client: client.nodes[room].stable_idx >= said.idx)  # type: ignore[misc]


async def test_a_name_changes_everywhere(homes: tuple[Node, Node, Node]) -> None:
    alice, bob, carol = [await node.person(name) for node, name in zip(homes, ("alice", "bob", "carol"), strict=True)]
    await group(alice, bob, carol)
    await sees(carol, lambda: carol.names.get(bob.user) == "Bob")
    await bob.api.call("PATCH", "/me", api.account.Me, api.account.ChangeMe(name="Bobby"))
    await sees(alice, lambda: alice.names.get(bob.user) == "Bobby")
    await sees(carol, lambda: carol.names.get(bob.user) == "Bobby")


async def test_typing_and_presence(homes: tuple[Node, Node, Node]) -> None:
    alice, bob, carol = [await node.person(name) for node, name in zip(homes, ("alice", "bob", "carol"), strict=True)]
    room = await group(alice, bob, carol)
    async with asyncio.timeout(20):
        news = carol.events()
        await bob.typing(room)
        async for event in news:
            if isinstance(event, TypingShown):
                assert (event.room, event.user, event.on) == (room, bob.user, True)
                break


async def test_who_is_there_is_seen_as_soon_as_a_chat_is_shared(homes: tuple[Node, Node, Node]) -> None:
    alice, bob = await homes[0].person("alice"), await homes[1].person("bob")
    room = await group(alice, bob)
    async with asyncio.timeout(20):
        while not {one.user: one.online for one in (await bob.api.members(room)).members}[alice.user]:
            await asyncio.sleep(0.05)


async def test_a_link_into_a_group_of_another_node(homes: tuple[Node, Node, Node]) -> None:
    alice, bob = await homes[0].person("alice"), await homes[1].person("bob")
    room = await alice.create_group("Walk")
    link = await alice.api.make_link(room)
    entry = await bob.ordered(await bob.join_elsewhere(link.url))
    assert entry.kind == "join"
    await joined(bob, room)
    await bob.say(room, "found it")
    await hears(alice, room, "found it")
    again = await bob.join_elsewhere(link.url)
    with pytest.raises(Rejected):
        await bob.ordered(again)


async def test_who_said_yes_waits_for_the_node_of_the_group(homes: tuple[Node, Node, Node]) -> None:
    alice, bob = await homes[0].person("alice"), await homes[1].person("bob")
    room = await alice.create_group("Walk", [bob.user])
    await offered(bob, room)
    async with homes[0].cut(homes[1]):
        await bob.accept(room)
        await sees(bob, lambda: bob.rooms[room].card.joining)
    await joined(bob, room)
    assert not bob.rooms[room].card.joining


async def test_a_contact_link_is_a_yes_in_advance(homes: tuple[Node, Node, Node]) -> None:
    alice, bob = await homes[0].person("alice"), await homes[1].person("bob")
    link = await alice.api.make_contact_link()
    await bob.ask(link.url, "It is me")
    await stands(alice, bob, "contact")
    await stands(bob, alice, "contact")
    room = await bob.open_direct(alice.user)
    await hears(alice, room, "It is me")


async def test_what_is_refused_elsewhere_comes_back_to_its_author(homes: tuple[Node, Node, Node]) -> None:
    alice, bob = await homes[0].person("alice"), await homes[1].person("bob")
    room = await group(alice, bob)
    async with homes[1].cut(homes[0]):
        await alice.post(room, content.MuteAll(on=True))
        waiting = await bob.say(room, "anybody?")
        assert waiting.idx == 0
        await sees(bob, lambda: EventId(waiting.event_id) in bob.waiting)
    refused = await refuses(Code.MUTED, bob.ordered(waiting))
    assert refused.text
    await bob.api.call("DELETE", f"/waiting/{format_id(waiting.event_id)}", api.base.Empty)
    await sees(bob, lambda: EventId(waiting.event_id) not in bob.waiting)


async def test_a_stranger_who_is_blocked_hears_nothing(homes: tuple[Node, Node, Node]) -> None:
    alice, bob = await homes[0].person("alice"), await homes[1].person("bob")
    await alice.ask(bob.user, "Hello?")
    await stands(bob, alice, "asking")
    await bob.api.call("POST", f"/contacts/{alice.user}/block", api.people.Contact)
    await stands(bob, alice, "blocked")
    await refuses(Code.CONSENT_NEEDED, alice.open_direct(bob.user))
    await alice.ask(bob.user, "Hello again?")
    await stands(bob, alice, "blocked")


async def test_a_group_whose_node_is_gone_goes_on(homes: tuple[Node, Node, Node]) -> None:
    alice, bob, carol = [await node.person(name) for node, name in zip(homes, ("alice", "bob", "carol"), strict=True)]
    room = await group(alice, bob, carol)
    await alice.post(room, content.Transfer(user=bob.user))
    await sees(bob, lambda: any(entry.kind == "transfer" for entry in bob.rooms[room].entries.values()))
    await refuses(Code.ROLE_TOO_LOW, carol.api.call("POST", f"/rooms/{format_id(room)}/successor", api.rooms.Successor))
    async with homes[0].cut(homes[1]), homes[0].cut(homes[2]):
        made = await bob.api.call("POST", f"/rooms/{format_id(room)}/successor", api.rooms.Successor)
        new = RoomId(parse_id(made.room, ROOM_ID_BYTES))
        await offered(carol, new)
        await carol.accept(new)
        await joined(carol, new)
        await bob.say(new, "here we are")
        await hears(carol, new, "here we are")
        await sees(bob, lambda: bob.rooms[room].card.successors == (new,))
        await sees(carol, lambda: carol.rooms[room].card.successors == (new,))


async def test_a_whole_node_is_kept_out(homes: tuple[Node, Node, Node]) -> None:
    alice, bob, carol = [await node.person(name) for node, name in zip(homes, ("alice", "bob", "carol"), strict=True)]
    room = await group(alice, bob, carol)
    await alice.post(room, content.BanNode(node=format_node(homes[2].nid), reason="spam"))
    await left(carol, room)
    await alice.say(room, "only us")
    await hears(bob, room, "only us")
    await refuses(Code.FORBIDDEN, alice.invite(room, carol.user))
    assert not carol.rooms[room].texts()


def receipt(client: Client, room: RoomId, of: Client) -> int:
    """How far `of` read, as `client` knows."""
    known = client.rooms[room].receipts.get(of.user)
    return 0 if known is None else known.read_idx


def reached(client: Client, room: RoomId, node: Node) -> int:
    """How far `node` has the room, as `client` knows."""
    marks = client.nodes[room].nodes if room in client.nodes else ()
    return next((mark.idx for mark in marks if mark.nid == node.nid), 0)
