"""The clock that is handed in, and the one that stands still."""

from __future__ import annotations

from node.runtime.clock import ManualClock, SystemClock


def test_the_system_clock_shows_this_century_and_never_goes_back() -> None:
    clock = SystemClock()
    assert clock.now_ms() > 1_600_000_000_000
    assert clock.monotonic() <= clock.monotonic()


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(now_ms=1_000)
    clock.advance(seconds=1.5)
    assert (clock.now_ms(), clock.monotonic()) == (2_500, 1.5)


def test_a_calendar_jump_leaves_durations_alone() -> None:
    clock = ManualClock(now_ms=100_000)
    clock.jump(seconds=-60)
    assert (clock.now_ms(), clock.monotonic()) == (40_000, 0.0)
