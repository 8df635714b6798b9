"""The open link as a machine: numbering, credit, refusals, heartbeat, questions, change of keys; and what breaks it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import Code, RemoteError
from node.federation.proto import link as machine
from node.federation.proto.link import Link
from node.wire import s2s
from tests.unit.federation.proto_pair import Pair, channels, hello


@pytest.fixture
def pair() -> Pair:
    pair = Pair()
    pair.open()
    return pair


def frame(link: Link, frame: s2s.AnyFrame, now: float = 0.0) -> None:
    link.receive_frame(s2s.encode_frame(frame), now)


def test_items_arrive_in_order_and_are_acknowledged(pair: Pair) -> None:
    for seq in (1, 2, 3):
        pair.a.item(seq, 1, b"%d" % seq)
    pair.pass_on()
    assert [event.msg.body for event in pair.events["b"] if isinstance(event, machine.ItemReceived)] == [
        b"1",
        b"2",
        b"3",
    ]
    assert pair.a.unacknowledged == 3
    pair.b.ack(2)
    pair.pass_on()
    assert pair.events["a"] == [machine.Acked(2)]
    assert (pair.a.acked, pair.a.unacknowledged) == (2, 1)


def sizes(link: Link, bodies: list[bytes]) -> list[int]:
    """How many WebSocket messages carry these items, by the bytes of each."""
    for body in bodies:
        link.item(link.sent + 1, 1, body)
    return [len(message) for message in link.to_send()]


def test_items_that_are_ready_together_leave_in_one_frame_to_a_peer_that_knows_how() -> None:
    pair = Pair()
    pair.open(caps=(s2s.MSGS,))
    for seq in range(1, limits.LINK_FRAME_ITEMS_MAX + 2):
        pair.a.item(seq, 1, b"%d" % seq)
    one, rest = pair.a.to_send()
    assert len(one) > len(rest), "a full frame, and one more item as it always was"
    for message in (one, rest):
        pair.b.receive(message, 0.0)
    taken = [pair.b.next_event() for _ in range(limits.LINK_FRAME_ITEMS_MAX + 1)]
    assert [event.msg.seq for event in taken if isinstance(event, machine.ItemReceived)] == list(
        range(1, limits.LINK_FRAME_ITEMS_MAX + 2)
    )
    pair.b.ack(limits.LINK_FRAME_ITEMS_MAX + 1)
    pair.pass_on()
    assert pair.a.unacknowledged == 0


def test_gathered_items_keep_their_place_among_other_frames() -> None:
    pair = Pair()
    pair.open(caps=(s2s.MSGS,))
    pair.a.item(1, 1, b"one")
    pair.a.item(2, 1, b"two")
    pair.a.whisper("typing", b"x")
    pair.a.item(3, 1, b"three")
    pair.a.goaway("restarting")
    pair.pass_on()
    assert [type(event).__name__ for event in pair.events["b"]] == [
        "ItemReceived", "ItemReceived", "Whispered", "ItemReceived", "WentAway",
    ]  # fmt: skip


def test_a_gathered_frame_is_one_record() -> None:
    pair = Pair()
    pair.open(caps=(s2s.MSGS,))
    half = bytes(limits.LINK_FRAME_ITEMS_BYTES_MAX // 2)
    assert len(sizes(pair.a, [half, half])) == 1
    assert len(sizes(pair.a, [half, half, b"x"])) == 2
    assert len(sizes(pair.a, [b"x", bytes(limits.LINK_BODY_BYTES_MAX), b"x"])) == 3


def test_a_peer_that_did_not_say_so_gets_one_item_a_frame(pair: Pair) -> None:
    assert len(sizes(pair.a, [b"x"] * 5)) == 5


def test_the_rules_of_numbers_hold_inside_a_frame(pair: Pair) -> None:
    with pytest.raises(RemoteError, match="rise by one"):
        frame(pair.b, s2s.Msgs((s2s.Msg(1, 1, b"x"), s2s.Msg(3, 1, b"x"))))


def test_a_void_skips_numbers_and_nothing_else_does(pair: Pair) -> None:
    pair.a.item(40, 0, b"")
    pair.a.item(41, 1, b"x")
    pair.pass_on()
    assert pair.b.received == 41
    with pytest.raises(RemoteError, match="rise by one"):
        frame(pair.b, s2s.Msg(50, 1, b"x"))
    with pytest.raises(RemoteError, match="rise by one"):
        frame(pair.b, s2s.Msg(41, 0, b""))


def test_credit_ends_and_comes_back(pair: Pair) -> None:
    for seq in range(1, limits.LINK_CREDIT + 1):
        pair.a.item(seq, 1, b"x")
    assert pair.a.room == 0
    pair.pass_on()
    with pytest.raises(RemoteError, match="credit"):
        frame(pair.b, s2s.Msg(limits.LINK_CREDIT + 1, 1, b"x"))
    pair.b.ack(10)
    pair.pass_on()
    assert pair.a.room == 10


def test_a_peer_may_grant_less() -> None:
    pair = Pair()
    pair.open(credit=3)
    assert pair.a.room == 3
    frame(pair.a, s2s.Ack(0, 10**6))
    assert pair.a.room == limits.LINK_CREDIT, "never more than the protocol has"


@pytest.mark.parametrize("forged", [s2s.Ack(4, 1), s2s.Nack(4, "bad_request")], ids=["ack", "nack"])
def test_what_was_never_sent_is_neither_acknowledged_nor_refused(pair: Pair, forged: s2s.AnyFrame) -> None:
    for seq in (1, 2, 3):
        pair.a.item(seq, 1, b"x")
    with pytest.raises(RemoteError, match="never sent"):
        frame(pair.a, forged)
    assert pair.a.next_event() is None


def test_a_refusal_names_the_item(pair: Pair) -> None:
    pair.a.item(1, 1, b"x")
    pair.pass_on()
    pair.b.nack(1, "not_member")
    pair.pass_on()
    assert pair.events["a"] == [machine.Nacked(1, "not_member")]


def test_an_acknowledgement_never_goes_back(pair: Pair) -> None:
    for seq in (1, 2):
        pair.a.item(seq, 1, b"x")
    frame(pair.a, s2s.Ack(2, 256))
    frame(pair.a, s2s.Ack(1, 256))
    assert pair.a.acked == 2


def test_hello_comes_first_and_once() -> None:
    with pytest.raises(RemoteError, match="hello"):
        frame(Link(channels()[0], 0.0), s2s.Ping(1))
    link = Link(channels()[0], 0.0)
    frame(link, hello())
    with pytest.raises(RemoteError, match="hello"):
        frame(link, hello())
    with pytest.raises(RemoteError, match="numbering"):
        frame(link, s2s.Msg(1, 1, b"x"))


def test_a_refused_link_may_say_why_before_hello() -> None:
    link = Link(channels()[0], 0.0)
    frame(link, s2s.Goaway("duplicate", 5))
    assert link.next_event() == machine.WentAway("duplicate", 5, b"")


def test_after_goaway_nothing_more_is_said(pair: Pair) -> None:
    pair.a.goaway("restarting", 5)
    pair.a.whisper("typing", b"")
    pair.pass_on()
    assert pair.events["b"] == [machine.WentAway("restarting", 5, b"")]
    assert pair.a.room == 0


class TestQuestions:
    def test_an_answer_finds_its_question(self, pair: Pair) -> None:
        number = pair.a.request("log.range", b"args", 0.0)
        assert number is not None
        pair.pass_on()
        [asked] = pair.events["b"]
        assert isinstance(asked, machine.Asked)
        pair.b.reply(asked.id, "", b"answer")
        pair.b.reply(asked.id, "", b"twice")
        pair.pass_on()
        assert pair.events["a"] == [machine.Answered(number, "", b"answer")]

    def test_an_answer_nobody_waits_for_is_dropped(self, pair: Pair) -> None:
        number = pair.a.request("x", b"", 0.0)
        assert number is not None
        pair.a.give_up(number)
        frame(pair.a, s2s.Reply(number, "", b""))
        frame(pair.a, s2s.Reply(99, "", b""))
        assert pair.a.next_event() is None

    def test_too_many_are_refused_by_both_sides(self, pair: Pair) -> None:
        for _ in range(limits.LINK_REQUESTS_MAX):
            assert pair.a.request("x", b"", 0.0) is not None
        assert pair.a.request("x", b"", 0.0) is None
        pair.pass_on()
        frame(pair.b, s2s.Request(10**6, "x", b""))
        pair.pass_on()
        assert pair.events["a"] == []  # it never asked that
        with pytest.raises(RemoteError, match="number"):
            frame(pair.b, s2s.Request(1, "x", b""))

    def test_one_too_many_is_answered_with_a_code(self, pair: Pair) -> None:
        for number in range(limits.LINK_REQUESTS_MAX + 1):
            pair.a._send(s2s.Request(number, "x", b""))
        pair.pass_on()
        frame(pair.b, s2s.Request(1000, "x", b""))
        [refusal] = [s2s.decode_frame(pair.a._channel.open(sealed)) for sealed in pair.b.to_send()]
        assert refusal == s2s.Reply(1000, Code.RATE_LIMITED, b"")


class TestHeartbeat:
    def test_silence_is_asked_twice_and_then_over(self, pair: Pair) -> None:
        beats = []
        for _ in range(limits.LINK_PINGS_MISSED_MAX + 1):
            now = pair.a.timer()
            beats.append(now)
            pair.a.handle_timer(now)
        assert beats == [limits.HEARTBEAT_S * n for n in (1, 2, 3)]
        assert pair.a.next_event() == machine.Dead()

    def test_any_frame_is_a_sign_of_life(self, pair: Pair) -> None:
        pair.a.handle_timer(pair.a.timer())
        pair.now = limits.HEARTBEAT_S + 0.25
        pair.pass_on()
        assert pair.a.rtt_s == 0.25
        assert pair.a.timer() == pair.now + limits.HEARTBEAT_S
        pair.a.handle_timer(pair.now + 1)
        assert pair.a.to_send() == []

    def test_a_probe_has_little_patience(self, pair: Pair) -> None:
        pair.a.probe(100.0)
        pair.a.probe(101.0)
        assert pair.a.timer() <= 100.0 + limits.LINK_PROBE_S
        pair.a.handle_timer(100.0 + limits.LINK_PROBE_S)
        assert pair.a.next_event() == machine.Dead()

    def test_an_answer_ends_the_probe(self, pair: Pair) -> None:
        pair.a.probe(1.0)
        pair.now = 2.0
        pair.pass_on()
        pair.a.handle_timer(1.0 + limits.LINK_PROBE_S)
        assert pair.a.next_event() is None


def test_keys_change_without_anybody_noticing() -> None:
    pair = Pair(rekey_records=5)
    pair.open()
    for seq in range(1, 200):
        pair.a.item(seq, 1, b"x" * seq)
        pair.b.whisper("typing", b"y")
        pair.pass_on()
        pair.b.ack(seq)
    bodies = [event.msg.body for event in pair.events["b"] if isinstance(event, machine.ItemReceived)]
    assert bodies == [b"x" * seq for seq in range(1, 200)]


def test_the_largest_body_passes_and_a_larger_one_does_not(pair: Pair) -> None:
    pair.a.item(1, 1, bytes(limits.LINK_BODY_BYTES_MAX))
    pair.pass_on()
    assert len(pair.events["b"]) == 1
    with pytest.raises(RemoteError):
        frame(pair.b, s2s.Msg(2, 1, bytes(limits.LINK_BODY_BYTES_MAX + 1)))
    with pytest.raises(RemoteError):
        frame(pair.b, s2s.Whisper("x", bytes(limits.WHISPER_BYTES_MAX + 1)))


def test_bytes_that_were_changed_end_the_link(pair: Pair) -> None:
    pair.a.whisper("typing", b"x")
    [message] = pair.a.to_send()
    with pytest.raises(RemoteError, match="decrypt"):
        pair.b.receive(message[:-1] + bytes([message[-1] ^ 1]), 0.0)


FRAMES = st.one_of(
    st.builds(s2s.Msg, st.integers(1, 10), st.integers(0, 15), st.binary(max_size=20)),
    st.builds(s2s.Ack, st.integers(0, 10), st.integers(0, 2**53)),
    st.builds(s2s.Nack, st.integers(1, 10), st.just("bad_request")),
    st.builds(s2s.Ping, st.integers(0, 2**53)),
    st.builds(s2s.Pong, st.integers(0, 3)),
    st.builds(s2s.Whisper, st.just("typing"), st.binary(max_size=20)),
    st.builds(s2s.Request, st.integers(0, 100), st.just("who"), st.binary(max_size=20)),
    st.builds(s2s.Reply, st.integers(0, 3), st.sampled_from(["", "not_found", "nonsense"]), st.binary(max_size=5)),
    st.builds(s2s.Goaway, st.just("idle"), st.integers(0, 100)),
    st.just(hello()),
).map(s2s.encode_frame)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(FRAMES, st.binary(max_size=60)), max_size=30))
def test_any_frames_in_any_order_never_make_it_crash(frames: list[bytes]) -> None:
    pair = Pair()
    pair.open()
    pair.a.item(1, 1, b"x")
    for data in frames:
        try:
            pair.a.receive_frame(data, 1.0)
        except RemoteError:
            return
        while (event := pair.a.next_event()) is not None:
            assert not isinstance(event, machine.Acked) or event.cum <= 1
    assert pair.a.acked <= pair.a.sent


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_bytes_of_any_kind_are_a_broken_protocol(data: bytes) -> None:
    with pytest.raises(RemoteError):
        Link(channels()[0], 0.0).receive(data, 0.0)
