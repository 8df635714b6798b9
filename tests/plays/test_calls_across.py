"""Calls between nodes: rosters, rings and ends travel, pipes are joined, a hub that goes away or lies does little harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from node.base.errors import Code, Rejected
from node.base.ids import RoomId
from node.client import Client
from node.core import content
from node.services.relay import Track, Wanted
from node.wire import calling, focus
from tests.cast import Node, acquaint, befriend, group, hears, refuses, sees, stage
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


# --- how it ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [0, 1], ids=["from a", "from b"])
@pytest.mark.parametrize("how", ["declined", "busy", "cancelled"])
async def test_a_call_of_two_nodes_that_comes_to_nothing(town: Town, caller: int, how: str) -> None:
    alice, bob = town.people[caller], town.people[1 - caller]
    hers, his = town.phones[caller], town.phones[1 - caller]
    room = await befriend(alice, bob)
    mine = await hers.start(room)
    await his.ring()
    match how:
        case "declined":
            await his.decline(mine.call)
        case "busy":
            await his.decline(mine.call, busy=True)
        case _:
            await hers.leave()
    if how == "cancelled":
        assert await his.over(mine.call) == "cancelled"
    else:
        assert await hers.over(mine.call) == how
    await sees(bob, lambda: len(entries(bob, room)) == 2)
    end = entries(bob, room)[1]
    assert (end.result, end.ms, end.joined) == (how, 0, 1)
    assert end.missed == (() if how == "declined" else (bob.user,))


@pytest.mark.parametrize("caller", [0, 1], ids=["from a", "from b"])
async def test_two_people_of_two_nodes_call_each_other(town: Town, caller: int) -> None:
    alice, bob = town.people[caller], town.people[1 - caller]
    hers, his = town.phones[caller], town.phones[1 - caller]
    room = await befriend(alice, bob)
    mine, theirs = await asyncio.gather(hers.start(room), his.start(room))
    assert mine.call == theirs.call
    for phone in (hers, his):
        await phone.until(lambda phone=phone: len(phone.users(mine.call)) == 2)  # type: ignore[misc]
    await hers.leave()
    for person in (alice, bob):
        await sees(person, lambda person=person: [one.result for one in entries(person, room)] == ["", "answered"])  # type: ignore[misc]


async def test_answered_elsewhere_on_another_node(town: Town) -> None:
    alice, bob = town.people[:2]
    room = await befriend(alice, bob)
    async with handset(await town.nodes[1].device(bob)) as second:
        mine = await town.phones[0].start(room)
        await second.ring()
        await town.phones[1].ring()
        await second.join(mine.call)
        assert await town.phones[1].over(mine.call) == "accepted_elsewhere"
        refusal = await refuses(Code.ALREADY_DONE, town.phones[1].join(mine.call))
        assert "Another device" in refusal.text


# --- losing and coming back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [0, 1], ids=["from a", "from b"])
async def test_a_device_on_another_node_is_lost_and_comes_back(town: Town, caller: int) -> None:
    alice, bob = town.people[caller], town.people[1 - caller]
    hers, his = town.phones[caller], town.phones[1 - caller]
    room = await befriend(alice, bob)
    mine = await hers.start(room)
    seat = await his.join((await his.ring()).call)
    for tape, one in ((town.tapes[caller], mine), (town.tapes[1 - caller], seat)):
        assert tape.events is not None
        tape.events.connected(one.call, one.seat, on=True)
    await hers.until(lambda: set(hers.states(mine.call).values()) == {"live"})
    await his.hang_up()
    await hers.until(lambda: hers.states(mine.call)[bob.user] == "reconnecting")
    async with handset(bob) as again:
        back = await again.join(mine.call, seat.seat)
        await hers.until(lambda: [one.seat for one in hers.roster(mine.call).participants] == [mine.seat, back.seat])
        his_tape = town.tapes[1 - caller]
        assert his_tape.events is not None
        his_tape.events.connected(back.call, back.seat, on=True)
        await hers.until(lambda: hers.states(mine.call)[bob.user] == "live")
        await again.hang_up()
        await hers.until(lambda: hers.states(mine.call)[bob.user] == "reconnecting")
        town.pass_time(31)
        assert await hers.over(mine.call) == "ended"


async def test_a_hub_that_is_away_does_not_end_a_call(town: Town) -> None:
    """The roster stands still meanwhile, and goes on when it is back."""
    alice, bob, carol = town.people
    room = await group(alice, bob, carol)
    mine = await town.phones[1].start(room, carol.user)
    await town.phones[2].join((await town.phones[2].ring()).call)
    await sees_soon(lambda: bool(town.tapes[1].halves and town.tapes[2].halves))
    async with town.nodes[0].cut(town.nodes[1]), town.nodes[0].cut(town.nodes[2]):
        with pytest.raises(Rejected) as refusal:  # the hub alone could say who is called
            await town.phones[1].ask(lambda n: calling.CallStart(n, room, "audio", (alice.user,)))
        assert refusal.value.code in {Code.NODE_BLOCKED, Code.PEER_OFFLINE, Code.PEER_UNREACHABLE}
        assert not town.phones[1].why(mine.call)
        assert (mine.call, mine.seat) in town.tapes[1].seats
    await town.phones[1].show(hand=True)
    await town.phones[2].until(lambda: any(one.hand for one in town.phones[2].roster(mine.call).participants))
    await town.phones[0].join(mine.call)
    await town.phones[1].until(lambda: len(town.phones[1].users(mine.call)) == 3)


async def test_a_node_that_is_away_when_it_is_called(town: Town) -> None:
    """Whoever calls from the node that does not order the chat: the caller's node keeps the call; the log says it later."""
    room = await befriend(town.people[0], town.people[1])
    callee = 0 if town.people[0].rooms[room].card.hub == town.nodes[0].nid else 1
    hers, bob = town.phones[1 - callee], town.people[callee]
    async with town.nodes[0].cut(town.nodes[1]):
        mine = await hers.start(room)
        town.nodes[1 - callee].clock.advance(seconds=16)
        assert await hers.over(mine.call) == "unreachable"
    await sees(bob, lambda: [one.result for one in entries(bob, room)] == ["", "unreachable"])
    assert entries(bob, room)[1].missed == (bob.user,)


# --- liars ------------------------------------------------------------------------------------------------------


async def test_a_node_lies_about_a_call_that_another_one_keeps(town: Town) -> None:
    alice, bob, carol = town.people
    room = await group(alice, bob, carol)
    mine = await town.phones[0].start(room)
    await town.phones[2].until(lambda: town.phones[2].users(mine.call) == [alice.user])
    seat = await town.phones[2].join(mine.call)
    await town.phones[2].until(lambda: len(town.phones[2].users(mine.call)) == 2)
    liar, now_ms = town.nodes[1].node.federation, 1_900_000_000_000
    nodes = {alice.user: town.nodes[0].nid, carol.user: town.nodes[2].nid}
    await liar.reach(nodes[carol.user])
    over = focus.CallNow(mine.call, room, 10**9, "audio", alice.user, 1, 1, (), (), {seat.seat: "removed"}, "ended")
    forged = focus.SeatNow(seat.seat, carol.user, "live", mic=True, hand=True)
    seats = focus.SeatsNow(mine.call, room, now_ms, 10**9, (forged,), (), "audio", alice.user, 1)
    fake = focus.CallNow(bytes(16), room, 1, "audio", bob.user, 1, 0, (), (focus.InvitedNow(carol.user, "invited", 1),))
    asks = (
        focus.AskLeave(mine.call, room, carol.user, seat.seat),
        focus.AskRemove(mine.call, room, alice.user, seat.seat),
        focus.AskStart(bytes(16), room, alice.user, bytes(8), 1, "audio", ()),
    )
    for nid in nodes.values():
        for topic, said in ((focus.NOW, over), (focus.SEATS, seats), (focus.NOW, fake)):
            liar.whisper(nid, topic, focus.encode_said(said))
        liar.whisper(nid, focus.NOW, b"\xc1nonsense")
        words = [(focus.ASK, ask) for ask in asks]
        words += [(focus.PIPE, focus.PipeHalf(mine.call, b"half")), (focus.WANT, focus.PipeWant(mine.call, ()))]  # type: ignore[list-item]
        for method, asked in words:
            with pytest.raises(Rejected):
                await liar.request(nid, method, focus.encode_said(asked))
        with pytest.raises(Rejected):
            await liar.request(nid, focus.ASK, b"\xc1nonsense")
    await town.phones[2].show(mic=True)
    await town.phones[0].until(lambda: any(one.mic for one in town.phones[0].roster(mine.call).participants))
    assert not any(one.hand for one in town.phones[0].roster(mine.call).participants)
    for phone in (town.phones[0], town.phones[2]):
        assert not phone.why(mine.call)
        assert bytes(16) not in phone.rosters
        assert not phone.rings
    assert not town.tapes[1].halves


async def test_a_flood_of_reports_makes_no_storm(town: Town) -> None:
    alice, bob, carol = town.people
    room = await group(alice, bob, carol)
    mine = await town.phones[1].start(room)
    await town.phones[2].until(lambda: bool(town.phones[2].users(mine.call)))
    heard = town.phones[2].rosters_heard
    liar, hub = town.nodes[1].node.federation, town.nodes[0].nid
    for count in range(2_000):
        flags = focus.SeatNow(mine.seat, bob.user, "live", hand=count % 2 == 0)
        said = focus.SeatsNow(mine.call, room, 10**13 + count, 1, (flags,), (), "audio", bob.user, 1)
        liar.whisper(hub, focus.SEATS, focus.encode_said(said))
        if count % 50 == 0:
            await asyncio.sleep(0)
    await alice.say(room, "still here")
    await sees(carol, lambda: "still here" in carol.rooms[room].texts())
    assert town.phones[2].rosters_heard - heard < 100
