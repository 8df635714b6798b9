"""What one link may cost: a token bucket (RFC 2697 has the words) that is asked before, or pays afterwards.

It holds at most `burst` and gains `per_s` each second. `spend` takes only what is there; `owe` takes it in any case and says after how
many seconds the debt is paid.
"""

from __future__ import annotations


class Allowance:
    """Starts full at `now`, in seconds of a clock that never goes back."""

    def __init__(self, *, burst: float, per_s: float, now: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left = burst
        self._at = now

    def spend(self, amount: float, now: float) -> bool:
        """Takes `amount`, if there is enough."""
        self._gain(now)
        if amount > self._left:
            return False
        self._left -= amount
        return True

    def owe(self, amount: float, now: float) -> float:
        """Takes `amount`; the seconds until nothing is owed."""
        self._gain(now)
        self._left -= amount
        return max(0.0, -self._left / self._per_s)

    def _gain(self, now: float) -> None:
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
