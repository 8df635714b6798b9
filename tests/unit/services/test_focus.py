"""The focus of calls: who may ask what of it, whose word it takes, and what it tells whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId, UserId, make_user
from node.core import content
from node.core.roles import Role
from node.core.room import Member
from node.services.focus import Focus
from node.storage.database import Tx
from node.wire.focus import (
    Ask,
    AskAnswer,
    AskJoin,
    AskLeave,
    AskRemove,
    AskStart,
    CallNow,
    SeatNow,
    SeatsNow,
)  # fmt: skip
from tests.unit.storage.ledger import Ledger

THERE, ELSEWHERE = NodeId(b"t" * 32), NodeId(b"e" * 32)
ZOE, YAN = make_user("zoe", THERE), make_user("yan", ELSEWHERE)
CALL, OTHER_CALL = b"c" * 16, b"d" * 16


class Desk:
    """A focus with a group of Alice and Bob here, Zoe and Yan on other nodes."""

    def __init__(self, ledger: Ledger, room: RoomId) -> None:
        services = ledger.services
        self.ledger = ledger
        self.room = room
        self.here = services.identity.nid
        self.alice, self.bob = ledger.user("alice"), ledger.user("bob")
        self.told: list[tuple[NodeId, CallNow]] = []
        self.focus = Focus(
            db=services.db, node=self.here, rooms=services.rooms, nodes=services.exchange.steps.followers,
            limits=services.settings, clock=ledger.clock,
        )  # fmt: skip
        self.focus.tell = lambda node, now: self.told.append((node, now))

    def node_of(self, user: UserId) -> NodeId:
        return {ZOE: THERE, YAN: ELSEWHERE}.get(user, self.here)

    def ask(self, ask: Ask, node: NodeId | None = None) -> CallNow:
        return self.focus.ask(self.node_of(UserId(ask.user)) if node is None else node, ask)

    def start(self, user: UserId, *targets: UserId, call: bytes = CALL, count: int = 1) -> CallNow:
        return self.ask(AskStart(call, self.room, user, seat(user), count, "audio", targets))

    def join(self, user: UserId, *, count: int = 1, call: bytes = CALL) -> CallNow:
        return self.ask(AskJoin(call, self.room, user, seat(user), count))

    def says(self, node: NodeId, *seats: SeatNow, count: int = 10, ringing: tuple[UserId, ...] = (), call: bytes = CALL,
             by: UserId = ZOE, seen: int = 0) -> None:  # fmt: skip
        self.focus.report(
            node, SeatsNow(call, self.room, count, seen, seats, ringing, "audio", by, self.ledger.clock.now_ms())
        )

    @property
    def now(self) -> CallNow:
        """The newest word."""
        return self.told[-1][1]

    def later(self, seconds: float) -> None:
        self.ledger.clock.advance(seconds=seconds)
        self.focus.tick()


def seat(user: UserId) -> bytes:
    return user[:3].encode().ljust(8, b"-")


def refusal(desk: Desk, ask: Ask, node: NodeId | None = None) -> Code:
    with pytest.raises(Rejected) as refused:
        desk.ask(ask, node)
    return refused.value.code


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    ledger = await Ledger.open(tmp_path)
    room = (await ledger.post("alice", b"", content.Create(name="Garden"), guests=("bob",))).room
    await ledger.post("bob", room, content.Join())
    await change(ledger, room, {ZOE: Role.MEMBER, YAN: Role.MEMBER})
    yield Desk(ledger, room)
    await ledger.close()


async def change(ledger: Ledger, room: RoomId, roles: dict[UserId, Role | None], **fields: str) -> None:
    """Members as another node's entries would make them."""
    rooms = ledger.services.rooms

    def write(tx: Tx) -> None:
        row = rooms.load(tx, room)
        assert row is not None
        members = dict(row.state.members)
        for user, role in roles.items():
            if role is None:
                members.pop(user)
            else:
                members[user] = Member(role, 3, 0)
        rooms.set_state(tx, row, replace(row.state, members=members, **fields), row.head.idx)

    await ledger.services.db.write(write)


# --- whose word counts ------------------------------------------------------------------------------------------


async def test_a_node_asks_for_its_own_people_only(desk: Desk) -> None:
    for node in (THERE, ELSEWHERE):
        ask = AskStart(CALL, desk.room, desk.alice, seat(desk.alice), 1, "audio", ())
        assert refusal(desk, ask, node) is Code.NOT_MEMBER
    assert refusal(desk, AskStart(CALL, desk.room, ZOE, seat(ZOE), 1, "audio", ()), ELSEWHERE) is Code.NOT_MEMBER
    assert refusal(desk, AskStart(CALL, bytes(32), ZOE, seat(ZOE), 1, "audio", ())) is Code.NOT_FOUND
    stranger = make_user("stranger", THERE)
    assert refusal(desk, AskStart(CALL, desk.room, stranger, seat(ZOE), 1, "audio", ()), THERE) is Code.NOT_MEMBER
    assert not desk.told


async def test_a_node_speaks_for_the_seats_of_its_own_people_only(desk: Desk) -> None:
    desk.start(ZOE, desk.alice, YAN)
    desk.join(desk.alice)
    for victim in (desk.alice, ZOE):
        desk.says(ELSEWHERE, SeatNow(seat(victim), victim, "live", mic=True), count=99)
    desk.says(ELSEWHERE, ringing=(ZOE, desk.bob, YAN), count=100)
    states = {one.user: (one.state, one.mic) for one in desk.now.seats}
    assert states == {ZOE: ("connecting", False), desk.alice: ("connecting", False)}
    assert {one.user: one.state for one in desk.now.invited} == {YAN: "ringing"}
    for ask in (AskLeave(CALL, desk.room, YAN, seat(ZOE)), AskLeave(CALL, desk.room, YAN, seat(desk.alice))):
        assert refusal(desk, ask) is Code.NOT_FOUND
    assert refusal(desk, AskLeave(CALL, desk.room, YAN, seat(ZOE), everybody=True)) is Code.ROLE_TOO_LOW
    assert refusal(desk, AskRemove(CALL, desk.room, YAN, seat(ZOE))) is Code.ROLE_TOO_LOW
    desk.ask(AskJoin(CALL, desk.room, YAN, seat(YAN), 1, seat(ZOE)))
    assert {one.user for one in desk.now.seats} == {ZOE, desk.alice, YAN}, "only an own seat is replaced"


async def test_a_node_outside_of_the_room_is_not_even_answered(desk: Desk) -> None:
    desk.start(ZOE)
    desk.ask(AskLeave(CALL, desk.room, ZOE, seat(ZOE)))
    stranger = NodeId(b"s" * 32)
    count = len(desk.told)
    for call in (CALL, OTHER_CALL):
        desk.says(stranger, SeatNow(seat(ZOE), ZOE, "live"), call=call)
    assert len(desk.told) == count


async def test_a_seat_cannot_be_taken_from_somebody(desk: Desk) -> None:
    desk.start(desk.alice)
    assert refusal(desk, AskJoin(CALL, desk.room, ZOE, seat(desk.alice), 1)) is Code.CONFLICT
    desk.join(desk.alice)  # said twice it is the same
    assert [one.user for one in desk.now.seats] == [desk.alice]


async def test_voice_and_permission(desk: Desk) -> None:
    await change(desk.ledger, desk.room, {ZOE: Role.VISITOR, YAN: Role.MUTED})
    assert refusal(desk, AskStart(CALL, desk.room, ZOE, seat(ZOE), 1, "audio", ())) is Code.ROLE_TOO_LOW
    desk.start(desk.alice)
    assert refusal(desk, AskJoin(CALL, desk.room, ZOE, seat(ZOE), 1)) is Code.ROLE_TOO_LOW
    assert refusal(desk, AskJoin(CALL, desk.room, YAN, seat(YAN), 1)) is Code.MUTED
    desk.join(desk.bob)


async def test_whoever_is_called_without_a_voice_cannot_accept_by_calling(desk: Desk) -> None:
    await change(desk.ledger, desk.room, {YAN: Role.MUTED})
    desk.start(desk.alice, YAN)
    assert refusal(desk, AskStart(OTHER_CALL, desk.room, YAN, seat(YAN), 1, "audio", ())) is Code.MUTED


async def test_who_is_refused_leaves_nothing_behind(desk: Desk) -> None:
    desk.start(desk.alice)
    desk.join(YAN)
    for number in range(10):
        assert refusal(desk, AskJoin(CALL, desk.room, YAN, number.to_bytes(8, "big"), 1)) is Code.ALREADY_DONE
    (held,) = desk.focus._held.values()
    assert held.since.keys() == {seat(desk.alice), seat(YAN)}


async def test_somebody_outside_of_the_room_is_not_called(desk: Desk) -> None:
    ask = AskStart(CALL, desk.room, ZOE, seat(ZOE), 1, "audio", (desk.ledger.user("carol"),))
    assert refusal(desk, ask) is Code.NOT_MEMBER
    assert not desk.focus.calls


async def test_another_nodes_people_keep_few_calls_here(desk: Desk) -> None:
    rooms = [
        (await desk.ledger.post("alice", b"", content.Create(name=f"Room {n}"))).room
        for n in range(limits.CALLS_PER_NODE_MAX + 1)
    ]
    for n, room in enumerate(rooms):
        await change(desk.ledger, room, {ZOE: Role.MEMBER})
        ask = AskStart(n.to_bytes(16, "big"), room, ZOE, seat(ZOE), 1, "audio", ())
        if n < limits.CALLS_PER_NODE_MAX:
            desk.ask(ask)
        else:
            assert refusal(desk, ask) is Code.LIMIT_REACHED
    assert len(desk.focus.calls) == limits.CALLS_PER_NODE_MAX
    assert limits.CALLS_PER_NODE_MAX < limits.CALLS_MAX
    desk.start(desk.alice, call=OTHER_CALL)


# --- reports ----------------------------------------------------------------------------------------------------


async def test_older_reports_are_ignored(desk: Desk) -> None:
    desk.start(ZOE)
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live", hand=True), count=5)
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live", hand=False), count=5)
    desk.says(THERE, count=4)
    assert [one.hand for one in desk.now.seats] == [True]


async def test_a_report_sent_before_a_seat_was_asked_for_does_not_remove_it(desk: Desk) -> None:
    desk.start(desk.alice)
    desk.join(ZOE, count=20)
    desk.says(THERE, count=20)
    assert len(desk.now.seats) == 2
    desk.says(THERE, count=21)
    assert [one.user for one in desk.now.seats] == [desk.alice]
    assert desk.now.gone == {seat(ZOE): "left"}


async def test_a_silent_node_loses_its_seats_in_the_end(desk: Desk) -> None:
    desk.start(desk.alice)
    desk.join(ZOE)
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"))
    desk.says(desk.here, SeatNow(seat(desk.alice), desk.alice, "live"), by=desk.alice)
    desk.later(limits.CALL_SILENT_S + 0.1)
    assert {one.user: one.state for one in desk.now.seats} == {desk.alice: "live", ZOE: "reconnecting"}
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"), count=11)
    assert {one.state for one in desk.now.seats} == {"live"}
    desk.later(limits.CALL_SILENT_S + 0.1)
    desk.later(limits.CALL_RECONNECT_S)
    assert [one.user for one in desk.now.seats] == [desk.alice]


async def test_a_call_that_was_forgotten_comes_back_from_its_homes(desk: Desk) -> None:
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live", mic=True), seen=40)
    assert desk.now.version > 40
    assert [(one.user, one.state, one.mic) for one in desk.now.seats] == [(ZOE, "live", True)]
    desk.says(ELSEWHERE, SeatNow(seat(YAN), YAN, "live"), seen=40)
    assert {one.user: one.state for one in desk.now.seats} == {ZOE: "live", YAN: "live"}
    desk.ask(AskLeave(CALL, desk.room, YAN, seat(YAN)))
    desk.says(ELSEWHERE, SeatNow(seat(YAN), YAN, "live"), seen=40, count=11)
    assert [one.user for one in desk.now.seats] == [ZOE], "who left is not taken back"
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"), SeatNow(seat(desk.bob), desk.bob, "live"), count=11)
    assert [one.user for one in desk.now.seats] == [ZOE], "nor is anybody of another node"
    desk.later(limits.CALL_SILENT_S)
    desk.says(ELSEWHERE, SeatNow(b"another-", YAN, "live"), count=12)
    assert [one.user for one in desk.now.seats] == [ZOE], "later a seat is asked for"


@pytest.mark.parametrize("lie", ["somebody else's", "nobody's", "begun by a stranger", "second of the room", "calls are off",
                                 "mute", "two seats"])  # fmt: skip
async def test_a_made_up_call_is_not_taken(desk: Desk, lie: str) -> None:
    match lie:
        case "somebody else's":
            desk.says(THERE, SeatNow(seat(desk.alice), desk.alice, "live"))
        case "nobody's":
            desk.says(THERE)
        case "begun by a stranger":
            desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"), by=make_user("stranger", THERE))
        case "calls are off":
            await change(desk.ledger, desk.room, {}, calls="nobody")
            desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"))
        case "mute":
            await change(desk.ledger, desk.room, {ZOE: Role.MUTED})
            desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"), by=desk.alice)
        case "two seats":
            desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"), SeatNow(b"another-", ZOE, "live"))
        case _:
            desk.start(desk.alice)
            desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"), call=OTHER_CALL)
    node, now = desk.told[-1]
    assert (node, now.result) == (THERE, "ended")
    assert [call.id for call in desk.focus.calls] == ([CALL] if lie == "second of the room" else [])


async def test_a_call_whose_starter_left_is_taken_back_if_the_log_knows_it(desk: Desk) -> None:
    ledger, bob = desk.ledger, desk.ledger.actors["bob"]
    body = content.Call(call=CALL, state="start", media="audio")
    posting = ledger.services.posting
    await ledger.services.db.write(lambda tx: posting.post_in(tx, bob, ledger.command(desk.room, body)))
    await ledger.post("bob", desk.room, content.Leave())
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"), by=desk.bob, call=OTHER_CALL)
    assert desk.now.result == "ended", "that one he did not begin"
    desk.focus.affords = lambda who: False
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"), by=desk.bob)
    assert not desk.focus.calls
    desk.focus.affords = lambda who: True
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"), by=desk.bob)
    assert [(call.id, call.by) for call in desk.focus.calls] == [(CALL, desk.bob)]


async def test_a_call_is_not_taken_back_more_often_than_one_may_be_begun(desk: Desk) -> None:
    desk.focus.affords = lambda who: who != (THERE, ZOE)
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"))
    assert not desk.told, "not now; its home says it again"
    desk.focus.affords = lambda who: True
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"))
    assert [call.id for call in desk.focus.calls] == [CALL]


async def test_late_words_are_answered_with_the_end_for_a_minute(desk: Desk) -> None:
    desk.start(ZOE)
    desk.ask(AskLeave(CALL, desk.room, ZOE, seat(ZOE)))
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"))
    node, now = desk.told[-1]
    assert (node, now.result) == (THERE, "cancelled")
    assert refusal(desk, AskAnswer(CALL, desk.room, YAN)) is Code.GONE
    desk.later(limits.CALL_EMPTY_S + 1)
    assert refusal(desk, AskAnswer(CALL, desk.room, YAN)) is Code.NOT_FOUND


# --- another node stood in ---------------------------------------------------------------------------------------


async def test_a_home_that_was_silent_brings_its_seats_back(desk: Desk) -> None:
    """With those that came in meanwhile, while another node kept the call."""
    desk.start(desk.alice)
    desk.join(ZOE)
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"))
    desk.says(desk.here, SeatNow(seat(desk.alice), desk.alice, "live"))
    desk.later(limits.CALL_SILENT_S + 1)
    desk.later(limits.CALL_RECONNECT_S)
    assert seat(ZOE) in desk.now.gone
    before = desk.now.version
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"), count=11, seen=before + 500)
    desk.says(ELSEWHERE, SeatNow(seat(YAN), YAN, "live"), seen=before + 500)
    assert [one.user for one in desk.now.seats] == [desk.alice, ZOE, YAN]
    assert desk.now.version > before + 500, "devices take it for newer than what the other node said"
    assert seat(ZOE) not in desk.now.gone


async def test_versions_do_not_leap_as_far_as_somebody_likes(desk: Desk) -> None:
    desk.start(desk.alice)
    before = desk.now.version
    far = before + limits.CALL_VERSIONS_AHEAD + 1
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"), seen=far)
    assert before < desk.now.version < far
    desk.ask(AskLeave(CALL, desk.room, desk.alice, seat(desk.alice), everybody=True))
    desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live"), call=OTHER_CALL, seen=limits.INTEGER_MAX)
    assert desk.now.result == "ended"


@pytest.mark.parametrize("why", ["given up", "by somebody"])
async def test_a_call_that_was_given_up_goes_on(desk: Desk, why: str) -> None:
    desk.start(ZOE)
    desk.join(YAN)
    live = {ZOE: SeatNow(seat(ZOE), ZOE, "live"), YAN: SeatNow(seat(YAN), YAN, "live")}
    desk.says(THERE, live[ZOE])
    desk.says(ELSEWHERE, live[YAN])
    if why == "given up":
        desk.later(limits.CALL_SILENT_S + 1)
        desk.later(limits.CALL_RECONNECT_S)
        desk.later(limits.CALL_EMPTY_S)
    else:
        desk.ask(AskLeave(CALL, desk.room, ZOE, seat(ZOE), everybody=True))
    assert desk.now.result
    desk.says(THERE, live[ZOE], count=11, seen=99)
    desk.says(ELSEWHERE, live[YAN], count=11, seen=99)
    assert [one.user for one in desk.now.seats] == ([ZOE, YAN] if why == "given up" else [])


# --- telling ----------------------------------------------------------------------------------------------------


async def test_every_node_of_the_room_is_told_and_told_again(desk: Desk) -> None:
    desk.start(desk.alice)
    assert {node for node, _ in desk.told} == {desk.here, THERE, ELSEWHERE}
    desk.told.clear()
    desk.later(limits.CALL_REPEAT_S)
    assert {node for node, _ in desk.told} == {THERE, ELSEWHERE}
    desk.told.clear()
    desk.focus.linked(THERE)
    assert [node for node, _ in desk.told] == [THERE]


async def test_many_changes_are_told_together(desk: Desk) -> None:
    desk.start(ZOE)
    desk.later(limits.CALL_TELL_EVERY_S)
    desk.told.clear()
    for count in range(100):
        desk.says(THERE, SeatNow(seat(ZOE), ZOE, "live", hand=count % 2 == 0), count=10 + count)
    assert len([node for node, _ in desk.told if node == ELSEWHERE]) == 1
    desk.focus.tick()
    assert [now.seats[0].hand for node, now in desk.told if node == ELSEWHERE] == [True, False]


async def test_members_who_go_are_out_of_the_call(desk: Desk) -> None:
    desk.start(ZOE, YAN)
    await change(desk.ledger, desk.room, {YAN: None, ZOE: None})
    desk.focus.expel(desk.room, YAN)
    desk.focus.expel(desk.room, ZOE)
    assert desk.now.result == "cancelled"
    assert desk.now.gone == {seat(ZOE): "removed"}
