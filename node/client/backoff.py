"""When to try again: exponential back-off with full jitter, so that thousands of devices of a node that restarts do not
all come back in the same moment (the "full jitter" of M. Brooker, Exponential Backoff and Jitter, 2015).
"""

from __future__ import annotations

from typing import Final

from node.runtime.entropy import Entropy

FIRST_S: Final = 0.5  # most losses are a restart or a change of network
LONGEST_S: Final = 30.0


class Backoff:
    """Delays that grow with each failure in a row."""

    def __init__(self, *, entropy: Entropy, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._entropy = entropy
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures = 0

    def next_s(self, least_s: float = 0.0) -> float:
        """Seconds to wait now; at least `least_s`, which the node may have asked for."""
        ceiling = min(self._longest_s, self._first_s * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return least_s + self._entropy.uniform(0.0, ceiling)

    def reset(self) -> None:
        """It worked."""
        self._failures = 0
