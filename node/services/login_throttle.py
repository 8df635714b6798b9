"""Slows guessing of passwords without locking anybody out for good.

* per account: the 5th failure in a row starts a delay of 30 s that doubles up to 15 min; after a quiet 15 min, or a success, counting
  starts anew. That is at most 480 guesses a day.
* per address (IPv6 by /64): 30 failures, then the same delays.
* per node: 300 attempts a minute, so that hashing never eats the machine.

While a delay runs, a right password is refused as well, with the same text, and the name need not exist.
Counters live in memory. Their number is bounded, and the node's own rate fills the bound more slowly than counters expire.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.runtime.clock import Clock
from node.services.budget import Budget, Rates

COUNTERS_MAX: Final = 10_000  # 300 a minute for 15 min is 4,500
FIRST_DELAY_S: Final = 30.0
_NODE: Final = "node"


class _Count(Struct):
    failures: int
    last: float
    until: float


class LoginThrottle:
    """Ask `admit` before a password is checked, then tell how it went. An attempt counts as a failure from `admit` on, so
    that many at once gain nothing."""

    def __init__(self, *, clock: Clock, rates: Rates) -> None:
        self._clock = clock
        self._rates = rates
        self._accounts: OrderedDict[str, _Count] = OrderedDict()
        self._addresses: OrderedDict[str, _Count] = OrderedDict()
        name = "logins_per_node_per_min"
        self._node = Budget(clock=clock, rates=rates, per_s=name, burst=name, scale=60)

    def admit(self, local: str, address: str) -> None:
        """Raises Rejected with `rate_limited` and `retry_after_s` while somebody has to wait."""
        now = self._clock.monotonic()
        account, network = local.lower(), network_of(address)
        counts = (self._accounts.get(account), self._addresses.get(network))
        wait_s = max((count.until - now for count in counts if count is not None), default=0.0)
        if wait_s > 0:
            seconds = int(wait_s) + 1
            raise Rejected(
                Code.RATE_LIMITED, f"Too many wrong passwords; try again in {seconds} s.", retry_after_s=seconds
            )
        self._node.spend(_NODE)
        self._count(self._accounts, account, self._rates.rate("login_failures_per_account"))
        self._count(self._addresses, network, self._rates.rate("login_failures_per_address"))

    def succeeded(self, local: str, address: str) -> None:
        """The right password: the account's count starts anew; the address only gets this attempt back, or an attacker with
        an account of their own could wipe it."""
        self._accounts.pop(local.lower(), None)
        _uncount(self._addresses, network_of(address))

    def withdrawn(self, local: str, address: str) -> None:
        """Nothing was checked after all."""
        _uncount(self._accounts, local.lower())
        _uncount(self._addresses, network_of(address))

    def _count(self, table: OrderedDict[str, _Count], key: str, allowed: int) -> None:
        now = self._clock.monotonic()
        count = table.pop(key, None)
        if count is None or now - count.last >= limits.LOGIN_FAILURE_WINDOW_S:
            count = _Count(0, now, 0.0)
        count.failures += 1
        count.last = now
        if count.failures >= allowed:
            doublings = min(count.failures - allowed, 10)
            count.until = now + min(FIRST_DELAY_S * 2**doublings, limits.LOGIN_DELAY_S_MAX)
        table[key] = count
        if len(table) > COUNTERS_MAX:
            table.popitem(last=False)


def _uncount(table: OrderedDict[str, _Count], key: str) -> None:
    count = table.get(key)
    if count is not None:
        count.failures -= 1
        count.until = 0.0
        if count.failures <= 0:
            del table[key]


def network_of(address: str) -> str:
    """Whom an address stands for: an IPv4 address itself, of IPv6 the /64, since one home owns all of it."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))
    return str(ip)
