"""Gaps, key frame requests and receiver reports."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.media.proto.loss import ONE_CYCLE, Gaps, KeyFrameGate, Reception

RTT = 0.05


def fed(*seqs: int) -> Gaps:
    gaps = Gaps(asks=True)
    for seq in seqs:
        gaps.received(seq)
    return gaps


@given(st.integers(0, 0xFFFF), st.integers(1, 3000))
def test_indices_go_on_over_the_wrap(first: int, count: int) -> None:
    gaps = Gaps(asks=True)
    got = [gaps.received(first + number & 0xFFFF) for number in range(count)]
    assert got == list(range(first + ONE_CYCLE, first + ONE_CYCLE + count))
    assert not gaps.open


@given(st.permutations(range(20)), st.integers(0, 0xFFFF))
def test_every_packet_is_new_once_in_any_order(order: list[int], base: int) -> None:
    gaps = fed(base)
    indices = [gaps.received(base + 1 + number & 0xFFFF) for number in order]
    assert sorted(indices) == list(range(base + ONE_CYCLE + 1, base + ONE_CYCLE + 21))
    assert [gaps.received(base + 1 + number & 0xFFFF) for number in order] == [-1] * 20
    assert not gaps.open


@given(st.lists(st.integers(0, 0xFFFF), max_size=300))
def test_any_numbers_keep_it_bounded(seqs: list[int]) -> None:
    gaps = Gaps(asks=True)
    now = 0.0
    seen: set[int] = set()
    for seq in seqs:
        index = gaps.received(seq)
        assert index not in seen
        if index >= 0:
            seen.add(index)
        now += 0.004
        assert len(gaps.due(now, RTT)) <= limits.NACK_MISSING_MAX


def test_what_is_merely_late_is_not_asked_for() -> None:
    gaps = fed(1, 2, 4)
    assert gaps.due(10.0, RTT) == []
    gaps.received(3)
    assert gaps.due(10.1, RTT) == []
    assert gaps.recovered == 1


def test_what_is_missing_is_asked_for_once_a_round_trip_and_then_given_up() -> None:
    gaps = fed(1, 4)
    assert gaps.due(10.0, RTT) == []
    asked = []
    for step in range(1, 1000):
        now = 10.0 + step / 1000
        seqs = gaps.due(now, RTT)
        if seqs:
            assert seqs == [2, 3]
            asked.append(now)
    assert len(asked) == limits.NACK_TRIES_MAX
    assert asked[0] - 10.0 >= limits.NACK_WAIT_S
    assert all(after - before >= RTT - 1e-9 for before, after in pairwise(asked))
    assert gaps.broken
    assert not gaps.open


def test_a_short_round_trip_does_not_make_a_flood() -> None:
    gaps = fed(1, 3)
    asks = sum(bool(gaps.due(10.0 + step / 1000, 0.0)) for step in range(100))
    assert asks <= 0.1 / limits.NACK_GAP_S_MIN + 1


def test_a_long_gap_is_answered_by_a_key_frame() -> None:
    gaps = fed(1, 2 + limits.NACK_MISSING_MAX)
    assert not gaps.broken
    gaps = fed(1, 3 + limits.NACK_MISSING_MAX)
    assert gaps.broken
    assert not gaps.open
    assert gaps.received(2) == -1, "given up"


def test_audio_is_never_asked_for_and_comes_late_all_the_same() -> None:
    gaps = Gaps(asks=False)
    gaps.received(1)
    gaps.received(500)
    gaps.received(502)
    assert not gaps.open
    assert not gaps.broken
    assert gaps.received(501) == 501 + ONE_CYCLE


def test_the_time_of_the_first_request_tells_the_round_trip() -> None:
    gaps = fed(1, 3)
    gaps.due(10.0, RTT)
    assert gaps.asked(2 + ONE_CYCLE) == 0.0
    gaps.due(10.02, RTT)
    assert gaps.asked(2 + ONE_CYCLE) == 10.02
    gaps.due(11.0, RTT)
    assert gaps.asked(2 + ONE_CYCLE) == 0.0, "which request was answered cannot be known"


def test_a_hundred_viewers_ask_once() -> None:
    gate = KeyFrameGate()
    sent = 0
    for step in range(2000):
        now = step / 1000
        gate.ask()
        sent += gate.due(now)
        if step % 700 == 300:
            gate.arrived()
    assert sent <= 2 / limits.KEY_FRAME_GAP_S


def test_a_request_is_repeated_once_and_then_forgotten() -> None:
    gate = KeyFrameGate()
    gate.ask()
    assert [gate.due(step / 4) for step in range(12)].count(True) == 2
    assert not gate.waiting
    gate.ask()
    assert gate.due(9.0)


def test_a_key_frame_answers_everybody() -> None:
    gate = KeyFrameGate()
    gate.ask()
    assert gate.due(0.0)
    gate.arrived()
    assert not gate.due(5.0)


def test_a_report_counts_what_is_lost_and_what_was_repaired() -> None:
    reception = Reception(90_000)
    for index in range(100):
        if index not in {10, 20, 30, 40}:
            reception.received(ONE_CYCLE + index, 900 * index, 1000, index / 100)
    reception.late(1000)
    reception.repaired += 1
    reception.reported(0x1122_3344_5566_7788, 1.0)
    block = reception.block(7, ONE_CYCLE + 99, 1.5)
    assert block.lost == 4
    assert block.fraction == 10
    assert (block.highest, block.last, block.delay) == (99, 0x3344_5566, 32_768)
    assert block.jitter < 10
    assert reception.octets == 97_000
    assert reception.block(7, ONE_CYCLE + 99, 2.5).fraction == 0


def test_jitter_is_measured_in_timestamp_units() -> None:
    reception = Reception(48_000)
    for index in range(200):
        reception.received(index, 960 * index & 0xFFFFFFFF, 100, index * 0.02 + (0.01 if index % 2 else 0.0))
    assert 400 < reception.block(1, 199, 4.0).jitter < 500


def test_duplicates_make_no_negative_loss() -> None:
    reception = Reception(90_000)
    reception.received(1, 0, 10, 0.0)
    for _ in range(5):
        reception.late(10)
    block = reception.block(1, 1, 1.0)
    assert (block.fraction, block.lost) == (0, -5)
