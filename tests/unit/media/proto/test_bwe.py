"""What is believed to fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.media.proto import bwe


def test_without_loss_it_grows_and_with_much_it_falls_at_once() -> None:
    rate = bwe.LossBased(0.0)
    assert rate.bps == limits.REMB_BPS_START
    for second in range(1, 11):
        rate.update(0.01, float(second))
    assert abs(rate.bps / (limits.REMB_BPS_START * bwe.GROWTH**10) - 1) < 0.001
    before = rate.bps
    rate.update(0.05, 11.0)
    assert rate.bps == before
    rate.update(0.2, 12.0)
    assert rate.bps == before * 0.9


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100)), max_size=60))
def test_it_stays_within_its_bounds(steps: list[tuple[float, float]]) -> None:
    rate, now = bwe.LossBased(0.0), 0.0
    for loss, passed in steps:
        now += passed
        assert limits.REMB_BPS_MIN <= rate.update(loss, now) <= limits.REMB_BPS_MAX


def test_the_estimate_of_the_device_counts_while_it_is_fresh() -> None:
    down = bwe.Downlink(0.0)
    down.remb(300_000, 0.0)
    assert down.bps(1.0) == 300_000
    down.reports(0.2, 1.0)
    assert down.bps(1.0) == 270_000
    assert down.bps(bwe.REMB_LIFE_S + 1) > 300_000
    down.remb(400_000_000, 20.0)
    assert down.bps(21.0) == 360_000_000


def test_voices_are_taken_off_our_own_rate_but_not_off_what_a_browser_says_of_video() -> None:
    down = bwe.Downlink(0.0)
    assert down.bps(0.0) - down.bps(0.0, voices=3) == 3 * bwe.VOICE_BPS
    assert down.bps(0.0, voices=1000) == 0
    down.remb(300_000, 0.0)
    assert down.bps(0.0, voices=3) == 300_000


def test_there_is_room_only_without_loss() -> None:
    down = bwe.Downlink(0.0)
    down.remb(300_000, 0.0)
    assert down.roomy(200_000, 1.0)
    assert not down.roomy(280_000, 1.0)
    down.reports(0.05, 1.0)
    assert not down.roomy(200_000, 1.0)
