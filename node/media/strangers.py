"""How much attention those get who have proven nothing: fixed allowances per second, by IPv4 address or IPv6 /64 and for all together.

Counted anew each second, so it costs one look-up of a table and no memory for long. It stands before anything that computes.
"""

from __future__ import annotations

from node.base import limits


class Strangers:
    """See above."""

    def __init__(self) -> None:
        self._second = -1
        self._checks: dict[bytes, int] = {}
        self._handshakes: dict[bytes, int] = {}
        self._all = 0

    def admit(self, ip: bytes, now: float) -> bool:
        """One STUN message more of `ip` may be looked at."""
        self._renew(now)
        if self._all >= limits.MEDIA_STRANGERS_ALL_PER_S:
            return False
        self._all += 1
        return _count(self._checks, ip, limits.MEDIA_STRANGERS_PER_S)

    def admit_handshake(self, ip: bytes, now: float) -> bool:
        """One DTLS handshake more may begin from `ip`."""
        self._renew(now)
        return _count(self._handshakes, ip, limits.MEDIA_HANDSHAKES_PER_S)

    def _renew(self, now: float) -> None:
        if int(now) != self._second:
            self._second = int(now)
            self._checks.clear()
            self._handshakes.clear()
            self._all = 0


def _count(table: dict[bytes, int], ip: bytes, most: int) -> bool:
    network = ip if len(ip) == 4 else ip[:8]
    seen = table.get(network, 0)
    table[network] = seen + 1
    return seen < most
