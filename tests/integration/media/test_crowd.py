"""A call of many between real transports: eight cameras, four voices, whoever speaks among them; and the moderator's word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from node.base import limits
from node.services.relay import Track, Wanted
from tests.integration.media.callers import PATIENCE_S, Caller, House, Stream, house

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
KEY = b"\x90\xe0\x81\x00\x07\x20\x10\x02\x00\x9d\x01\x2a\x80\x02\x68\x01"


class Crowd:
    """So many people who all send `source`, and one who only listens. A handshake a moment: a node begins eight a second."""

    def __init__(self, home: House, source: str) -> None:
        self.home = home
        self.source = source
        self.people: list[Caller] = []
        self.streams: list[Stream] = []
        self.number = 0
        self.loud: set[int] = set()

    async def gather(self, count: int) -> Caller:
        for number in range(count):
            one = self.home.caller()
            one.answers = False
            self.people.append(one)
            await one.publish(self.source)
            self.streams.append(one.stream(self.source, ssrc=100 + number))
            await asyncio.sleep(1 / limits.MEDIA_HANDSHAKES_PER_S)
        listener = self.home.caller()
        self.say()
        for one in self.people:
            await listener.sees(one.seat, self.source)
        return listener

    def say(self) -> None:
        """Everybody sends a packet; those who are `loud` loudly."""
        self.number += 1
        for number, stream in enumerate(self.streams):
            if stream.video:
                stream.send(KEY, timestamp=3000 * self.number, mark=True)
            else:
                stream.send(b"voice", timestamp=960 * self.number, level=20 if number in self.loud else 90)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S * 2):
            while not condition():
                self.say()
                await asyncio.sleep(0.02)

    def reaches(self, listener: Caller) -> set[int]:
        """Whose stream the listener is being sent."""
        legs = self.home.room._seats[listener.seat].legs
        sent = {track.seat for track, leg in legs.items() if leg.layer is not None}
        return {number for number, one in enumerate(self.people) if one.seat in sent}


async def test_a_large_call_hears_the_four_loudest() -> None:
    async with house() as home:
        crowd = Crowd(home, "mic")
        listener = await crowd.gather(limits.VOICES_ALL_MAX + 1)
        crowd.loud = {2, 5, 9}
        await crowd.until(
            lambda: crowd.loud <= crowd.reaches(listener) and len(crowd.reaches(listener)) == limits.VOICES_MAX
        )
        await crowd.until(lambda: bool(home.said) and {seat[0] for seat in home.said[-1]} == {2, 5, 9})
        ssrc, _ = listener.ssrcs(listener.mid_of(crowd.people[0].seat, "mic"))
        count = len(listener.packets(ssrc)) if 0 not in crowd.reaches(listener) else -1
        crowd.loud = {0}
        await crowd.until(lambda: 0 in crowd.reaches(listener))
        await crowd.until(lambda: len(listener.packets(ssrc)) > count)
        home.room.unseat(crowd.people.pop().seat)
        crowd.streams.pop()
        home.room.unseat(crowd.people.pop().seat)
        crowd.streams.pop()
        await crowd.until(lambda: len(crowd.reaches(listener)) == len(crowd.people))


async def test_a_device_gets_eight_cameras_and_the_one_it_pinned() -> None:
    async with house() as home:
        crowd = Crowd(home, "camera")
        listener = await crowd.gather(limits.VIDEOS_SHOWN_MAX + 2)
        home.room._seats[listener.seat].downlink.rate.remb(50_000_000, home.clock.monotonic())
        await crowd.until(lambda: len(crowd.reaches(listener)) == limits.VIDEOS_SHOWN_MAX)
        (out, *_) = set(range(len(crowd.people))) - crowd.reaches(listener)
        home.room.want(listener.seat, [Wanted(Track(crowd.people[out].seat, "camera"), 640, pinned=True)])
        await crowd.until(lambda: out in crowd.reaches(listener))
        assert len(crowd.reaches(listener)) <= limits.VIDEOS_SHOWN_MAX
        nobody = [Wanted(Track(one.seat, "camera"), 0) for one in crowd.people]
        home.room.want(listener.seat, nobody)
        await crowd.until(lambda: not crowd.reaches(listener))
        report = home.room.report()
        assert len(report.seats) == len(crowd.people) + 1
        assert sum(seat.legs for seat in report.seats) == 0
