"""Calls between nodes: rosters, rings and ends travel, pipes are joined, a hub that goes away or lies does little harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from node.base.ids import RoomId
from node.client import Client
from node.core import content
from node.services.relay import Track, Wanted
from node.wire import calling
from tests.cast import Node, acquaint, befriend, group, hears, sees, stage
from tests.handset import Handset, handset
from tests.tape import Tape

pytestmark = pytest.mark.slow


class Town:
    """Three nodes with a relay each, one person on each of them."""

    def __init__(self, nodes: list[Node], people: list[Client], phones: list[Handset]) -> None:
        self.nodes = nodes
        self.people = people
        self.phones = phones
        self.tapes = [Tape(name=name) for name in "abc"]
        for node, tape in zip(nodes, self.tapes, strict=True):
            node.services.calls.attach(tape)

    def tape_of(self, node: Node) -> Tape:
        return self.tapes[self.nodes.index(node)]

    def pass_time(self, seconds: float) -> None:
        for node in self.nodes:
            node.clock.advance(seconds=seconds)


@pytest_asyncio.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(stage(tmp_path / name)) for name in "abc"]
        await acquaint(*nodes)
        people = [await node.person(name) for node, name in zip(nodes, ("alice", "bob", "carol"), strict=True)]
        phones = [await stack.enter_async_context(handset(person)) for person in people]
        yield Town(nodes, people, phones)


def entries(client: Client, room: RoomId) -> list[content.Call]:
    known = client.rooms.get(room)
    found = () if known is None else known.entries.values()
    return [entry.body for entry in found if isinstance(entry.body, content.Call)]


@pytest.mark.parametrize("caller", [0, 1], ids=["from a", "from b"])
async def test_a_call_of_two_nodes(town: Town, caller: int) -> None:
    """One of the two directions has the hub at the callee's."""
    alice, bob = town.people[caller], town.people[1 - caller]
    hers, his = town.phones[caller], town.phones[1 - caller]
    tapes = [town.tapes[caller], town.tapes[1 - caller]]
    room = await befriend(alice, bob)
    mine = await hers.start(room)
    ring = await his.ring()
    assert (ring.call, ring.room, ring.by) == (mine.call, room, alice.user)
    await hers.until(lambda: hers.invited(mine.call) == {bob.user: "invited"})
    await his.say(ringing(ring.call))
    await hers.until(lambda: hers.invited(mine.call) == {bob.user: "ringing"})
    theirs = await his.join(ring.call)
    for phone in (hers, his):
        await phone.until(lambda phone=phone: set(phone.users(mine.call)) == {alice.user, bob.user})  # type: ignore[misc]
    # the relays are joined, by one half of each
    await sees_soon(lambda: all(len(tape.halves) == 1 for tape in tapes))
    assert {tape.halves[0][1].decode().split()[-1] for tape in tapes} == {"a", "b"}
    # what the one publishes the other's relay hears of, and wants
    assert tapes[0].events is not None
    assert tapes[1].events is not None
    tapes[0].events.published(mine.call, mine.seat, ("mic",))
    track = Track(mine.seat, "mic")
    there = town.nodes[caller].nid
    await sees_soon(lambda: tapes[1].remote.get(there) == (track,))
    tapes[1].events.pipe_wanted(mine.call, there, [Wanted(track, 0)])
    back = town.nodes[1 - caller].nid
    await sees_soon(lambda: tapes[0].wanted_of.get(back) == (Wanted(track, 0),))
    town.pass_time(10)
    await his.leave()
    assert await hers.over(mine.call) == "ended"
    for person in (alice, bob):
        await sees(person, lambda person=person: [one.state for one in entries(person, room)] == ["start", "end"])  # type: ignore[misc]
    end = entries(alice, room)[1]
    assert (end.result, end.ms, end.joined) == ("answered", 10_000, 2)
    assert not any(tape.seats for tape in tapes)
    assert theirs.seat != mine.seat


async def test_nobody_answers_on_another_node(town: Town) -> None:
    alice, bob = town.people[:2]
    room = await befriend(alice, bob)
    mine = await town.phones[0].start(room)
    await town.phones[1].ring()
    town.pass_time(16)
    assert await town.phones[0].over(mine.call) == "unreachable"
    assert await town.phones[1].over(mine.call) == "missed"
    await sees(bob, lambda: len(entries(bob, room)) == 2)
    assert entries(bob, room)[1].missed == (bob.user,)
    await sees(bob, lambda: bob.rooms[room].card.unread >= 1)


async def test_a_group_of_three_nodes(town: Town) -> None:
    alice, bob, carol = town.people
    room = await group(alice, bob, carol)
    await alice.say(room, "shall we?")
    for person in (bob, carol):
        await hears(person, room, "shall we?")
    mine = await town.phones[1].start(room, carol.user, media="video")
    ring = await town.phones[2].ring()
    await town.phones[0].until(lambda: town.phones[0].users(mine.call) == [bob.user])  # a banner, no ring
    assert not town.phones[0].rings
    await town.phones[2].join(ring.call)
    await town.phones[0].join(mine.call)
    for phone in town.phones:
        await phone.until(lambda phone=phone: len(phone.users(mine.call)) == 3)  # type: ignore[misc]
    await sees_soon(lambda: all({node for node, _ in tape.halves} for tape in town.tapes))
    await sees_soon(lambda: all(len({node for node, _ in tape.halves}) == 2 for tape in town.tapes))
    await alice.post(room, content.Kick(user=carol.user))
    assert await town.phones[2].over(mine.call) == "removed"
    for phone in town.phones[:2]:
        await phone.until(lambda phone=phone: len(phone.users(mine.call)) == 2)  # type: ignore[misc]
    await town.phones[0].leave(everybody=True)
    assert await town.phones[1].over(mine.call) == "ended"
    await sees(alice, lambda: [one.result for one in entries(alice, room)] == ["", "answered"])


def ringing(call: bytes) -> calling.CallRinging:
    return calling.CallRinging(call)


async def sees_soon(met: Callable[[], bool]) -> None:
    """True before long."""
    async with asyncio.timeout(20):
        while not met():
            await asyncio.sleep(0.02)
