"""One row of the table: a relay, a number of subscribers, a window of seconds; and what came out."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Final, Protocol

from msgspec import Struct

from bench.media import process
from bench.media.peers import Publisher, Silence, Subscriber
from bench.media.relays import Relay
from bench.media.stream import Stream


class Under(Protocol):
    """What is measured."""

    @property
    def name(self) -> str:
        """For the table."""

    @property
    def pids(self) -> Sequence[int]:
        """Whose CPU counts."""


WARM_S: Final = 2.0
FILL_S: Final = 20
AT_ONCE: Final = 4  # subscribers that connect together


class Row(Struct, frozen=True, kw_only=True):
    """One run."""

    relay: str
    subscribers: int
    seconds: float
    cpu_percent: float
    forwarded_per_s: float
    us_per_packet: float
    ms_per_subscriber_s: float
    missing: int  # sequence numbers that the subscribers never saw
    lost_share: float  # of what was to be forwarded
    undecipherable: int
    fps: float = 0.0
    packet_p50_ms: float = 0.0
    packet_p95_ms: float = 0.0
    decoded_p50_ms: float = 0.0
    load: float = 0.0


async def stream_row(relay: Relay, stream: Stream, subscribers: int, seconds: float) -> Row:
    """The real stream from one publisher to `subscribers`, of whom the first decodes."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relay)
        publisher = Publisher("publisher")
        stack.push_async_callback(publisher.close)
        await publisher.connect(relay, publisher.tracks(stream))
        await asyncio.sleep(1)
        watcher, *others = await _subscribe(stack, relay, subscribers, ["publisher"])
        await watcher.watch()
        for other in others:
            other.sink()
        await _filled([publisher], [watcher, *others])
        return await window(relay, [publisher], [watcher, *others], seconds, watcher)


async def rate_row(relay: Relay, publishers: int, subscribers: int, per_s: int, seconds: float) -> Row:
    """Blank packets from each publisher at `per_s`, to `subscribers` who take all of them."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relay)
        sources, stop = [], False
        for number in range(publishers):
            source = Publisher(f"publisher{number}")
            stack.push_async_callback(source.close)
            await source.connect(relay, {"camera": Silence()})
            sources.append(source)
        await asyncio.sleep(0.5)
        async with asyncio.TaskGroup() as group:
            for source in sources:
                group.create_task(source.blast(per_s, lambda: stop))
            await asyncio.sleep(1)  # every track is known then, and one offer has them all
            sinks = await _subscribe(stack, relay, subscribers, [source.name for source in sources])
            for sink in sinks:
                sink.sink()
            await _filled(sources, sinks)
            row = await window(relay, sources, sinks, seconds, None)
            stop = True
        return row


async def _filled(publishers: list[Publisher], subscribers: list[Subscriber]) -> None:
    """Until everything is forwarded: a relay may take its time to believe that there is room for it."""
    for _ in range(FILL_S):
        sent = sum(each.sent for each in publishers)
        got = sum(each.count.packets for each in subscribers)
        await asyncio.sleep(1)
        sent = sum(each.sent for each in publishers) - sent
        got = sum(each.count.packets for each in subscribers) - got
        if got >= 0.98 * sent * len(subscribers):
            return


async def _subscribe(stack: AsyncExitStack, relay: Relay, number: int, publishers: list[str]) -> list[Subscriber]:
    made = [Subscriber(f"subscriber{k}") for k in range(number)]
    for start in range(0, number, AT_ONCE):
        some = made[start : start + AT_ONCE]
        await asyncio.gather(*(subscriber.connect(relay, publishers) for subscriber in some))
        for subscriber in some:
            stack.push_async_callback(subscriber.close)
    return made


async def window(
    relay: Under, publishers: list[Publisher], subscribers: list[Subscriber], seconds: float, watcher: Subscriber | None
) -> Row:
    """What happens in `seconds`, after a while of warming up."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(WARM_S)
    missing = sum(each.count.missing for each in subscribers)
    got, sent = sum(each.count.packets for each in subscribers), sum(each.sent for each in publishers)
    if watcher is not None:
        watcher.frames.clear()
        watcher.tails.clear()
    cpu, began = sum(map(process.cpu_s, relay.pids)), loop.time()
    await asyncio.sleep(seconds)
    cpu, took = sum(map(process.cpu_s, relay.pids)) - cpu, loop.time() - began
    got = sum(each.count.packets for each in subscribers) - got
    sent = sum(each.sent for each in publishers) - sent
    due = sent * len(subscribers)
    packet, decoded = _delays(publishers[0], watcher)
    return Row(
        relay=relay.name,
        subscribers=len(subscribers),
        seconds=took,
        cpu_percent=100 * cpu / took,
        forwarded_per_s=got / took,
        us_per_packet=1e6 * cpu / max(got, 1),
        ms_per_subscriber_s=1e3 * cpu / took / len(subscribers),
        missing=sum(each.count.missing for each in subscribers) - missing,
        lost_share=max(0.0, 1 - got / due) if due else 0.0,
        undecipherable=sum(each.count.undecipherable for each in subscribers),
        fps=len(watcher.frames) / took if watcher is not None else 0.0,
        packet_p50_ms=quantile(packet, 50),
        packet_p95_ms=quantile(packet, 95),
        decoded_p50_ms=quantile(decoded, 50),
        load=process.load(),
    )


def _delays(publisher: Publisher, watcher: Subscriber | None) -> tuple[list[float], list[float]]:
    """Milliseconds from the publisher's camera to the last packet of a frame, and to the decoded frame."""
    if watcher is None:
        return [], []
    packets = [1e3 * (at - publisher.tails[tail]) for tail, at in watcher.tails if tail in publisher.tails]
    frames = [1e3 * (at - publisher.sent_at[number]) for number, at in watcher.frames if number in publisher.sent_at]
    return _plausible(packets), _plausible(frames)


def _plausible(delays: Iterable[float]) -> list[float]:
    return [delay for delay in delays if 0 <= delay < 5_000]  # the stream goes round each ten seconds


def quantile(values: list[float], percent: int) -> float:
    """A percentile; 0 of nothing."""
    if not values:
        return 0.0
    return statistics.median(values) if percent == 50 else sorted(values)[len(values) * percent // 100]
