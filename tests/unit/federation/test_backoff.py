"""Delays are drawn between nothing and a bound that doubles, up to one of two ceilings."""

from __future__ import annotations

from node.base import limits
from node.federation.proto.backoff import Backoff


def highest(low: float, high: float) -> float:
    assert low == 0.0
    return high


def test_the_bound_doubles_up_to_its_ceiling() -> None:
    backoff = Backoff(highest)
    delays = [backoff.failed(seen_ago_s=0) for _ in range(40)]
    assert delays[:4] == [1, 2, 4, 8]
    assert delays[-1] == limits.DIAL_DELAY_S_MAX
    backoff.reset()
    assert backoff.failed(seen_ago_s=0) == limits.DIAL_DELAY_S_MIN


def test_who_was_not_seen_for_a_day_is_tried_once_an_hour() -> None:
    backoff = Backoff(highest)
    delays = [backoff.failed(seen_ago_s=limits.DIAL_RECENT_S) for _ in range(40)]
    assert delays[-1] == limits.DIAL_DELAY_RARE_S_MAX
