"""The machine of a call: each row of the two tables of docs/spec/media.md, and what holds in every history."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId, UserId, make_user
from node.core import call, callcommands
from node.core.call import Call, Flags
from node.core.callcommands import Answer, Drop, Join, Leave, Mute, Remove, Report, Tick

NODE = NodeId(bytes(range(32)))
ALICE, BOB, CAROL, DAVE, ERIN = (make_user(name, NODE) for name in ("alice", "bob", "carol", "dave", "erin"))
START_MS = 1_000_000
MAX = 4


def seat(user: UserId, number: int = 1) -> bytes:
    """The seat of the so-many-th device of somebody."""
    return user[:3].encode() + number.to_bytes(5, "big")


class Log:
    """A call and its clock."""

    def __init__(self, *called: UserId, direct: bool = True) -> None:
        self.now_ms = START_MS
        self.call = call.start(
            call=bytes(16), room=RoomId(bytes(32)), direct=direct, media="audio", by=ALICE, now_ms=START_MS, hours=24
        )
        self.say(callcommands.Invite(tuple(called)))
        self.join(ALICE)

    def say(self, command: callcommands.Command) -> Log:
        self.call = callcommands.run(self.call, command, self.now_ms)
        return self

    def join(self, user: UserId, number: int = 1, old: bytes = b"") -> Log:
        return self.say(Join(user, seat(user, number), old, MAX))

    def later(self, seconds: float) -> Log:
        self.now_ms += round(seconds * 1000)
        if not self.call.ended:
            self.say(Tick())
        return self

    def media(self, *users: UserId) -> Log:
        for user in users:
            self.say(Report(seat(user), call.LIVE, Flags(mic=True), self.call.version))
        return self

    def refused(self, command: callcommands.Command) -> Code:
        before = self.call
        with pytest.raises(Rejected) as refusal:
            self.say(command)
        assert self.call is before
        return refusal.value.code

    def state(self, user: UserId) -> str:
        """Of somebody who was called, or of their seat."""
        found = [one.state for one in self.call.seats.values() if one.user == user]
        return found[0] if found else self.call.invited[user].state if user in self.call.invited else ""


def talk() -> Log:
    """Alice and Bob talk."""
    return Log(BOB).join(BOB).media(ALICE, BOB)


# --- who was called: invited, ringing -----------------------------------------------------------------------


def test_invited_rings_when_a_device_says_so() -> None:
    log = Log(BOB)
    assert log.state(BOB) == call.INVITED
    assert log.say(callcommands.Ring(BOB)).state(BOB) == call.RINGING
    assert log.say(callcommands.Ring(BOB)).state(BOB) == call.RINGING
    assert log.say(callcommands.Ring(CAROL)).state(CAROL) == ""


def test_invited_without_a_ring_is_unreachable_after_15_s() -> None:
    log = Log(BOB).later(limits.CALL_UNREACHABLE_S - 0.001)
    assert log.state(BOB) == call.INVITED
    log.later(0.001)
    assert log.call.result == call.UNREACHABLE
    assert log.call.missed == (BOB,)


def test_ringing_without_an_answer_is_missed_after_45_s() -> None:
    log = Log(BOB).later(5).say(callcommands.Ring(BOB)).later(limits.CALL_RING_S - 5.001)
    assert log.state(BOB) == call.RINGING
    log.later(0.001)
    assert log.call.result == call.MISSED
    assert log.call.missed == (BOB,)


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("rings", [False, True])
def test_no_ends_a_direct_call(*, rings: bool, busy: bool) -> None:
    log = Log(BOB)
    if rings:
        log.say(callcommands.Ring(BOB))
    log.say(Answer(BOB, busy))
    assert log.call.result == (call.BUSY if busy else call.DECLINED)
    assert log.call.gone == {seat(ALICE): log.call.result}
    assert log.call.missed == ()


def test_no_is_only_shown_in_a_group() -> None:
    log = Log(BOB, CAROL, direct=False).say(Answer(BOB, busy=False))
    assert not log.call.ended
    assert log.state(BOB) == call.DECLINED
    assert log.refused(Answer(BOB, busy=False)) is Code.ALREADY_DONE
    log.say(Answer(CAROL, busy=True)).later(60 * 60)
    assert not log.call.ended, "others may still come in"


def test_the_caller_goes_while_it_rings() -> None:
    log = Log(BOB).say(callcommands.Ring(BOB)).say(Leave(seat(ALICE)))
    assert log.call.result == call.CANCELLED
    assert log.call.missed == (BOB,)
    assert log.refused(Join(BOB, seat(BOB), b"", MAX)) is Code.GONE


def test_the_caller_is_lost_while_it_rings() -> None:
    log = Log(BOB).say(callcommands.Ring(BOB)).say(callcommands.Silence(seat(ALICE))).later(limits.CALL_RECONNECT_S)
    assert log.call.result == call.CANCELLED


def test_accepting_makes_it_live() -> None:
    log = Log(BOB).later(3).join(BOB)
    assert log.call.live_ms == START_MS + 3_000
    assert log.call.invited == {}
    assert log.state(ALICE) == log.state(BOB) == call.CONNECTING


def test_the_first_device_that_accepts_has_it() -> None:
    log = Log(BOB).join(BOB)
    assert log.refused(Join(BOB, seat(BOB, 2), b"", MAX)) is Code.ALREADY_DONE
    assert log.refused(Join(BOB, seat(BOB, 2), seat(ALICE), MAX)) is Code.ALREADY_DONE


def test_a_call_moves_to_another_device() -> None:
    log = talk().join(BOB, 2, old=seat(BOB))
    assert list(log.call.seats) == [seat(ALICE), seat(BOB, 2)]
    assert log.call.gone == {seat(BOB): call.MOVED}
    assert not log.call.ended


# --- seats: connecting, live, reconnecting --------------------------------------------------------------------


def test_connecting_without_media_fails_after_15_s() -> None:
    log = Log(BOB).later(10).join(BOB).later(limits.CALL_CONNECT_S - 0.001)
    assert not log.call.ended
    log.later(0.001)
    assert log.call.result == call.FAILED


def test_a_caller_has_time_while_it_rings() -> None:
    assert not Log(BOB).say(callcommands.Ring(BOB)).later(40).call.ended


def test_one_of_a_group_does_not_connect() -> None:
    log = Log(BOB, CAROL, direct=False).join(BOB).join(CAROL).media(ALICE, BOB).later(limits.CALL_CONNECT_S)
    assert log.state(CAROL) == ""
    assert log.call.gone == {seat(CAROL): call.FAILED}
    assert not log.call.ended


def test_media_both_ways_is_live_and_the_talk_is_answered() -> None:
    log = talk()
    assert log.state(ALICE) == log.state(BOB) == call.LIVE
    log.later(70).say(Leave(seat(BOB)))
    assert log.call.result == call.ANSWERED
    assert log.call.ended_ms - log.call.live_ms == 70_000
    assert log.call.joined == (ALICE, BOB)
    assert log.call.missed == ()


@pytest.mark.parametrize("back_s", [0, 29.9])
def test_reconnecting_comes_back_within_30_s(back_s: float) -> None:
    log = talk().later(60).say(Report(seat(BOB), call.RECONNECTING, Flags(), 0)).later(back_s)
    assert log.state(BOB) == call.RECONNECTING
    assert log.media(BOB).state(BOB) == call.LIVE
    assert not log.later(300).call.ended


def test_reconnecting_is_given_up_after_30_s() -> None:
    log = talk().later(60).say(callcommands.Silence(seat(BOB))).later(limits.CALL_RECONNECT_S)
    assert log.call.result == call.ANSWERED, "they had talked"
    assert log.call.gone[seat(BOB)] == call.FAILED


def test_coming_back_with_a_new_seat_takes_the_place_of_the_old() -> None:
    log = talk().say(callcommands.Silence(seat(BOB))).later(20).join(BOB, 2, old=seat(BOB)).later(14)
    assert list(log.call.seats) == [seat(ALICE), seat(BOB, 2)]
    assert log.call.invited == {}, "nobody rings again"


# --- the call: live, ended -------------------------------------------------------------------------------------


def test_an_empty_group_call_ends_after_60_s() -> None:
    log = Log(BOB, direct=False).join(BOB).media(ALICE, BOB)
    log.say(Leave(seat(ALICE))).say(Leave(seat(BOB))).later(limits.CALL_EMPTY_S - 0.001)
    assert not log.call.ended
    log.later(0.001)
    assert log.call.result == call.ANSWERED


def test_who_comes_back_keeps_a_group_call() -> None:
    log = Log(BOB, direct=False).join(BOB).media(ALICE, BOB)
    log.say(Leave(seat(ALICE))).say(Leave(seat(BOB))).later(59).join(BOB, 2).later(60 * 60)
    assert not log.call.ended or log.call.result == call.ANSWERED
    log = Log(BOB, direct=False).join(BOB).say(Leave(seat(ALICE))).say(Leave(seat(BOB))).later(59).join(BOB, 2)
    log.say(Report(seat(BOB, 2), call.LIVE, Flags(), 0)).later(60 * 60)
    assert not log.call.ended


def test_a_call_has_a_longest_time() -> None:
    log = talk().later(24 * 3600 - 1)
    assert not log.call.ended
    assert log.later(1).call.result == call.ENDED


def test_a_moderator_ends_removes_and_mutes() -> None:
    log = Log(BOB, CAROL, direct=False).join(BOB).join(CAROL).media(ALICE, BOB, CAROL)
    log.say(Mute(seat(BOB)))
    assert (log.call.seats[seat(BOB)].muted, log.call.seats[seat(BOB)].flags.mic) == (True, False)
    log.say(Remove(seat(CAROL)))
    assert log.call.gone == {seat(CAROL): call.REMOVED}
    assert log.say(callcommands.Finish()).call.result == call.ENDED
    assert set(log.call.gone.values()) == {call.REMOVED, call.ENDED}


def test_a_mute_is_undone_only_by_who_knows_of_it() -> None:
    log = talk().say(Mute(seat(BOB)))
    old = log.call.version - 1
    log.say(Report(seat(BOB), call.LIVE, Flags(mic=True), old))
    assert log.call.seats[seat(BOB)].muted
    assert not log.call.seats[seat(BOB)].flags.mic
    log.say(Report(seat(BOB), call.LIVE, Flags(mic=True), log.call.version))
    assert not log.call.seats[seat(BOB)].muted
    assert log.call.seats[seat(BOB)].flags.mic


def test_coming_back_is_no_way_out_of_a_mute() -> None:
    log = talk().say(Mute(seat(BOB)))
    log.say(Join(BOB, b"bob-anew", seat(BOB), MAX))
    assert log.call.seats[b"bob-anew"].muted
    log.say(Report(b"bob-anew", call.LIVE, Flags(mic=True), log.call.version - 1))
    assert log.call.seats[b"bob-anew"].muted, "said before it was known"
    log.say(Report(b"bob-anew", call.LIVE, Flags(mic=True), log.call.version))
    assert not log.call.seats[b"bob-anew"].muted


def test_who_is_no_member_any_more_is_out() -> None:
    log = (
        Log(BOB, CAROL, direct=False)
        .join(BOB)
        .say(callcommands.Expel(BOB))
        .say(callcommands.Expel(CAROL))
        .say(callcommands.Expel(DAVE))
    )
    assert list(log.call.seats) == [seat(ALICE)]
    assert log.call.gone == {seat(BOB): call.REMOVED}
    assert log.state(CAROL) == call.CANCELLED


def test_a_call_with_a_smaller_id_goes_on_instead() -> None:
    assert call.winner(b"b", b"a") == call.winner(b"a", b"b") == b"a"
    assert Log(BOB).say(callcommands.Merge()).call.result == call.MERGED


def test_late_words_are_answered_with_gone() -> None:
    log = talk().say(Leave(seat(BOB)))
    for command in (callcommands.Ring(BOB), Answer(BOB, busy=False), Leave(seat(ALICE)), Tick(), callcommands.Finish()):
        assert log.refused(command) is Code.GONE


# --- limits ----------------------------------------------------------------------------------------------------


def test_a_call_is_full() -> None:
    log = Log(BOB, CAROL, DAVE, ERIN, direct=False).join(BOB).join(CAROL).join(DAVE)
    assert log.refused(Join(ERIN, seat(ERIN), b"", MAX)) is Code.LIMIT_REACHED
    assert log.join(DAVE, 2, old=seat(DAVE)).state(DAVE) == call.CONNECTING, "who is in may come back"


def many(number: int) -> Iterable[UserId]:
    return (make_user(f"u{one}", NODE) for one in range(number))


def test_so_many_people_are_called_at_once_and_remembered() -> None:
    log = Log(*many(limits.CALL_TARGETS_MAX), direct=False)
    assert log.refused(callcommands.Invite((CAROL,))) is Code.LIMIT_REACHED
    for round_ in range(4):
        log.later(limits.CALL_UNREACHABLE_S)
        log.say(
            callcommands.Invite(tuple(make_user(f"v{round_}.{one}", NODE) for one in range(limits.CALL_TARGETS_MAX)))
        )
        assert len(log.call.invited) <= limits.CALL_INVITED_MAX


def test_who_left_a_moment_ago_is_not_rung_again() -> None:
    log = Log(BOB, direct=False).join(BOB).say(Leave(seat(BOB))).later(limits.CALL_REENTRY_S - 1)
    assert log.say(callcommands.Invite((BOB,))).state(BOB) == ""
    assert log.later(1).say(callcommands.Invite((BOB,))).state(BOB) == call.INVITED


def test_only_so_many_reasons_are_kept() -> None:
    log = Log(BOB, direct=False)
    for number in range(1, limits.CALL_GONE_MAX + 5):
        log.join(BOB, number).say(Leave(seat(BOB, number)))
    assert len(log.call.gone) == limits.CALL_GONE_MAX


@pytest.mark.parametrize(
    "command",
    [
        Leave(b"12345678"),
        Remove(b"12345678"),
        Mute(b"12345678"),
        Drop(b"12345678", "left"),
        Report(b"12345678", "live", Flags(), 0),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_seat_that_is_not_there(command: callcommands.Command) -> None:
    assert talk().refused(command) is Code.NOT_FOUND


# --- every history ---------------------------------------------------------------------------------------------

PEOPLE = st.sampled_from((ALICE, BOB, CAROL, DAVE, ERIN))
DEVICES = st.integers(1, 2)


class Histories(RuleBasedStateMachine):
    """Anything may be said at any time; the call stays in order, and time alone ends every wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = START_MS
        self.call: Call = Log(BOB).call
        self.version = self.call.version

    def say(self, command: callcommands.Command) -> None:
        before = self.call
        try:
            self.call = callcommands.run(before, command, self.now_ms)
        except Rejected:
            assert self.call is before

    @rule(direct=st.booleans(), called=st.lists(PEOPLE, max_size=4))
    def begin(self, *, direct: bool, called: list[UserId]) -> None:
        if self.call.ended:
            fresh = Log(*([BOB] if direct else [user for user in called if user != ALICE]), direct=direct).call
            self.now_ms = START_MS
            self.call, self.version = fresh, fresh.version

    @rule(user=PEOPLE, device=DEVICES, old=st.one_of(st.none(), DEVICES))
    def join(self, user: UserId, device: int, old: int | None) -> None:
        if not self.call.direct or user in {ALICE, BOB}:
            self.say(Join(user, seat(user, device), b"" if old is None else seat(user, old), MAX))

    @rule(user=PEOPLE)
    def ring(self, user: UserId) -> None:
        self.say(callcommands.Ring(user))

    @rule(users=st.lists(PEOPLE, max_size=3))
    def invite(self, users: list[UserId]) -> None:
        if not self.call.direct:
            self.say(callcommands.Invite(tuple(users)))

    @rule(user=PEOPLE, busy=st.booleans())
    def answer(self, user: UserId, *, busy: bool) -> None:
        self.say(Answer(user, busy))

    @rule(user=PEOPLE, device=DEVICES, what=st.sampled_from((Leave, Remove, Mute, callcommands.Silence)))
    def act(self, user: UserId, device: int, what: type[Leave | Remove | Mute | callcommands.Silence]) -> None:
        self.say(what(seat(user, device)))

    @rule(
        user=PEOPLE, device=DEVICES, state=st.sampled_from(("connecting", "live", "reconnecting")), mic=st.booleans(),
        behind=st.integers(0, 3),
    )  # fmt: skip
    def report(self, user: UserId, device: int, state: str, *, mic: bool, behind: int) -> None:
        self.say(Report(seat(user, device), state, Flags(mic=mic), self.call.version - behind))

    @rule(user=PEOPLE)
    def expel(self, user: UserId) -> None:
        self.say(callcommands.Expel(user))

    @rule(seconds=st.sampled_from((0.5, 5, 14, 15, 29, 31, 45, 60)))
    def wait(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
        self.say(Tick())

    @rule(how=st.sampled_from((callcommands.Finish(), callcommands.Merge())), really=st.integers(0, 9))
    def finish(self, how: callcommands.Command, really: int) -> None:
        if really == 0:
            self.say(how)

    @invariant()
    def in_order(self) -> None:
        one = self.call
        assert one.version >= self.version, "versions never go back"
        self.version = one.version
        users = [found.user for found in one.seats.values()]
        assert len(users) == len(set(users)), "one seat a person"
        assert len(users) <= MAX
        assert not set(users) & {user for user, found in one.invited.items() if found.state in call.WAITING}
        assert set(users) <= set(one.joined)
        assert all(not (found.muted and found.flags.mic) for found in one.seats.values())
        if one.ended:
            assert not one.seats
            assert callcommands.deadline_ms(one) is None
            assert all(found.state not in call.WAITING for found in one.invited.values())
            return
        due = callcommands.deadline_ms(one)
        assert due is not None
        if one.direct and one.live_ms:
            assert len(one.seats) == 2
        if due <= self.now_ms:
            after = callcommands.run(one, Tick(), self.now_ms)
            assert after != one, "what is due is done by a tick"
            next_due = callcommands.deadline_ms(after)
            assert next_due is None or next_due > self.now_ms


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
