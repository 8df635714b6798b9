"""Budgets: token buckets by key, with rates that are live settings.

A bucket holds at most `burst` tokens and gains `per_s` each second (the classic token bucket; RFC 2697 words).
Buckets that are full again are forgotten, so memory follows the number of active keys, not of all keys.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Protocol

from node.base.errors import Code, Rejected
from node.runtime.clock import Clock

BUCKETS_MAX: Final = 50_000  # active keys; beyond, the oldest are forgotten


class Rates(Protocol):
    """Live settings, as far as budgets need them."""

    def rate(self, name: str) -> int:
        """Present value of the setting ``rates.<name>``."""


class Budget:
    """Buckets for one purpose. `per_s` and `burst` name settings; `scale` divides `per_s` (3600 for rates per hour)."""

    def __init__(self, *, clock: Clock, rates: Rates, per_s: str, burst: str, scale: int = 1) -> None:
        self._clock = clock
        self._rates = rates
        self._per_s = per_s
        self._burst = burst
        self._scale = scale
        self._buckets: dict[Hashable, tuple[float, float]] = {}  # key -> (tokens, at)

    def affords(self, key: Hashable) -> bool:
        """Takes one token if there is one."""
        try:
            self.spend(key)
        except Rejected:
            return False
        return True

    def spend(self, key: Hashable, amount: int = 1) -> None:
        """Takes `amount` tokens. Raises Rejected with `rate_limited` and when to come back."""
        per_s = self._rates.rate(self._per_s) / self._scale
        burst = self._rates.rate(self._burst)
        now = self._clock.monotonic()
        tokens, at = self._buckets.get(key, (float(burst), now))
        tokens = min(float(burst), tokens + (now - at) * per_s)
        if tokens < amount:
            wait_s = max(1, round((amount - tokens) / per_s + 0.5))
            raise Rejected(Code.RATE_LIMITED, f"Too fast; try again in {wait_s} s.", retry_after_s=wait_s)
        self._buckets[key] = (tokens - amount, now)
        if len(self._buckets) > BUCKETS_MAX:
            self._forget(per_s, burst, now)

    def _forget(self, per_s: float, burst: int, now: float) -> None:
        full = [key for key, (tokens, at) in self._buckets.items() if tokens + (now - at) * per_s >= burst]
        for key in full or list(self._buckets)[: BUCKETS_MAX // 4]:
            del self._buckets[key]
