"""What time it is: one of two doors (the other is entropy.py) through which a node hears about the outside world.

Everything that needs the time takes a `Clock`, so that a simulation can hand in one of its own and a test never
waits. Two readings with two uses: `now_ms` is the calendar (what people see and what is stored; it may jump), and
`monotonic` is for durations inside this process (it never goes back and means nothing elsewhere).
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The time, as the node believes it."""

    def now_ms(self) -> int:
        """Unix milliseconds of the calendar; may jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is told to go on; for tests and simulations."""

    def __init__(self, *, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._elapsed_ms = 0

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self._now_ms

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._elapsed_ms / 1000

    def advance(self, *, seconds: float) -> None:
        """Both readings go on by `seconds`."""
        assert seconds >= 0
        self._now_ms += round(seconds * 1000)
        self._elapsed_ms += round(seconds * 1000)

    def jump(self, *, seconds: float) -> None:
        """Somebody set the calendar; durations do not notice."""
        self._now_ms += round(seconds * 1000)
