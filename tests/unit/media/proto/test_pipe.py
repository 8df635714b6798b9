"""Halves of pipes, and the questions that find a way between two nodes."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import Rejected
from node.media.proto import icelite, pipe, stun
from node.media.proto.sdp import Candidate

SHOWN = (b"\x01\x02\x03\x04", 5)


def half(*places: tuple[str, int]) -> pipe.Half:
    credentials = icelite.Credentials(os.urandom(4).hex(), os.urandom(16).hex())
    return pipe.make(os.urandom, credentials, [Candidate(host, port) for host, port in places])


def test_a_half_survives_the_way_and_hides_its_keys() -> None:
    made = half(("11.22.33.10", 8443), ("2001:db8::1", 8443))
    assert pipe.decode(pipe.encode(made)) == made
    assert made.lane[0] >= pipe.LANE_FIRST
    shown = repr(made) + str(made)
    for secret in (made.pwd, repr(made.key), repr(made.salt), made.ufrag):
        assert secret not in shown
    assert len(pipe.encode(half(*[("2001:db8:1:2:3:4:5:6", 65_535)] * 40))) < limits.CALL_HALF_BYTES_MAX
    assert len(half(*[("11.22.33.10", 1)] * 40).candidates) == limits.PIPE_CANDIDATES_MAX


def test_every_half_is_new() -> None:
    made = [half() for _ in range(50)]
    for name in ("lane", "key", "salt", "pwd", "ufrag"):
        assert len({getattr(one, name) for one in made}) == 50


@given(st.binary(max_size=200))
def test_bytes_that_are_no_half_are_refused(data: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        pipe.decode(data)
    assert refused.value.code == "bad_request"


@given(at=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_broken_half_is_refused_or_is_a_half(at: int, value: int) -> None:
    data = bytearray(pipe.encode(half(("11.22.33.10", 8443))))
    data[at % len(data)] = value
    try:
        read = pipe.decode(bytes(data))
    except Rejected:
        return
    assert read.lane[0] >= pipe.LANE_FIRST
    assert len(read.master) == 28
    pipe.places(read, loopback=True)


def test_a_half_that_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(Rejected):
        pipe.decode(pipe.encode(half()) + bytes(limits.CALL_HALF_BYTES_MAX))


def test_places_are_addresses_of_one_machine() -> None:
    made = half(
        ("11.22.33.10", 8443), ("::ffff:11.22.33.10", 8443), ("192.168.1.2", 1), ("127.0.0.1", 9), ("::1", 9), ("0.0.0.0", 9),
        ("224.0.0.1", 9), ("255.255.255.255", 9), ("fe80::1%eth0", 9), ("fe80::1", 9), ("localhost", 9), ("::ffff:127.0.0.1", 9),
        ("11.22.33.10", 0),
    )  # fmt: skip
    assert pipe.places(made, loopback=False) == [("11.22.33.10", 8443), ("192.168.1.2", 1)]
    assert ("127.0.0.1", 9) in pipe.places(made, loopback=True)


class Side:
    """One end, and what it would send."""

    def __init__(self, *paths: str) -> None:
        self.half = half()
        self.checks = pipe.Checks(self.half)
        self.paths = paths

    def meet(self, other: Side, now: float) -> None:
        self.checks.begin(other.half, other.paths, now)


def asked(side: Side, now: float) -> tuple[str, stun.Message] | None:
    found = side.checks.due(now, os.urandom)
    if found is None:
        return None
    message = stun.parse(found[2])
    assert message is not None
    assert message.transaction == found[1]
    return str(found[0]), message


def ways(*sides: Side) -> tuple[object, ...]:
    return tuple(side.checks.way for side in sides)


def run(a: Side, b: Side, wires: dict[tuple[str, str], str], start: float, end: float) -> None:
    """Time passes. `wires`: (sender, address asked) -> where the question comes from as seen by the receiver; nothing else passes."""
    sides = {"a": (a, b), "b": (b, a)}
    now = start
    while now < end:
        for name, (here, there) in sides.items():
            question = asked(here, now)
            if question is None:
                continue
            path, message = question
            source = wires.get((name, path))
            if source is None:
                continue
            answer = stun.parse(there.checks.receive(message, source, SHOWN, now))
            assert answer is not None
            assert here.checks.answered(answer, path, now + 0.02)
        a.checks.tick(now)
        b.checks.tick(now)
        now += 0.05


def test_two_public_sides_find_each_other_at_once() -> None:
    a, b = Side("A"), Side("B")
    a.meet(b, 0)
    b.meet(a, 0)
    run(a, b, {("a", "B"): "A", ("b", "A"): "B"}, 0, 1)
    assert ways(a, b) == ("B", "A")
    assert a.checks.rtt_s == pytest.approx(0.02)


def test_a_side_behind_nat_is_found_where_its_questions_come_from() -> None:
    a, b = Side("private"), Side("B")
    b.meet(a, 0)
    run(a, b, {("b", "router"): "B"}, 0, 3)
    assert ways(b) == (None,)
    a.meet(b, 3)
    run(a, b, {("a", "B"): "router", ("b", "router"): "B"}, 3, 5)
    assert ways(a, b) == ("B", "router")


def test_a_way_that_stops_to_answer_is_left_for_one_that_does() -> None:
    a, b = Side("A1", "A2"), Side("B1", "B2")
    a.meet(b, 0)
    b.meet(a, 0)
    both = {("a", "B1"): "A1", ("a", "B2"): "A2", ("b", "A1"): "B1", ("b", "A2"): "B2"}
    run(a, b, both, 0, 2)
    assert ways(a, b) == ("B1", "A1")
    run(a, b, {("a", "B2"): "A2", ("b", "A2"): "B2"}, 2, 15)
    assert ways(a, b) == ("B2", "A2")


def test_consent_ends_and_comes_back() -> None:
    a, b = Side("A"), Side("B")
    a.meet(b, 0)
    b.meet(a, 0)
    wires = {("a", "B"): "A", ("b", "A"): "B"}
    run(a, b, wires, 0, 1)
    run(a, b, {}, 1, limits.MEDIA_CONSENT_S)
    assert ways(a) == ("B",)
    run(a, b, {}, limits.MEDIA_CONSENT_S, limits.MEDIA_CONSENT_S + 2)
    assert ways(a) == (None,)
    run(a, b, wires, 40, 46)
    assert ways(a, b) == ("B", "A")


def test_questions_are_paced_and_get_rare() -> None:
    a, b = Side("A"), Side(*(f"B{number}" for number in range(100)))
    a.meet(b, 0)
    times = [now / 100 for now in range(3_000) if a.checks.due(now / 100, os.urandom) is not None]
    assert min(after - before for before, after in pairwise(times)) >= limits.PIPE_PACE_S - 1e-9
    assert len(times) <= limits.PIPE_PATHS_MAX * 12
    assert a.checks.next_at < 40


def test_forged_questions_and_answers_prove_nothing() -> None:
    a, b, villain = Side("A"), Side("B"), Side("V")
    a.meet(b, 0)
    b.meet(a, 0)
    villain.checks.begin(b.half, ("B",), 0)
    question = asked(villain, 0)
    assert question is not None
    assert b.checks.receive(question[1], "V", SHOWN, 0) == b"", "of another pipe"
    question = asked(a, 0)
    assert question is not None
    path, message = question
    wrong = stun.parse(stun.success(message.transaction, SHOWN, villain.half.pwd.encode()))
    unsigned = stun.parse(stun.success(message.transaction, SHOWN))
    right = stun.parse(b.checks.receive(message, "A", SHOWN, 0))
    assert wrong is not None
    assert unsigned is not None
    assert right is not None
    assert not a.checks.answered(wrong, path, 0)
    assert not a.checks.answered(unsigned, path, 0)
    assert not a.checks.answered(right, "elsewhere", 0)
    assert ways(a) == (None,)
    assert a.checks.answered(right, path, 0)
    assert not a.checks.answered(right, path, 0), "said twice"
    assert ways(a) == ("B",)


def test_there_are_only_so_many_ways() -> None:
    a, b = Side("A"), Side("B")
    a.meet(b, 0)
    b.meet(a, 0)
    for number in range(1, 100):
        question = asked(a, number * limits.PIPE_KEEPALIVE_S * 2)
        assert question is not None
        assert b.checks.receive(question[1], f"A{number}", SHOWN, 0)
    ways = set()
    for number in range(20_000):
        found = b.checks.due(number * 0.05, os.urandom)
        if found is not None:
            ways.add(found[0])
    assert len(ways) == limits.PIPE_PATHS_MAX
