"""Calls as devices and other nodes meet them here: one call at a time, whose answers count, what is said again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec.structs import replace

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import EventId, NodeId, RoomId, UserId, make_user
from node.core import content
from node.core import room as rules
from node.core.roles import Role
from node.core.room import Member
from node.services.seats import Mine, Table, There
from node.services.settings import Change
from node.storage import calls as open_calls
from node.storage.calls import OpenCall
from node.storage.database import Tx
from node.storage.peers import Peer
from node.storage.rooms import RoomRow
from node.wire import calling, focus
from node.wire.focus import CallNow, InvitedNow, SeatNow
from tests.tape import Tape
from tests.unit.services.test_home import CALL, HUB, LIAR, SEAT, ZOE, Deaf, Stage, now, stage
from tests.unit.services.witness import Witness
from tests.unit.storage.ledger import Ledger

__all__ = ["stage"]
OTHER = b"d" * 16
BOB = UserId("bob")


class Wire(Deaf):
    """Links to a node that answers with `answer`, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.up = True
        self.asked: list[focus.Ask] = []
        self.reports: list[focus.SeatsNow] = []
        self.answer: Callable[[focus.Ask], CallNow] | None = None
        self.held = asyncio.Event()  # answers wait until it is set
        self.held.set()

    def whisper(self, nid: NodeId, topic: str, body: bytes) -> bool:
        super().whisper(nid, topic, body)
        if topic == focus.SEATS:
            self.reports.append(focus.decode_seats(body))
        return self.up

    def linked(self, nid: NodeId) -> bool:
        return True

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        ask = focus.decode_ask(args)
        self.asked.append(ask)
        await self.held.wait()
        if self.answer is None:
            raise RemoteError("The link is gone.")
        return focus.encode_said(self.answer(ask))


@pytest.fixture
async def wire(stage: Stage) -> AsyncIterator[Wire]:
    made = Wire()
    stage.calls.connect(made)
    stage.calls.attach(Tape())
    async with stage.calls._errands.running():
        yield made
        made.held.set()
        for there in stage.calls.known:  # what is tried again and again ends with the call
            stage.calls._home.forget(there)


def sit(stage: Stage, *, call: bytes = CALL, seat: bytes = b"bobs-own") -> Mine:
    """Bob's phone has a seat."""
    mine = Mine(seat, stage.phone, stage.ledger.clock.monotonic())
    mine.taken = True
    stage.calls._table.calls[call].mine[seat] = mine
    return mine


def both(stage: Stage, version: int, **more: object) -> CallNow:
    """Zoe and Bob are in."""
    seats = (SeatNow(SEAT, ZOE, "live"), SeatNow(b"bobs-own", stage.bob, "live"))
    return replace(now(stage, version, invited=(), seats=seats, live_ms=1_500), **more)


# --- one call at a time -----------------------------------------------------------------------------------------


def test_whoever_takes_a_seat_cannot_take_one_elsewhere_meanwhile() -> None:
    table = Table()
    with table.sitting(BOB, CALL):
        with table.sitting(BOB, CALL):  # another device of his accepts, too: the focus decides
            pass
        with pytest.raises(Rejected) as refusal, table.sitting(BOB, OTHER):
            pass
        assert refusal.value.code is Code.BUSY
    with table.sitting(BOB, OTHER):
        pass


async def test_a_node_that_knows_too_many_calls_begins_no_more(
    stage: Stage, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await group_of_hub(stage)
    monkeypatch.setattr(limits, "CALLS_MAX", 3)
    for number in range(limits.CALLS_MAX):
        stage.calls._table.calls[bytes([number]) * 16] = There(now(stage, call=bytes([number]) * 16), HUB, stage.row)
    with pytest.raises(Rejected) as refusal:
        await stage.calls.start(stage.phone, calling.CallStart(1, other.room, "audio", ()))
    assert (refusal.value.code, refusal.value.detail["limit"]) == (Code.LIMIT_REACHED, 3)
    assert not wire.asked, "nobody is asked, and nobody rings"
    assert not stage.calls._table.seated(stage.bob, b"")
    stage.calls._table.calls.popitem()
    wire.answer = lambda ask: CallNow(
        ask.call, ask.room, 1, "audio", ask.user, 1_000, 0, (SeatNow(getattr(ask, "seat", SEAT), ask.user, "connecting"),), ()
    )  # fmt: skip
    await stage.calls.start(stage.phone, calling.CallStart(1, other.room, "audio", ()))
    assert len(wire.asked) == 1


async def test_two_calls_begun_at_once_are_one(stage: Stage, wire: Wire) -> None:
    wire.held.clear()
    wire.answer = lambda ask: CallNow(
        ask.call, ask.room, 1, "audio", ask.user, 1_000, 0, (SeatNow(getattr(ask, "seat", SEAT), ask.user, "connecting"),), ()
    )  # fmt: skip
    stage.told(now(stage, call=OTHER, invited=()))
    first = asyncio.ensure_future(stage.calls.join(stage.phone, calling.CallJoin(1, OTHER)))
    while not wire.asked:
        await asyncio.sleep(0)
    tablet = Witness(stage.ledger.actors["bob"])
    stage.told(now(stage, call=CALL, room=(await group_of_hub(stage)).room))
    with pytest.raises(Rejected) as refusal:
        await stage.calls.join(tablet, calling.CallJoin(1, CALL))
    assert refusal.value.code is Code.BUSY
    wire.held.set()
    assert (await first).call == OTHER


async def group_of_hub(stage: Stage) -> RoomRow:
    """One more group of Zoe's node with Bob."""
    room = (await stage.ledger.post("bob", b"", content.Create(name="Mill"))).room

    def move(tx: Tx) -> RoomRow:
        rooms = stage.ledger.services.rooms
        row = rooms.load(tx, RoomId(room))
        assert row is not None
        rooms.set_state(
            tx, row, replace(row.state, members={**row.state.members, ZOE: Member(Role.OWNER, 1, 0)}), row.head.idx
        )
        row.hub = HUB
        return row

    return await stage.ledger.services.db.write(move)


# --- whose word counts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", ["another room", "another call"])
async def test_a_focus_cannot_seat_somebody_in_another_call(stage: Stage, wire: Wire, lie: str) -> None:
    """Else the hub of any room could let its people listen to a call that this node keeps for others."""
    stage.told(now(stage))
    change = {"room": bytes(32)} if lie == "another room" else {"call": OTHER}
    wire.answer = lambda ask: replace(both(stage, 2), **change)
    with pytest.raises(RemoteError):
        await stage.calls.join(stage.phone, calling.CallJoin(1, CALL))
    assert not stage.calls._table.calls[CALL].mine
    if lie == "another room":
        stage.told(replace(now(stage, 5), room=(await group_of_hub(stage)).room))
        assert stage.calls._table.calls[CALL].now.version == 1, "a call stays in its room"


async def test_a_call_goes_on_without_who_began_it(stage: Stage) -> None:
    stranger = make_user("stranger", HUB)
    stage.told(now(stage, by=stranger))
    assert not stage.calls.known, "nobody is called by a stranger"
    stage.told(now(stage, by=stranger, invited=()))
    assert stage.calls.known, "others are in it"
    stage.told(now(stage, 2, by=stranger))
    assert stage.calls._table.calls[CALL].now.version == 2
    assert not stage.heard(calling.Ring)


async def test_the_next_call_of_a_focus_ends_the_one_before(stage: Stage) -> None:
    stage.told(now(stage))
    stage.told(now(stage, call=OTHER))
    assert [there.now.call for there in stage.calls.known] == [OTHER]
    (over,) = stage.heard(calling.CallOver)
    assert isinstance(over, calling.CallOver)
    assert (over.call, over.reason) == (CALL, "cancelled")
    assert len(stage.heard(calling.Ring)) == 2


async def test_whoever_blocked_the_caller_sees_nothing_of_the_call(stage: Stage) -> None:
    def write(tx: Tx) -> RoomRow:
        return stage.ledger.services.rooms.insert(tx, RoomId(b"d" * 32), HUB, rules.new_direct(ZOE, stage.bob))

    row = await stage.ledger.services.db.write(write)
    stage.told(now(stage, room=row.room))
    assert stage.calls.known
    stage.calls.came(stage.phone, [row.pk])
    assert not stage.phone.frames


async def test_who_leaves_a_chat_leaves_all_its_calls(stage: Stage, wire: Wire) -> None:
    """There are two for a while when two nodes made one each."""
    home = stage.calls._home
    stage.told(now(stage))
    home.learn(LIAR, now(stage, call=OTHER, invited=()), stage.row)
    assert len(stage.calls.known) == 2
    mine = sit(stage, call=OTHER)
    relay = home.relay
    assert isinstance(relay, Tape)
    relay.seats.add((OTHER, mine.seat))
    home._departed(stage.bob, stage.row.room)
    overs = {over.call: over.reason for over in stage.heard(calling.CallOver) if isinstance(over, calling.CallOver)}
    assert overs == {CALL: "cancelled", OTHER: "removed"}
    assert not relay.seats
    assert not any(there.mine or there.rung for there in stage.calls.known)
    stage.calls.tick()
    assert {said.call for said in wire.reports} == {CALL, OTHER}, "both focuses hear of it"
    assert not any(said.seats or said.ringing for said in wire.reports)


# --- what is said again -----------------------------------------------------------------------------------------


async def test_a_no_on_its_way_stops_the_ringing(stage: Stage, wire: Wire) -> None:
    stage.told(now(stage))
    wire.held.clear()
    saying = asyncio.ensure_future(stage.calls.decline(stage.phone, calling.CallDecline(1, CALL)))
    while not wire.asked:
        await asyncio.sleep(0)
    stage.told(now(stage, 2, state="ringing"))
    assert len(stage.heard(calling.Ring)) == 1
    wire.answer = lambda _: now(stage, 3, state="declined")
    wire.held.set()
    await saying
    stage.told(now(stage, 4, invited=(InvitedNow(stage.bob, "invited", 9_000),)))
    assert len(stage.heard(calling.Ring)) == 2, "called anew, it rings anew"


async def test_a_no_that_did_not_arrive_may_be_said_again(stage: Stage, wire: Wire) -> None:
    stage.told(now(stage))
    with pytest.raises(RemoteError):
        await stage.calls.decline(stage.phone, calling.CallDecline(1, CALL))
    stage.told(now(stage, 2, state="ringing"))
    assert len(stage.heard(calling.Ring)) == 2


async def test_the_last_seat_that_left_is_reported_until_it_is_heard(stage: Stage, wire: Wire) -> None:
    stage.told(both(stage, 1))
    mine = sit(stage)
    wire.up = False
    await stage.calls.leave(stage.phone, calling.CallLeave(1, CALL, mine.seat))
    for _ in range(3):
        stage.calls.tick()
    wire.up = True
    stage.calls.tick()
    said = len(wire.whispered)
    assert said >= 4
    stage.calls.tick()
    assert len(wire.whispered) == said


async def test_a_seat_that_was_perhaps_given_is_given_back(stage: Stage, wire: Wire) -> None:
    stage.told(now(stage))
    with pytest.raises(RemoteError):
        await stage.calls.join(stage.phone, calling.CallJoin(1, CALL))
    while len(wire.asked) < 2:
        await asyncio.sleep(0)
    asked, taken_back = wire.asked
    assert isinstance(asked, focus.AskJoin)
    assert isinstance(taken_back, focus.AskLeave)
    assert (taken_back.call, taken_back.seat) == (CALL, asked.seat)


async def test_coming_back_does_not_open_a_muted_microphone(stage: Stage, wire: Wire) -> None:
    stage.told(both(stage, 1))
    mine = sit(stage)
    stage.calls.state(stage.phone, calling.CallState(CALL, mine.seat, mic=True))
    stage.told(both(stage, 2, seats=(SeatNow(mine.seat, stage.bob, "live", muted=True),)))
    wire.answer = lambda ask: both(
        stage, 3, seats=(SeatNow(getattr(ask, "seat", b""), stage.bob, "connecting", muted=True),)
    )
    back = await stage.calls.join(stage.phone, calling.CallJoin(1, CALL, mine.seat))
    anew = stage.calls._table.calls[CALL].mine[back.seat]
    stage.calls.state(stage.phone, calling.CallState(CALL, back.seat, mic=True))
    assert anew.held, "the device says what it said before"
    stage.calls.state(stage.phone, calling.CallState(CALL, back.seat))
    stage.calls.state(stage.phone, calling.CallState(CALL, back.seat, mic=True))
    assert not anew.held, "its owner closed it and opened it"


async def test_a_device_that_does_not_follow_the_chat_yet_is_rung_when_it_comes(stage: Stage) -> None:
    stage.told(now(stage))
    late = Witness(stage.ledger.actors["bob"])
    stage.calls.came(late, [])
    assert [type(frame) for frame in late.frames] == [calling.CallRoster, calling.Ring]


@pytest.mark.parametrize("how", ["accepts", "calls back"])
async def test_a_report_that_crosses_an_accept_names_its_seat(stage: Stage, wire: Wire, how: str) -> None:
    """It is newer than what was asked: without the seat the focus would take it for one that left."""
    stage.told(now(stage))
    wire.held.clear()
    if how == "accepts":
        taking = asyncio.ensure_future(stage.calls.join(stage.phone, calling.CallJoin(1, CALL)))
    else:
        begin = calling.CallStart(1, stage.row.room, "audio", ())
        taking = asyncio.ensure_future(stage.calls.start(stage.phone, begin))
    while not wire.asked:
        await asyncio.sleep(0)
    (asked,) = wire.asked
    assert isinstance(asked, focus.AskJoin | focus.AskStart)
    stage.calls.ringing(stage.phone, calling.CallRinging(CALL))
    said = wire.reports[-1]
    assert said.count > asked.count
    assert [one.seat for one in said.seats] == [asked.seat]
    seats = (SeatNow(SEAT, ZOE, "live"), SeatNow(asked.seat, stage.bob, "connecting"))
    wire.answer = lambda ask: both(stage, 2, seats=seats)
    wire.held.set()
    assert (await taking).seat == asked.seat
    assert [one.seat for one in stage.calls._table.calls[CALL].report(0).seats] == [asked.seat]


# --- the end ----------------------------------------------------------------------------------------------------


async def test_a_call_whose_end_nobody_tells_does_not_stay_open(stage: Stage) -> None:
    ledger: Ledger = stage.ledger
    alice = ledger.actors["alice"]
    mine = OpenCall(
        call=CALL,
        room=stage.row.room,
        event=EventId(bytes(32)),
        account=alice.user_pk,
        device=alice.device_pk,
        media="audio",
    )
    await ledger.services.db.write(lambda tx: open_calls.put(tx, mine))
    stage.told(now(stage))
    for _ in range(2):
        assert ledger.services.db.view(open_calls.unfinished)
        ledger.clock.advance(seconds=limits.CALL_FORGOTTEN_S + 1)
        stage.calls.tick()
    await ledger.services.db.write(lambda tx: None)
    assert not ledger.services.db.view(open_calls.unfinished)


async def test_a_node_does_not_spend_the_calls_of_people_elsewhere(stage: Stage) -> None:
    await stage.ledger.services.settings.change(Change(rates={"calls_per_min": limits.CALLS_PER_MIN}), actor="test")
    asked = focus.encode_said(focus.AskStart(CALL, stage.row.room, ZOE, SEAT, 1, "audio", ()))
    for peer, codes in (
        (Peer(2, LIAR, b"", 1, 0), [Code.NOT_HUB] * limits.CALLS_PER_MIN + [Code.RATE_LIMITED]),
        (Peer(1, HUB, b"", 1, 0), [Code.NOT_HUB]),
    ):
        for code in codes:
            with pytest.raises(Rejected) as refusal:
                await stage.calls.serve(peer, focus.ASK, asked)
            assert refusal.value.code is code


@pytest.mark.parametrize("where", ["near", "far back", "behind many calls"])
async def test_where_a_call_begins_is_looked_for_so_far_and_no_further(stage: Stage, where: str) -> None:
    """Ends of calls and calls of others are passed over."""
    ledger = stage.ledger
    room = (await ledger.post("alice", b"", content.Create(name="Well"), guests=("bob",))).room
    posting, db, alice = ledger.services.posting, ledger.services.db, ledger.actors["alice"]
    body = content.Call(call=CALL, state="start", media="audio")
    begun = await db.write(lambda tx: posting.post_in(tx, alice, ledger.command(room, body)))
    end = content.Call(call=CALL, state="end", media="audio", start=begun.event_id, result="missed")
    await db.write(lambda tx: posting.post_in(tx, alice, ledger.command(room, end)))
    for number in range(1, limits.CALL_STARTS_MAX + (1 if where == "behind many calls" else 0)):
        other = content.Call(call=number.to_bytes(16, "big"), state="start", media="audio")
        await db.write(lambda tx, other=other: posting.post_in(tx, alice, ledger.command(room, other)))  # type: ignore[misc]
    row = db.view(lambda tx: ledger.services.rooms.peek(tx, RoomId(room)))
    assert row is not None
    head = begun.idx + limits.CALL_START_BACK - (0 if where == "far back" else 1)
    found = db.view(lambda tx: open_calls.start_of(tx, row.pk, alice.user, CALL, head))
    assert found == (begun.event_id if where == "near" else None)
    assert db.view(lambda tx: open_calls.start_of(tx, row.pk, stage.bob, CALL, head)) is None
