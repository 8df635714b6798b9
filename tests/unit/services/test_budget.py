"""Token buckets: a burst, then a rate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base.errors import Code, Rejected
from node.runtime.clock import ManualClock
from node.services import budget as budget_module
from node.services.budget import Budget


class Rates:
    """Two numbers that may change."""

    def __init__(self, per_s: int, burst: int) -> None:
        self.values = {"per_s": per_s, "burst": burst}

    def rate(self, name: str) -> int:
        return self.values[name]


def make(per_s: int, burst: int, *, scale: int = 1) -> tuple[Budget, ManualClock, Rates]:
    clock, rates = ManualClock(), Rates(per_s, burst)
    return Budget(clock=clock, rates=rates, per_s="per_s", burst="burst", scale=scale), clock, rates


def test_a_burst_then_a_rate() -> None:
    budget, clock, _ = make(2, 5)
    for _ in range(5):
        budget.spend("alice")
    with pytest.raises(Rejected) as refused:
        budget.spend("alice")
    assert refused.value.code is Code.RATE_LIMITED
    budget.spend("bob")
    clock.advance(seconds=0.5)
    budget.spend("alice")
    with pytest.raises(Rejected):
        budget.spend("alice")


def test_the_wait_it_names_is_enough() -> None:
    budget, clock, _ = make(10, 10, scale=3600)
    budget.spend("alice", 10)
    with pytest.raises(Rejected) as refused:
        budget.spend("alice", 2)
    wait_s = refused.value.detail["retry_after_s"]
    assert isinstance(wait_s, int)
    clock.advance(seconds=wait_s)
    budget.spend("alice", 2)


def test_a_rate_that_is_raised_counts_at_once() -> None:
    budget, clock, rates = make(1, 1)
    budget.spend("alice")
    rates.values = {"per_s": 1000, "burst": 1000}
    clock.advance(seconds=1)
    budget.spend("alice", 1000)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2000)), max_size=60))
def test_nobody_gets_more_than_burst_and_rate(plan: list[tuple[int, int]]) -> None:
    budget, clock, _ = make(2, 5)
    spent = elapsed_ms = 0
    for amount, wait_ms in plan:
        clock.advance(seconds=wait_ms / 1000)
        elapsed_ms += wait_ms
        try:
            budget.spend("alice", amount)
            spent += amount
        except Rejected:
            pass
        assert spent <= 5 + 2 * elapsed_ms / 1000 + 1e-6


def test_memory_follows_who_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "BUCKETS_MAX", 100)
    budget, clock, _ = make(1, 1)
    for number in range(1000):
        clock.advance(seconds=0.1)
        budget.spend(number)
        assert len(budget._buckets) <= 101
