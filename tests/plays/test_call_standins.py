"""A group call whose hub is away: another node stands in, newcomers come in, a new call can be begun, and the hub takes it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial

import pytest
import pytest_asyncio

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import RoomId, UserId
from node.client import Client
from node.core import content
from node.wire import calling
from tests.cast import group, sees
from tests.handset import Handset, handset
from tests.plays.test_calls_across import Town, entries, sees_soon, town

__all__ = ["town"]
pytestmark = pytest.mark.slow
AWAY = {Code.PEER_OFFLINE, Code.PEER_UNREACHABLE, Code.NODE_BLOCKED}


@pytest_asyncio.fixture
async def dave(town: Town) -> Client:
    """Somebody more, of Bob's node."""
    return await town.nodes[1].person("dave")


@pytest_asyncio.fixture
async def daves(dave: Client) -> AsyncIterator[Handset]:
    async with handset(dave) as made:
        yield made


async def talk(town: Town, room: RoomId) -> tuple[calling.CallSeat, calling.CallSeat]:
    """Bob and Carol, whose nodes are not the hub, are in a call."""
    bobs, carols = town.phones[1:]
    mine = await bobs.start(room, town.people[2].user)
    seat = await carols.join((await carols.ring()).call)
    for tape, one in ((town.tapes[1], mine), (town.tapes[2], seat)):
        assert tape.events is not None
        tape.events.connected(one.call, one.seat, on=True)
    for phone in (bobs, carols):
        await phone.until(lambda phone=phone: list(phone.states(mine.call).values()) == ["live", "live"])  # type: ignore[misc]
    await sees_soon(lambda: all(town.tapes[number].halves for number in (1, 2)))
    return mine, seat


def are_in(phone: Handset, call: bytes, users: set[UserId]) -> bool:
    """Whether this device sees just these people in the call."""
    return set(phone.users(call)) == users


def sits(phone: Handset, seat: calling.CallSeat) -> bool:
    """Whether this device sees that one in the call."""
    return seat.seat in {one.seat for one in phone.roster(seat.call).participants}


async def hears(town: Town, phone: Handset, met: Callable[[], object]) -> None:
    """What is said between nodes may be lost, and is said again after five seconds of clocks that stand still here."""
    for _ in range(2):
        try:
            async with asyncio.timeout(3):
                return await phone.until(met)
        except TimeoutError:
            town.pass_time(limits.CALL_REPEAT_S)
    return await phone.until(met)


async def cut_hub(town: Town, stack: AsyncExitStack) -> None:
    for other in town.nodes[1:]:
        await stack.enter_async_context(town.nodes[0].cut(other))


async def in_the_end(phone: Handset, call: bytes) -> None:
    """Comes in as soon as somebody keeps the call."""
    async with asyncio.timeout(20):
        while phone.seat is None:
            with suppress(Rejected):
                await phone.join(call)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("hub", ["waits", "gave them up", "ended it"])
async def test_newcomers_come_in_while_the_hub_is_away(town: Town, dave: Client, daves: Handset, hub: str) -> None:
    alice, bob, carol = town.people
    room = await group(alice, bob, carol, dave)
    mine, seat = await talk(town, room)
    async with AsyncExitStack() as stack:
        await cut_hub(town, stack)
        with pytest.raises(Rejected) as refusal:
            await daves.join(mine.call)
        assert refusal.value.code in AWAY, "for a short time"
        town.pass_time(limits.CALL_SILENT_S + 1)
        await in_the_end(daves, mine.call)
        for phone in (*town.phones[1:], daves):
            await hears(town, phone, partial(are_in, phone, mine.call, {bob.user, carol.user, dave.user}))
        await town.phones[2].show(hand=True)
        await daves.until(lambda: any(one.hand for one in daves.roster(mine.call).participants))
        focus = town.nodes[0].services.calls._focus
        await sees_soon(lambda: {one.state for one in focus.calls[0].seats.values()} == {"reconnecting"})
        if hub != "waits":
            town.nodes[0].clock.advance(seconds=limits.CALL_RECONNECT_S)
            await sees_soon(lambda: not focus.calls[0].seats)
        if hub == "ended it":
            town.nodes[0].clock.advance(seconds=limits.CALL_EMPTY_S)
            await sees_soon(lambda: not focus.calls)
    async with handset(alice) as hers:
        await hears(town, hers, partial(are_in, hers, mine.call, {bob.user, carol.user, dave.user}))
        back = await hers.join(mine.call)
        for phone in (hers, *town.phones[1:], daves):
            await phone.until(partial(sits, phone, back))
        assert {mine.seat, seat.seat} < {one.seat for one in hers.roster(mine.call).participants}
        assert [town.phones[number].why(mine.call) for number in (1, 2)] == ["", ""]
        assert all(tape.closed == [] for tape in town.tapes[1:]), "media between them was not cut"
        assert [call.id for call in focus.calls] == [mine.call]
        assert not town.nodes[1].services.calls._focus.calls
        assert not town.nodes[2].services.calls._focus.calls
        await town.phones[1].leave(everybody=True)
        for phone in (hers, town.phones[2], daves):
            assert await phone.over(mine.call) == "ended"
    await sees(bob, lambda: [one.state for one in entries(bob, room)] == ["start", "end"])


async def test_a_call_is_begun_while_the_hub_is_away(town: Town) -> None:
    """It rings at those who do not reach the hub either, and is the hub's as soon as that is back; so is its entry in the log."""
    alice, bob, carol = town.people
    room = await group(alice, bob, carol)
    await alice.say(room, "hello")
    await sees(carol, lambda: "hello" in carol.rooms[room].texts())
    async with AsyncExitStack() as stack:
        await cut_hub(town, stack)
        mine = await town.phones[1].start(room, carol.user)
        await hears(town, town.phones[2], lambda: town.phones[2].rings)
        ring = await town.phones[2].ring()
        assert (ring.call, ring.by) == (mine.call, bob.user)
        seat = await town.phones[2].join(ring.call)
        for tape, one in ((town.tapes[1], mine), (town.tapes[2], seat)):
            assert tape.events is not None
            tape.events.connected(one.call, one.seat, on=True)
        await town.phones[1].until(lambda: list(town.phones[1].states(mine.call).values()) == ["live", "live"])
    await hears(town, town.phones[0], lambda: town.phones[0].rosters)
    await town.phones[0].join(mine.call)
    for phone in town.phones:
        await phone.until(lambda phone=phone: len(phone.users(mine.call)) == 3)  # type: ignore[misc]
    for phone in town.phones:
        await phone.leave()
    town.pass_time(limits.CALL_EMPTY_S + 1)
    await sees(alice, lambda: [one.result for one in entries(alice, room)] == ["", "answered"])


async def test_who_may_not_call_does_not_begin_one_while_the_hub_is_away(town: Town) -> None:
    alice, bob, carol = town.people
    room = await group(alice, bob, carol)
    await alice.post(room, content.Settings(calls="admins"))
    await sees(carol, lambda: any(one.kind == "settings" for one in carol.rooms[room].entries.values()))
    await sees(bob, lambda: any(one.kind == "settings" for one in bob.rooms[room].entries.values()))
    async with AsyncExitStack() as stack:
        await cut_hub(town, stack)
        with pytest.raises(Rejected) as refusal:
            await town.phones[1].start(room, carol.user)
        assert refusal.value.code is Code.ROLE_TOO_LOW
