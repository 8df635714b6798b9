"""Calls on one node: who rings, who answers, how it ends, what the log says. No media: the relay is a tape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import RoomId, format_id
from node.client import Client
from node.core import content
from node.core.roles import Role
from node.services.relay import Quality, Track, Wanted
from node.services.settings import CALLS, Change
from node.wire import calling
from tests.cast import Node, group, refuses, sees, stage
from tests.handset import Handset, handset
from tests.tape import Tape

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def hers(tape: Tape, alice: Client) -> AsyncIterator[Handset]:
    async with handset(alice) as made:
        yield made


@pytest_asyncio.fixture
async def his(tape: Tape, bob: Client) -> AsyncIterator[Handset]:
    async with handset(bob) as made:
        yield made


@pytest_asyncio.fixture
async def his_phone(tape: Tape, bob_phone: Client) -> AsyncIterator[Handset]:
    async with handset(bob_phone) as made:
        yield made


@pytest_asyncio.fixture
async def theirs(tape: Tape, carol: Client) -> AsyncIterator[Handset]:
    async with handset(carol) as made:
        yield made


@pytest_asyncio.fixture
async def room(alice: Client, bob: Client) -> RoomId:
    return await alice.open_direct(bob.user)


def entries(client: Client, room: RoomId) -> list[content.Call]:
    """The calls in the log as the device shows them."""
    known = client.rooms.get(room)
    found = () if known is None else known.entries.values()
    return [entry.body for entry in found if isinstance(entry.body, content.Call)]


async def ended(client: Client, room: RoomId) -> content.Call:
    """The entry of the end, once it is there."""
    await sees(client, lambda: any(one.state == "end" for one in entries(client, room)))
    return next(one for one in entries(client, room) if one.state == "end")


async def talk(tape: Tape, hers: Handset, his: Handset, room: RoomId) -> bytes:
    """A live call of two; its id."""
    mine = await hers.start(room)
    seat = await his.join((await his.ring()).call)
    connect(tape, mine, seat)
    await hers.until(lambda: set(hers.states(mine.call).values()) == {"live"})
    return mine.call


def connect(tape: Tape, *seats: calling.CallSeat, on: bool = True) -> None:
    """Media goes, or not any more."""
    assert tape.events is not None
    for one in seats:
        tape.events.connected(one.call, one.seat, on=on)


# --- two people -------------------------------------------------------------------------------------------


async def test_a_call_from_the_first_ring_to_the_entry_in_the_log(
    node: Node, tape: Tape, alice: Client, bob: Client, hers: Handset, his: Handset, room: RoomId
) -> None:
    mine = await hers.start(room, media="video")
    ring = await his.ring()
    assert (ring.call, ring.room, ring.by, ring.media) == (mine.call, room, alice.user, "video")
    assert ring.expires_ms == node.clock.now_ms() + limits.CALL_RING_S * 1000
    await hers.until(lambda: hers.roster(mine.call).state == "ringing")
    assert hers.invited(mine.call) == {bob.user: "invited"}
    await his.say(calling.CallRinging(ring.call))
    await hers.until(lambda: hers.invited(mine.call) == {bob.user: "ringing"})
    assert await hers.up("v=0 up", m0="mic", m1="camera") == "answer to v=0 up"
    seat = await his.join(ring.call)
    assert tape.seats == {(mine.call, mine.seat), (mine.call, seat.seat)}
    await hers.until(lambda: hers.users(mine.call) == [alice.user, bob.user])
    assert hers.roster(mine.call).state == "live"
    connect(tape, mine, seat)
    await hers.until(lambda: set(hers.states(mine.call).values()) == {"live"})
    node.clock.advance(seconds=42)
    await his.leave()
    assert await hers.over(mine.call) == "ended"
    end = await ended(bob, room)
    start = entries(bob, room)[0]
    assert (start.state, start.media, start.call) == ("start", "video", mine.call)
    assert (end.result, end.ms, end.joined, end.missed) == ("answered", 42_000, 2, ())
    assert bob.rooms[room].card.unread == 0
    assert not tape.seats
    assert tape.ended == [mine.call]


async def test_declining_stops_every_device(
    alice: Client, bob: Client, hers: Handset, his: Handset, his_phone: Handset, room: RoomId
) -> None:
    mine = await hers.start(room)
    await his.ring()
    await his_phone.ring()
    await his.decline(mine.call)
    assert await his_phone.over(mine.call) == "declined_elsewhere"
    assert await hers.over(mine.call) == "declined"
    assert (await ended(alice, room)).result == "declined"
    assert bob.rooms[room].card.unread == 0, "who said no has seen it"
    await refuses(Code.NOT_FOUND, his_phone.join(mine.call))


async def test_answered_elsewhere(hers: Handset, his: Handset, his_phone: Handset, room: RoomId) -> None:
    mine = await hers.start(room)
    await his.ring()
    await his_phone.ring()
    first, second = await asyncio.gather(his.join(mine.call), his_phone.join(mine.call), return_exceptions=True)
    seats = [one for one in (first, second) if isinstance(one, calling.CallSeat)]
    refusals = [one for one in (first, second) if isinstance(one, Rejected)]
    assert len(seats) == len(refusals) == 1, "the first accept wins"
    assert refusals[0].code is Code.ALREADY_DONE
    loser = his_phone if first is seats[0] else his
    assert await loser.over(mine.call) == "accepted_elsewhere"


async def test_the_caller_gives_up(alice: Client, bob: Client, hers: Handset, his: Handset, room: RoomId) -> None:
    mine = await hers.start(room)
    await his.ring()
    await hers.leave()
    assert await his.over(mine.call) == "cancelled"
    end = await ended(bob, room)
    assert (end.result, end.missed, end.ms) == ("cancelled", (bob.user,), 0)
    await sees(bob, lambda: bob.rooms[room].unread == 1)


async def test_nobody_answers(node: Node, bob: Client, hers: Handset, his: Handset, room: RoomId) -> None:
    mine = await hers.start(room)
    await his.ring()
    await his.say(calling.CallRinging(mine.call))
    await hers.until(lambda: "ringing" in hers.invited(mine.call).values())
    node.clock.advance(seconds=limits.CALL_RING_S)
    assert await hers.over(mine.call) == "missed"
    assert await his.over(mine.call) == "missed"
    assert (await ended(bob, room)).missed == (bob.user,)
    found = {one.room: one for one in await bob.api.rooms()}[format_id(room)]
    assert (found.unread, found.mentions) == (1, 1)


async def test_nobody_is_there(node: Node, alice: Client, hers: Handset, room: RoomId, bob: Client) -> None:
    mine = await hers.start(room)
    node.clock.advance(seconds=limits.CALL_UNREACHABLE_S)
    assert await hers.over(mine.call) == "unreachable"
    assert (await ended(alice, room)).result == "unreachable"


async def test_who_is_in_another_call_is_busy(
    tape: Tape, alice: Client, bob: Client, carol: Client, hers: Handset, his: Handset, theirs: Handset, room: RoomId
) -> None:
    await talk(tape, hers, his, room)
    other = await carol.open_direct(bob.user)
    mine = await theirs.start(other)
    assert await theirs.over(mine.call) == "busy"
    assert (await ended(carol, other)).missed == (bob.user,)
    assert not his.rings, "it did not even ring"
    await refuses(Code.BUSY, his.start(other))


async def test_two_who_call_each_other_talk(
    alice: Client, bob: Client, hers: Handset, his: Handset, room: RoomId
) -> None:
    mine = await hers.start(room)
    seat = await his.start(room)
    assert seat.call == mine.call
    await hers.until(lambda: hers.users(mine.call) == [alice.user, bob.user])
    await hers.leave()
    assert (await ended(bob, room)).result == "answered"
    assert len(entries(bob, room)) == 2, "one call, not two"


async def test_a_device_that_comes_late_hears_of_the_call(
    node: Node, bob: Client, hers: Handset, tape: Tape, room: RoomId
) -> None:
    mine = await hers.start(room)
    async with handset(bob) as late:
        ring = await late.ring()
        assert ring.call == mine.call
        assert late.users(mine.call)
        await late.join(ring.call)


# --- losing and coming back -------------------------------------------------------------------------------


async def test_media_is_lost_and_comes_back(
    node: Node, tape: Tape, bob: Client, hers: Handset, his: Handset, room: RoomId
) -> None:
    call = await talk(tape, hers, his, room)
    assert his.seat is not None
    connect(tape, his.seat, on=False)
    await hers.until(lambda: hers.states(call)[bob.user] == "reconnecting")
    node.clock.advance(seconds=limits.CALL_RECONNECT_S - 1)
    connect(tape, his.seat)
    await hers.until(lambda: hers.states(call)[bob.user] == "live")


async def test_a_page_is_loaded_anew(
    node: Node, tape: Tape, alice: Client, bob: Client, hers: Handset, his: Handset, room: RoomId
) -> None:
    call = await talk(tape, hers, his, room)
    assert his.seat is not None
    old = his.seat.seat
    await his.hang_up()
    await hers.until(lambda: hers.states(call)[bob.user] == "reconnecting")
    async with handset(bob) as again:
        seat = await again.join(call, old)
        assert seat.seat != old
        await hers.until(lambda: [one.seat for one in hers.roster(call).participants][1:] == [seat.seat])
        assert (call, old) not in tape.seats
        assert not again.why(call)
        assert not hers.why(call)
        node.clock.advance(seconds=10)
        connect(tape, seat)
        await hers.until(lambda: hers.states(call)[bob.user] == "live")


async def test_a_page_that_forgot_its_seat_gets_its_place(
    tape: Tape, bob: Client, hers: Handset, his: Handset, room: RoomId
) -> None:
    call = await talk(tape, hers, his, room)
    await his.hang_up()
    async with handset(bob) as again:
        seat = await again.join(call)
        await hers.until(lambda: [one.seat for one in hers.roster(call).participants][1:] == [seat.seat])


async def test_a_new_socket_takes_over_while_media_goes_on(
    tape: Tape, bob: Client, hers: Handset, his: Handset, room: RoomId
) -> None:
    call = await talk(tape, hers, his, room)
    assert his.seat is not None
    seat = his.seat
    assert tape.events is not None
    tape.events.offered(call, seat.seat, 1, "v=0 first", {})
    await his.until(lambda: his.offers)
    await his.hang_up()
    await hers.until(lambda: hers.states(call)[bob.user] == "reconnecting")
    tape.events.offered(call, seat.seat, 2, "v=0 second", {"0": Track(b"someseat", "mic")})
    async with handset(bob) as again:
        await again.until(lambda: again.offers)
        assert (again.offers[-1].version, again.offers[-1].tracks) == (2, {"0": (b"someseat", "mic")})
        await hers.until(lambda: hers.states(call)[bob.user] == "live")
        again.seat = seat
        await again.down(2, "v=0 answer")
        assert tape.answers == [(seat.seat, 2, "v=0 answer")]


async def test_who_does_not_come_back_is_out(
    node: Node, tape: Tape, alice: Client, hers: Handset, his: Handset, room: RoomId
) -> None:
    call = await talk(tape, hers, his, room)
    await his.hang_up()
    await hers.until(lambda: "reconnecting" in hers.states(call).values())
    node.clock.advance(seconds=limits.CALL_RECONNECT_S)
    assert await hers.over(call) == "ended"
    assert (await ended(alice, room)).result == "answered"


async def test_media_that_never_comes_ends_the_call(
    node: Node, tape: Tape, alice: Client, hers: Handset, his: Handset, room: RoomId
) -> None:
    mine = await hers.start(room)
    await his.join((await his.ring()).call)
    for phone in (hers, his):
        await phone.up("v=0", m0="mic")
    node.clock.advance(seconds=limits.CALL_CONNECT_S)
    assert await hers.over(mine.call) == "failed"
    assert (await ended(alice, room)).result == "failed"


async def test_who_only_listens_counts_as_there(
    node: Node, tape: Tape, bob: Client, hers: Handset, his: Handset, room: RoomId
) -> None:
    mine = await hers.start(room)
    await his.join((await his.ring()).call)
    connect(tape, mine)
    node.clock.advance(seconds=limits.CALL_LISTENER_S + 1)
    await hers.until(lambda: hers.states(mine.call).get(bob.user) == "live")


async def test_the_relay_loses_the_call_and_its_devices_come_again(
    tape: Tape, hers: Handset, his: Handset, room: RoomId
) -> None:
    call = await talk(tape, hers, his, room)
    assert tape.events is not None
    tape.events.failed(call)
    for phone in (hers, his):
        assert await phone.over(call) == "restarting"
        assert phone.seat is not None
        await phone.join(call, phone.seat.seat)
    await hers.until(lambda: len(hers.users(call)) == 2)


async def test_a_node_that_stops_asks_devices_to_come_again(
    node: Node, tape: Tape, hers: Handset, his: Handset, room: RoomId
) -> None:
    call = await talk(tape, hers, his, room)
    node.node.sockets.stop()
    for phone in (hers, his):
        assert await phone.over(call) == "restarting"


async def test_a_call_moves_to_the_phone(
    tape: Tape, bob: Client, hers: Handset, his: Handset, his_phone: Handset, room: RoomId
) -> None:
    call = await talk(tape, hers, his, room)
    assert his.seat is not None
    assert await his_phone.over(call) == "accepted_elsewhere"
    seat = await his_phone.join(call, his.seat.seat)
    assert await his.over(call) == "moved"
    await hers.until(lambda: [one.seat for one in hers.roster(call).participants][1:] == [seat.seat])


# --- media and flags --------------------------------------------------------------------------------------


async def test_what_a_device_says_reaches_the_relay_and_the_others(
    tape: Tape, alice: Client, bob: Client, hers: Handset, his: Handset, room: RoomId
) -> None:
    call = await talk(tape, hers, his, room)
    assert hers.seat is not None
    assert his.seat is not None
    await his.show(mic=True, camera=True, hand=True)
    await hers.until(lambda: hers.roster(call).participants[1].hand)
    shown = hers.roster(call).participants[1]
    assert (shown.mic, shown.camera, shown.screen, shown.muted) == (True, True, False, False)
    wish = calling.Wish(his.seat.seat, "camera", 640, pinned=True)
    await hers.say(calling.CallWant(call, hers.seat.seat, (wish,)))
    await hers.say(calling.CallRestart(call, hers.seat.seat))
    assert await hers.up("v=0 again", m0="mic") == "answer to v=0 again"
    assert tape.wishes[hers.seat.seat] == (Wanted(Track(his.seat.seat, "camera"), 640, pinned=True),)
    assert tape.restarts == [hers.seat.seat]
    assert tape.events is not None
    tape.events.speakers(call, [his.seat.seat])
    tape.events.quality(call, hers.seat.seat, Quality(60, 900, 5, 1200, 40))
    await hers.until(lambda: hers.speakers and hers.qualities)
    assert hers.speakers[-1].seats == (his.seat.seat,)
    assert (hers.qualities[-1].level, hers.qualities[-1].up_loss) == (1, 60)
    assert not his.qualities


async def test_nobody_speaks_with_the_seat_of_somebody_else(
    tape: Tape, hers: Handset, his: Handset, his_phone: Handset, room: RoomId
) -> None:
    call = await talk(tape, hers, his, room)
    for thief in (hers, his_phone):
        own, thief.seat = thief.seat, his.seat
        await refuses(Code.NOT_FOUND, thief.up("v=0", m0="mic"))
        await refuses(Code.NOT_FOUND, thief.leave())
        await thief.show(mic=True)
        thief.seat = own
    await his.show(hand=True)
    await hers.until(lambda: hers.roster(call).participants[1].hand)
    assert not hers.roster(call).participants[1].mic
    assert not tape.offers


async def test_a_refusal_of_the_relay_reaches_the_device(tape: Tape, hers: Handset, his: Handset, room: RoomId) -> None:
    tape.refusal = Rejected(Code.LIMIT_REACHED, "The worker is full.", limit=1)
    refusal = await refuses(Code.LIMIT_REACHED, hers.start(room))
    assert refusal.text == "The worker is full."
    tape.refusal = None
    await hers.start(room)
    assert len((await his.ring()).call) == 16
    assert not his.rings, "nobody is rung for a call that cannot be"
    tape.refusal = Rejected(Code.LIMIT_REACHED, "The worker is full.", limit=1)
    await refuses(Code.LIMIT_REACHED, his.start(room))
    await hers.until(lambda: len(hers.rosters) == 1)


# --- groups -----------------------------------------------------------------------------------------------


async def test_a_group_call_rings_who_is_named_and_is_open_to_all(
    node: Node, tape: Tape, alice: Client, bob: Client, carol: Client, hers: Handset, his: Handset, theirs: Handset
) -> None:
    room = await group(alice, bob, carol)
    mine = await hers.start(room, bob.user)
    await his.ring()
    await theirs.until(lambda: theirs.users(mine.call) == [alice.user])
    assert not theirs.rings
    refusal = await refuses(Code.BUSY, theirs.start(room))
    assert refusal.detail["call"] == format_id(mine.call)
    await theirs.join(mine.call)
    async with handset(bob) as second:
        await second.ring()
        await his.decline(mine.call)
        assert await second.over(mine.call) == "declined_elsewhere"
        heard = second.rosters_heard
        await hers.until(lambda: hers.invited(mine.call) == {bob.user: "declined"})
        await second.until(lambda: second.rosters_heard > heard or second.users(mine.call))  # it may still be joined
    await hers.start(room, bob.user)  # once more
    ring = await his.ring()
    await his.join(ring.call)
    await hers.until(lambda: len(hers.users(mine.call)) == 3)
    for phone in (hers, his, theirs):
        await phone.leave()
    assert not hers.why(mine.call), "somebody may come back within a minute"
    node.clock.advance(seconds=limits.CALL_EMPTY_S)
    assert await hers.over(mine.call) == "ended"
    end = await ended(alice, room)
    assert (end.result, end.joined) == ("answered", 3)


async def test_moderators_mute_and_remove(
    tape: Tape, alice: Client, bob: Client, carol: Client, hers: Handset, his: Handset, theirs: Handset
) -> None:
    room = await group(alice, bob, carol)
    mine = await his.start(room)
    await hers.join(mine.call)
    seat = await theirs.join(mine.call)
    connect(tape, mine, seat)
    await theirs.show(mic=True)
    await hers.until(lambda: hers.users(mine.call)[-1] == carol.user and hers.roster(mine.call).participants[-1].mic)
    await refuses(Code.ROLE_TOO_LOW, theirs.remove(mine.seat))
    await hers.remove(seat.seat, mute=True)
    await theirs.until(lambda: theirs.roster(mine.call).participants[-1].muted)
    assert tape.muted == {seat.seat: True}
    await theirs.show(mic=True, hand=True)  # said before it knew: not an answer to the mute
    await hers.until(lambda: hers.roster(mine.call).participants[-1].hand)
    assert not hers.roster(mine.call).participants[-1].mic
    await theirs.show(mic=False)
    await theirs.show(mic=True)  # its owner opens the microphone
    await hers.until(lambda: hers.roster(mine.call).participants[-1].mic)
    assert not hers.roster(mine.call).participants[-1].muted
    assert tape.muted == {seat.seat: False}
    await his.remove(seat.seat)  # who began it may, too
    assert await theirs.over(mine.call) == "removed"
    await theirs.join(mine.call)
    await hers.leave(everybody=True)
    for phone in (hers, his, theirs):
        assert await phone.over(mine.call) in {"ended", "removed"}


async def test_a_kicked_member_leaves_the_call(
    tape: Tape, alice: Client, bob: Client, carol: Client, hers: Handset, his: Handset, theirs: Handset
) -> None:
    room = await group(alice, bob, carol)
    mine = await hers.start(room, carol.user)
    await his.join(mine.call)
    await theirs.ring()
    await alice.post(room, content.Kick(user=bob.user))
    assert await his.over(mine.call) == "removed"
    await hers.until(lambda: hers.users(mine.call) == [alice.user])
    await refuses(Code.NOT_FOUND, his.join(mine.call))
    await alice.post(room, content.Kick(user=carol.user))
    assert await theirs.over(mine.call) == "cancelled"
    await refuses(Code.NOT_FOUND, theirs.join(mine.call))


async def test_who_may_begin_a_call(
    tape: Tape, alice: Client, bob: Client, carol: Client, hers: Handset, his: Handset, theirs: Handset
) -> None:
    room = await group(alice, bob, carol)
    await alice.post(room, content.Settings(calls="admins"))
    refusal = await refuses(Code.ROLE_TOO_LOW, his.start(room))
    assert refusal.detail["role_needed"] == "admin"
    mine = await hers.start(room)
    await his.join(mine.call)  # everybody may come
    await hers.leave(everybody=True)
    await alice.post(room, content.Settings(calls="nobody"))
    await refuses(Code.FORBIDDEN, hers.start(room))
    found = {one.room: one for one in await bob.api.rooms()}[format_id(room)]
    assert (found.calls, "call" in found.can) == ("nobody", False)
    await alice.post(room, content.Settings(calls="everybody"))
    await alice.post(room, content.SetRole(user=carol.user, role=Role.VISITOR))
    await refuses(Code.ROLE_TOO_LOW, theirs.start(room))
    mine = await his.start(room)
    await refuses(Code.ROLE_TOO_LOW, theirs.join(mine.call))


async def test_a_stranger_learns_nothing_of_a_call(
    tape: Tape, carol: Client, hers: Handset, his: Handset, theirs: Handset, room: RoomId
) -> None:
    mine = await hers.start(room)
    await refuses(Code.NOT_FOUND, theirs.join(mine.call))
    await refuses(Code.ALREADY_DONE, theirs.decline(mine.call))
    await refuses(Code.NOT_FOUND, theirs.start(room))
    await refuses(Code.NOT_FOUND, theirs.ask(lambda n: calling.CallRemove(n, mine.call, mine.seat)))
    assert not theirs.rosters


async def test_calls_in_the_log_are_made_by_the_node(alice: Client, bob: Client, room: RoomId, tape: Tape) -> None:
    body = content.Call(call=bytes(16), state="start", media="audio")
    await refuses(Code.FORBIDDEN, alice.post(room, body, kind="call"))


# --- limits -----------------------------------------------------------------------------------------------


async def test_limits_are_live_settings(
    node: Node, tape: Tape, alice: Client, bob: Client, carol: Client, hers: Handset, his: Handset, theirs: Handset
) -> None:
    room = await group(alice, bob, carol)
    await node.services.settings.change(Change(calls={"participants": 2, "cameras": 1, "up_kbps": 900}), actor="test")
    mine = await hers.start(room)
    assert mine.video
    assert tape.up_kbps == 900
    await hers.up("v=0", m0="camera")
    await hers.show(camera=True)
    await his.until(lambda: his.users(mine.call) and his.roster(mine.call).participants[0].camera)
    seat = await his.join(mine.call)
    assert not seat.video
    refusal = await refuses(Code.LIMIT_REACHED, his.up("v=0", m0="mic", m1="camera"))
    assert refusal.detail["limit"] == 1
    await his.up("v=0", m0="mic")
    await refuses(Code.LIMIT_REACHED, theirs.join(mine.call))
    assert CALLS["participants"][1] == limits.CALL_PARTICIPANTS_MAX


async def test_calling_and_frames_are_rationed(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with stage(tmp_path_factory.mktemp("strict"), relaxed=False) as node:
        node.services.calls.attach(Tape())
        alice, bob = await node.person("alice"), await node.person("bob")
        room = await alice.open_direct(bob.user)
        async with handset(alice) as phone:
            for _ in range(limits.CALLS_PER_MIN):
                await phone.start(room)
                await phone.leave()
            refusal = await refuses(Code.RATE_LIMITED, phone.start(room))
            assert refusal.detail["retry_after_s"]
            node.clock.advance(seconds=60)
            seat = await phone.start(room)
            answers = await asyncio.gather(
                *(phone.up(f"v={n}", m0="mic") for n in range(3 * limits.CALL_FRAMES_PER_S)), return_exceptions=True
            )
            late = [one for one in answers if isinstance(one, Rejected)]
            assert len(late) >= limits.CALL_FRAMES_PER_S
            assert {one.code for one in late} == {Code.RATE_LIMITED}
            assert phone.seat is seat


async def test_without_a_relay_a_call_is_refused_with_the_reason(
    node: Node, alice: Client, bob: Client, room: RoomId
) -> None:
    async with handset(alice) as phone:
        await refuses(Code.UNAVAILABLE, phone.start(room))
        node.services.calls.attach(Tape(level=0))
        refusal = await refuses(Code.UNAVAILABLE, phone.start(room))
        assert "there is no UDP" in refusal.text


async def test_a_call_that_a_crash_cut_off_is_ended_in_the_log(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("crash")
    async with stage(folder) as node:
        node.services.calls.attach(Tape())
        alice, bob = await node.person("alice"), await node.person("bob")
        room = await alice.open_direct(bob.user)
        await alice.say(room, "hello")
        async with handset(alice) as phone:
            await phone.start(room)
            await sees(bob, lambda: len(entries(bob, room)) == 1)
        token = bob.token
    async with stage(folder) as node, Client.connect(node.url, token=token) as bob:
        node.clock.advance(seconds=limits.CALL_FORGOTTEN_S + 1)
        await sees(bob, lambda: room in bob.rooms)
        end = await ended(bob, room)
        assert (end.result, end.missed) == ("failed", ())
