"""Who may begin a handshake: bounds on connections that have not proved who they are.

A handshake costs about a millisecond and a little memory, so strangers get few at once and few a minute by network (an IPv4 address or
an IPv6 /64); all together they get half of the places, the other half is kept for addresses of nodes we know.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from ipaddress import IPv6Address, ip_address

from node.base import limits

NETWORKS_REMEMBERED = 4_096


class Gate:
    """Counts what is half open; `now` is in monotonic seconds."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._total = 0
        self._strangers = 0
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()  # network: (tokens left, when)

    @property
    def total(self) -> int:
        """Half-open connections."""
        return self._total

    def may_enter(self, network: str, now: float, *, known: bool) -> bool:
        """Whether one more may begin; spends one of the network's handshakes a minute."""
        if self._total >= limits.HANDSHAKES_MAX or self._open[network] >= limits.HANDSHAKES_PER_NETWORK_MAX:
            return False
        if known:
            return True
        return self._strangers < limits.HANDSHAKES_MAX // 2 and self._spend(network, now)

    def _spend(self, network: str, now: float) -> bool:
        left, when = self._spent.pop(network, (float(limits.HANDSHAKES_PER_MIN), now))
        left = min(float(limits.HANDSHAKES_PER_MIN), left + (now - when) * limits.HANDSHAKES_PER_MIN / 60)
        self._spent[network] = (left - 1 if left >= 1 else left, now)
        if len(self._spent) > NETWORKS_REMEMBERED:
            self._spent.popitem(last=False)
        return left >= 1

    def enter(self, network: str, *, known: bool) -> None:
        """A handshake begins."""
        self._total += 1
        self._strangers += not known
        self._open[network] += 1

    def leave(self, network: str, *, known: bool) -> None:
        """It has ended, one way or the other."""
        self._total -= 1
        self._strangers -= not known
        self._open[network] -= 1
        if not self._open[network]:
            del self._open[network]


def network_of(address: str) -> str:
    """The IPv4 address, or the /64 of an IPv6 one; what is neither is its own network."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return ip.exploded[:19]
    return str(ip)
