"""What a room asks of the worker it lives in. The worker implements it; tests with real transports do too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from node.media.seam import Mux
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy


class Timer(Protocol):
    """Something that will happen (asyncio.TimerHandle)."""

    def cancel(self) -> None:
        """It will not."""


class Host(Protocol):
    """The worker. What `now` is in the seam is `clock.monotonic`."""

    @property
    def mux(self) -> Mux:
        """The port."""

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def entropy(self) -> Entropy:
        """Randomness."""

    def later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Calls back on the loop once."""
