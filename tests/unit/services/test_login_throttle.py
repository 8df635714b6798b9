"""Guessing gets slow; nobody is locked out for good; many at once gain nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import Code, Rejected
from node.runtime.clock import ManualClock
from node.services import login_throttle
from node.services.login_throttle import LoginThrottle, network_of

DAY_S = 24 * 3600


class Rates:
    """Default rates, or others for a test."""

    def __init__(self, **values: int) -> None:
        self._values = {
            "login_failures_per_account": limits.LOGIN_FAILURES_PER_ACCOUNT,
            "login_failures_per_address": limits.LOGIN_FAILURES_PER_ADDRESS,
            "logins_per_node_per_min": limits.LOGINS_PER_NODE_PER_MIN,
            **values,
        }

    def rate(self, name: str) -> int:
        return self._values[name]


def throttle(clock: ManualClock, **rates: int) -> LoginThrottle:
    return LoginThrottle(clock=clock, rates=Rates(**rates))


def wait_of(guard: LoginThrottle, local: str, address: str) -> int:
    """Seconds to wait; 0 when the attempt was admitted."""
    try:
        guard.admit(local, address)
    except Rejected as error:
        return int(error.detail["retry_after_s"] or 0)
    return 0


def test_the_refusal_says_when_to_come_back(clock: ManualClock) -> None:
    guard = throttle(clock, login_failures_per_account=1)
    guard.admit("bert", "192.0.2.1")
    with pytest.raises(Rejected) as caught:
        guard.admit("bert", "192.0.2.1")
    assert caught.value.code is Code.RATE_LIMITED
    assert caught.value.detail == {"retry_after_s": 31}


def test_the_fifth_failure_starts_delays_that_double_up_to_the_longest(clock: ManualClock) -> None:
    guard = throttle(clock)
    for _ in range(limits.LOGIN_FAILURES_PER_ACCOUNT):
        assert wait_of(guard, "bert", "192.0.2.1") == 0
    waits = []
    for _ in range(6):
        waits.append(wait_of(guard, "bert", "192.0.2.2"))
        clock.advance(seconds=waits[-1])
        assert wait_of(guard, "bert", "192.0.2.2") == 0
    assert waits == [31, 61, 121, 241, 481, limits.LOGIN_DELAY_S_MAX + 1]


def test_names_count_without_their_case(clock: ManualClock) -> None:
    guard = throttle(clock)
    for name in ("bert", "Bert", "BERT", "bErt", "berT"):
        assert wait_of(guard, name, "192.0.2.1") == 0
    assert wait_of(guard, "bert", "192.0.2.1") > 0


def test_a_success_starts_anew_and_a_quiet_quarter_hour_too(clock: ManualClock) -> None:
    guard = throttle(clock)
    for _ in range(4):
        guard.admit("bert", "192.0.2.1")
    guard.succeeded("bert", "192.0.2.1")
    for _ in range(5):
        assert wait_of(guard, "bert", "192.0.2.1") == 0
    clock.advance(seconds=limits.LOGIN_FAILURE_WINDOW_S)
    for _ in range(5):
        assert wait_of(guard, "bert", "192.0.2.1") == 0
    assert wait_of(guard, "bert", "192.0.2.1") > 0


def test_at_most_480_guesses_a_day(clock: ManualClock) -> None:
    guard = throttle(clock)
    guesses, left = 0, float(DAY_S)
    while left > 0:
        wait_s = wait_of(guard, "bert", f"192.0.2.{guesses % 250}")
        guesses += wait_s == 0
        clock.advance(seconds=wait_s)
        left -= wait_s
    assert 90 < guesses <= 480


def test_an_address_is_slowed_over_many_accounts(clock: ManualClock) -> None:
    guard = throttle(clock)
    for number in range(limits.LOGIN_FAILURES_PER_ADDRESS):
        assert wait_of(guard, f"user{number}", "192.0.2.1") == 0
    assert wait_of(guard, "another", "192.0.2.1") > 0
    assert wait_of(guard, "another", "192.0.2.2") == 0


def test_an_attacker_with_an_account_cannot_wipe_the_count_of_an_address(clock: ManualClock) -> None:
    guard = throttle(clock)
    admitted = 0
    for number in range(100):
        admitted += wait_of(guard, f"victim{number}", "192.0.2.1") == 0
        if wait_of(guard, "mallory", "192.0.2.1") == 0:
            guard.succeeded("mallory", "192.0.2.1")
    assert admitted <= limits.LOGIN_FAILURES_PER_ADDRESS


def test_many_at_once_gain_nothing(clock: ManualClock) -> None:
    guard = throttle(clock)
    admitted = sum(wait_of(guard, "bert", f"192.0.2.{number}") == 0 for number in range(100))
    assert admitted == limits.LOGIN_FAILURES_PER_ACCOUNT


def test_what_was_not_checked_does_not_count(clock: ManualClock) -> None:
    guard = throttle(clock)
    for _ in range(20):
        assert wait_of(guard, "bert", "192.0.2.1") == 0
        guard.withdrawn("bert", "192.0.2.1")


def test_the_node_hashes_at_most_300_a_minute(clock: ManualClock) -> None:
    guard = throttle(clock)
    admitted = sum(
        wait_of(guard, f"user{number}", f"10.0.{number // 250}.{number % 250}") == 0 for number in range(400)
    )
    assert admitted == limits.LOGINS_PER_NODE_PER_MIN
    clock.advance(seconds=60)
    assert wait_of(guard, "bert", "192.0.2.1") == 0


def test_counters_are_bounded(clock: ManualClock) -> None:
    guard = throttle(clock, logins_per_node_per_min=10_000_000)
    for number in range(login_throttle.COUNTERS_MAX + 50):
        guard.admit(f"user{number}", f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
    assert len(guard._accounts) == len(guard._addresses) == login_throttle.COUNTERS_MAX


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("not an address", "not an address"),
    ],
)
def test_whom_an_address_stands_for(address: str, network: str) -> None:
    assert network_of(address) == network


@given(st.text(max_size=50))
def test_any_text_is_an_address(text: str) -> None:
    network_of(text)
