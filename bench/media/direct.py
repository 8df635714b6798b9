"""The publisher and one subscriber with nothing between: what a packet takes on its own, and so what a relay adds."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from bench.media.measure import Row, window
from bench.media.peers import Publisher, Subscriber
from bench.media.stream import Stream


class Direct:
    """No relay."""

    name = "direct"
    pids: tuple[int, ...] = ()


async def direct_row(stream: Stream, seconds: float) -> Row:
    """The real stream to a subscriber that decodes."""
    async with AsyncExitStack() as stack:
        publisher, subscriber = Publisher("publisher"), Subscriber("subscriber")
        stack.push_async_callback(publisher.close)
        await subscriber.direct(publisher, publisher.tracks(stream))
        stack.push_async_callback(subscriber.close)
        await asyncio.sleep(1)
        await subscriber.watch()
        return await window(Direct(), [publisher], [subscriber], seconds, subscriber)
