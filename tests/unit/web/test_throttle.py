"""Budgets of the API: per session, per address, by live settings."""

from __future__ import annotations

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import DeviceId, UserId
from node.core.account import NodeRole
from node.runtime.clock import ManualClock
from node.services.actor import Actor
from node.services.settings import RATES
from node.web.auth import Listener, Peer
from node.web.throttle import ApiThrottle


class Rates:
    """Default rates that a test may change."""

    def __init__(self) -> None:
        self.values = dict(RATES)

    def rate(self, name: str) -> int:
        return self.values[name]


def actor(device_pk: int) -> Actor:
    return Actor(
        user=UserId("bert@x"), user_pk=1, account_role=NodeRole.USER, device=DeviceId(bytes(16)), device_pk=device_pk,
        local="bert", name="Bert",
    )  # fmt: skip


def peer(address: str, listener: Listener = "https") -> Peer:
    return Peer(listener, address, "https://casa.example", secure=True, local=False)


def test_one_beyond_the_burst_is_refused_and_time_gives_more(clock: ManualClock) -> None:
    throttle = ApiThrottle(clock=clock, rates=Rates())
    for _ in range(limits.API_PER_SESSION_BURST):
        throttle.charge_session(actor(7))
    with pytest.raises(Rejected) as caught:
        throttle.charge_session(actor(7))
    assert (caught.value.code, caught.value.detail) == (Code.RATE_LIMITED, {"retry_after_s": 1})
    throttle.charge_session(actor(8))
    clock.advance(seconds=1)
    for _ in range(limits.API_PER_SESSION_PER_S):
        throttle.charge_session(actor(7))
    with pytest.raises(Rejected):
        throttle.charge_session(actor(7))


def test_a_home_of_ipv6_is_one_address(clock: ManualClock) -> None:
    throttle = ApiThrottle(clock=clock, rates=Rates())
    for number in range(limits.API_PER_ADDRESS_BURST):
        throttle.charge_address(peer(f"2001:db8:1:2::{number:x}"))
    with pytest.raises(Rejected):
        throttle.charge_address(peer("2001:db8:1:2:ffff::1"))
    throttle.charge_address(peer("2001:db8:1:3::1"))


def test_a_changed_rate_counts_at_once(clock: ManualClock) -> None:
    rates = Rates()
    throttle = ApiThrottle(clock=clock, rates=rates)
    for _ in range(limits.API_PER_ADDRESS_BURST):
        throttle.charge_address(peer("192.0.2.1"))
    rates.values.update(api_per_address_per_s=1_000, api_per_address_burst=1_000)
    clock.advance(seconds=0.1)
    for _ in range(100):
        throttle.charge_address(peer("192.0.2.1"))


def test_the_admin_socket_and_the_console_are_free(clock: ManualClock) -> None:
    throttle = ApiThrottle(clock=clock, rates=Rates())
    for _ in range(1_000):
        throttle.charge_address(peer("", "admin"))
        throttle.charge_session(actor(0))
