"""Who keeps a group call while the hub is away: when, whose word counts then, and that the hub has it back."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId, format_id, make_user
from node.core import room as rules
from node.core.roles import Role
from node.core.room import Member
from node.services.seats import There
from node.storage.database import Tx
from node.storage.rooms import RoomRow
from node.wire import calling, focus
from node.wire.focus import CallNow, SeatNow
from tests.tape import Tape
from tests.unit.services.test_calls import sit
from tests.unit.services.test_home import CALL, HUB, LEN, LIAR, SEAT, ZOE, Deaf, Stage, now, stage

__all__ = ["stage"]
OTHER = b"d" * 16
LENS, BOBS = b"lens-own", b"bobs-own"
AWAY_S = limits.CALL_SILENT_S + 1


class Refusing(Deaf):
    """Links that say at once that there is no way."""

    async def reach(self, nid: NodeId | None, **_: object) -> NodeId:
        raise Rejected(Code.PEER_UNREACHABLE, "No way.")


def talk(stage: Stage, version: int = 1, **more: object) -> CallNow:
    """Len and Bob are in; Zoe began it and left."""
    seats = (SeatNow(LENS, LEN, "live"), SeatNow(BOBS, stage.bob, "live"))
    return replace(now(stage, version, invited=(), seats=seats, live_ms=1_500), **more)


def there(stage: Stage) -> There:
    return stage.calls._table.calls[CALL]


def later(stage: Stage, seconds: float) -> None:
    stage.ledger.clock.advance(seconds=seconds)
    stage.calls.tick()


async def change(stage: Stage, **fields: object) -> RoomRow:
    """The state of the room, as entries of its hub would make it."""

    def write(tx: Tx) -> RoomRow:
        row = stage.ledger.services.rooms.load(tx, RoomId(stage.row.room))
        assert row is not None
        stage.ledger.services.rooms.set_state(tx, row, replace(row.state, **fields), row.head.idx)
        return row

    return await stage.ledger.services.db.write(write)


async def test_the_smallest_home_that_is_reached_stands_in(stage: Stage) -> None:
    own, standins = stage.ledger.services.identity.nid, stage.calls._home.standins
    stage.told(talk(stage))
    assert standins.choose(there(stage)) == own
    stage.links.reached.add(LIAR)
    assert standins.choose(there(stage)) == min(own, LIAR)
    stage.told(talk(stage, 2, seats=(SeatNow(SEAT, ZOE, "live"),)))
    assert standins.choose(there(stage)) is None


@pytest.mark.parametrize("but", ["", "it is soon", "the hub is linked", "it began with somebody else", "it has no seat",
                                 "another one is nearer"])  # fmt: skip
async def test_whose_word_counts_while_the_focus_is_away(stage: Stage, but: str) -> None:
    seats = (SeatNow(LENS, LEN, "live"),)
    stage.told(talk(stage, seats=() if but == "it has no seat" else seats))
    stage.links.reached.add(LIAR)
    if but == "another one is nearer":
        near = make_user("ann", NodeId(bytes(32)))
        stage.row = await change(stage, members={**stage.row.state.members, near: Member(Role.MEMBER, 1, 0)})
        stage.told(talk(stage, 2, seats=(*seats, SeatNow(SEAT, near, "live"))))
        stage.links.reached.add(NodeId(bytes(32)))
    if but == "the hub is linked":
        stage.links.reached.add(HUB)
    if but != "it is soon":
        stage.ledger.clock.advance(seconds=AWAY_S)
    said = talk(stage, 9, seats=seats, by=LEN if but == "it began with somebody else" else ZOE)
    stage.told(said, teller=LIAR)
    assert there(stage).focus == (HUB if but else LIAR)
    assert (there(stage).now.version == 9) is not bool(but)
    stage.told(talk(stage, 3, seats=seats))
    assert (there(stage).focus, there(stage).now.version) == (HUB, 3), "the hub is believed at once, whatever was said"
    stage.told(talk(stage, 10, seats=seats), teller=LIAR)
    assert there(stage).now.version == 3


async def test_a_direct_call_has_no_stand_in(stage: Stage) -> None:
    def write(tx: Tx) -> RoomRow:
        return stage.ledger.services.rooms.insert(tx, RoomId(b"d" * 32), HUB, rules.new_direct(ZOE, stage.bob))

    row = await stage.ledger.services.db.write(write)
    said = talk(stage, room=row.room, seats=(SeatNow(SEAT, ZOE, "live"), SeatNow(BOBS, stage.bob, "live")))
    stage.told(said)
    sit(stage)
    later(stage, AWAY_S)
    assert not stage.calls._focus.calls
    assert not stage.calls._home.standins.may_take_over(there(stage), HUB, said, row)


@pytest.mark.parametrize("but", ["", "of somebody else", "the hub is linked", "calls are off", "there is another call",
                                 "too often"])  # fmt: skip
async def test_a_call_that_begins_while_the_hub_is_away(stage: Stage, but: str) -> None:
    said = replace(now(stage, by=LEN), seats=(SeatNow(LENS, LEN, "connecting"),))
    if but == "of somebody else":
        said = replace(said, by=stage.alice)
    elif but == "the hub is linked":
        stage.links.reached.add(HUB)
    elif but == "calls are off":
        await change(stage, calls="nobody")
    elif but == "there is another call":
        stage.told(now(stage, call=OTHER, invited=()))
    elif but == "too often":
        stage.calls._focus.affords = lambda who: who != (LIAR, LEN)
    stage.told(said, teller=LIAR)
    assert bool(stage.heard(calling.Ring)) is not bool(but)
    assert (CALL in stage.calls._table.calls) is not bool(but)


@pytest.mark.parametrize("case", ["the other id is smaller", "the other id is larger", "people talk already"])
async def test_two_calls_begun_at_once_while_the_hub_is_away_become_one(stage: Stage, case: str) -> None:
    stage.calls.attach(Tape())
    stage.calls.connect(Refusing())
    async with stage.calls._errands.running():
        mine = await stage.calls.start(stage.phone, calling.CallStart(1, stage.row.room, "audio", (LEN,)))
    if case == "people talk already":
        stage.calls._focus.ask(LIAR, focus.AskJoin(mine.call, stage.row.room, LEN, LENS, 1))
    theirs = bytes([255] * 16) if case == "the other id is larger" else bytes(16)
    stage.told(replace(now(stage, by=LEN, call=theirs), seats=(SeatNow(SEAT, LEN, "connecting"),)), teller=LIAR)
    merged = case == "the other id is smaller"
    overs = [over.reason for over in stage.heard(calling.CallOver) if isinstance(over, calling.CallOver)]
    assert overs == (["moved"] if merged else [])
    assert [there.now.call for there in stage.calls.known] == [theirs if merged else mine.call]
    assert bool(stage.heard(calling.Ring)) is merged


async def test_a_call_that_is_told_of_while_the_hub_is_tried_is_the_one(stage: Stage) -> None:
    class Telling(Refusing):
        async def reach(self, nid: NodeId | None, **_: object) -> NodeId:
            stage.told(replace(now(stage, by=LEN), seats=(SeatNow(LENS, LEN, "connecting"),)), teller=LIAR)
            return await super().reach(nid)

    tape = Tape()
    stage.calls.attach(tape)
    stage.calls.connect(Telling())
    async with stage.calls._errands.running():
        with pytest.raises(Rejected) as refusal:
            await stage.calls.start(stage.phone, calling.CallStart(1, stage.row.room, "audio", ()))
    assert (refusal.value.code, refusal.value.detail["call"]) == (Code.BUSY, format_id(CALL))
    assert not stage.calls._focus.calls
    assert not tape.seats


async def test_this_node_stands_in_and_hands_back(stage: Stage) -> None:
    stage.calls.attach(Tape())
    stage.told(talk(stage, 7, gone={SEAT: "left"}, started_ms=stage.ledger.clock.now_ms()))
    mine = sit(stage)
    mine.connected = mine.was_live = True
    later(stage, limits.CALL_SILENT_S - 1)
    assert not stage.calls._focus.calls
    later(stage, 2)
    (call,) = stage.calls._focus.calls
    assert (call.id, call.by, list(call.seats), call.live_ms) == (CALL, ZOE, [LENS, BOBS], 1_500)
    assert there(stage).focus == stage.ledger.services.identity.nid
    assert there(stage).now.version > 7
    assert {nid for nid, topic in stage.links.whispered if topic == focus.NOW} == {HUB, LIAR}
    assert not stage.heard(calling.CallOver)
    stage.links.whispered.clear()
    stage.links.reached.add(HUB)
    for _ in range(3):
        later(stage, limits.CALL_REPEAT_S - 1)
    said = [nid for nid, topic in stage.links.whispered if topic == focus.SEATS]
    assert said == [HUB, HUB], "every five seconds until it takes the call back"
    stage.told(talk(stage, 3, seats=(), gone={BOBS: "failed"}))
    assert there(stage).focus == HUB
    assert not stage.calls._focus.calls
    assert not stage.heard(calling.CallOver), "the hub gave the seat up; it is said again"
    later(stage, 0)
    assert stage.links.whispered[-1] == (HUB, focus.SEATS)
    later(stage, AWAY_S)
    assert [over.reason for over in stage.heard(calling.CallOver) if isinstance(over, calling.CallOver)] == ["failed"]


async def test_a_call_that_nobody_keeps_gives_way_to_a_new_one(stage: Stage) -> None:
    stage.calls.attach(Tape())
    stage.calls.connect(Refusing())
    stage.told(now(stage, invited=()))
    later(stage, AWAY_S)
    begin = calling.CallStart(1, stage.row.room, "audio", ())
    async with stage.calls._errands.running():
        with pytest.raises(Rejected) as refusal:
            await stage.calls.start(stage.phone, begin)
        assert refusal.value.code is Code.PEER_UNREACHABLE
        later(stage, AWAY_S)
        seat = await stage.calls.start(stage.phone, begin)
        assert [call.id for call in stage.calls._focus.calls] == [seat.call]
        assert seat.call != CALL
