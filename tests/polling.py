"""Waiting for what a test cannot be told of: it looks again and again, and gives up after a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(met: Callable[[], object], *, within_s: float = 10.0, pause_s: float = 0.01) -> None:
    """Returns once `met()` is true. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not met():
            await asyncio.sleep(pause_s)
