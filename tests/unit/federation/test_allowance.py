"""A burst, then a rate; debts are paid in time."""

from __future__ import annotations

from node.federation.proto.allowance import Allowance


def test_what_is_not_there_is_not_spent() -> None:
    one = Allowance(burst=10, per_s=2, now=100)
    assert one.spend(6, 100)
    assert not one.spend(6, 100)
    assert one.spend(6, 101)
    assert not one.spend(1, 101)


def test_no_more_than_a_burst_is_saved() -> None:
    one = Allowance(burst=10, per_s=2, now=0)
    assert one.spend(10, 1000)
    assert not one.spend(1, 1000)


def test_debts_are_told_and_paid() -> None:
    one = Allowance(burst=10, per_s=2, now=0)
    assert one.owe(10, 0) == 0
    assert one.owe(4, 0) == 2
    assert one.owe(0, 1) == 1
    assert one.owe(0, 2) == 0
    assert not one.spend(1, 2)
