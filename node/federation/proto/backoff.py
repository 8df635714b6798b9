"""When to dial again: full jitter, doubling, two ceilings, and what ends the waiting.

A delay is drawn between 0 and a bound that doubles from 1 s; the bound ends at ten minutes for a peer seen within a day, else at an
hour. (Full jitter: of a thousand nodes that lost the same peer, no two come back together.) News about the peer (it dialled us, a
newer record, our network changed) reset the bound, since what failed then may work now.
"""

from __future__ import annotations

from collections.abc import Callable

from node.base import limits


class Backoff:
    """Of one address or one peer. `uniform` draws a number between two."""

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        self.failures = 0

    def reset(self) -> None:
        """Something changed for the better."""
        self.failures = 0

    def failed(self, *, seen_ago_s: float) -> float:
        """Seconds to wait before the next attempt. `seen_ago_s`: since there was a link."""
        recent = seen_ago_s < limits.DIAL_RECENT_S
        bound = limits.DIAL_DELAY_S_MIN * 2.0 ** min(self.failures, 20)
        self.failures += 1
        return self._uniform(0.0, min(bound, limits.DIAL_DELAY_S_MAX if recent else limits.DIAL_DELAY_RARE_S_MAX))
