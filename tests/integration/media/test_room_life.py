"""What a room leaves behind: nothing, however its seats went."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter

import pytest

from node.base import limits
from node.base.errors import Rejected
from node.media.downlink import Downlink
from node.media.layer import Layer, Track
from node.media.leg import Leg
from node.media.room import Room
from node.media.transport import PeerTransport
from node.media.uplink import Uplink
from tests.integration.media.callers import Caller, House, house

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
KEY = b"\x90\xe0\x81\x00\x07\x20\x10\x02\x00\x9d\x01\x2a\x80\x02\x68\x01"
OURS = (Room, Uplink, Downlink, Track, Layer, Leg, PeerTransport)


def alive() -> Counter[str]:
    """How many of our things there are."""
    gc.collect()
    return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, OURS))


async def settled(home: House) -> None:
    """What closes by itself has closed."""
    async with asyncio.timeout(30):
        while home.mux.transports > 2 * len(home.room._seats) or alive()["PeerTransport"] > home.mux.transports:
            await asyncio.sleep(0.2)  # the last words of DTLS take a moment


async def drop(home: House, caller: Caller) -> None:
    home.callers.remove(caller)
    await caller.leave()


async def test_a_thousand_joins_and_leaves_leave_nothing() -> None:
    async with house() as home:
        stays = home.caller()
        await stays.publish("camera")
        camera = stays.stream("camera", ssrc=200)
        camera.send(KEY)
        measured: list[tuple[int, Counter[str]]] = []
        for number in range(1000):
            guest = home.caller()
            guest.answers = number % 20 == 0  # most of them never get as far as keys
            if guest.answers:
                await guest.publish("mic")
                guest.stream("mic", ssrc=300).send(b"hello", level=20)
                await guest.sees(stays.seat, "camera")
                camera.send(KEY)
                await asyncio.sleep(0.01)
            elif number % 7 == 0:
                await asyncio.sleep(0)
            home.room.unseat(guest.seat)
            home.room.unseat(guest.seat)
            await drop(home, guest)
            if number % 250 == 249:
                del guest
                await settled(home)
                stays.offers.clear()
                measured.append((sys.getallocatedblocks(), alive()))
        kinds = [kinds for _, kinds in measured]
        left = {"Room": 1, "Uplink": 1, "Downlink": 1, "Track": 1, "Layer": 1, "PeerTransport": 2}
        assert kinds == [left] * 4, "something of ours is left"
        blocks = [count for count, _ in measured]
        assert blocks[-1] - blocks[1] < 2000, blocks
        assert len(home.mux._by_ufrag) <= 2
        assert len(home.mux._by_path) <= 2
        uplink = home.room._seats[stays.seat].uplink
        assert not any(layer.legs or layer.waiting or layer.plain or layer.slow for layer in uplink._layers.values())


async def test_the_end_of_a_room_frees_all_of_it() -> None:
    async with house() as home:
        callers = [home.caller() for _ in range(4)]
        for number, caller in enumerate(callers):
            await caller.publish("mic", "camera")
            caller.stream("camera", ssrc=200 + number).send(KEY)
        for caller in callers[1:]:
            await caller.sees(callers[0].seat, "camera")
        home.room.end()
        home.room.end()
        for caller in list(callers):
            await drop(home, caller)
        del callers, caller
        await settled(home)
        assert home.mux.transports == 0
        assert set(alive()) <= {"Room"}
        home.room = Room(b"d" * 16, host=home, events=home, fanout=home.fanout)


async def test_a_transport_that_is_refused_leaves_no_half_a_seat() -> None:
    async with house() as home:
        for number in range(limits.SEATS_PER_CALL_MAX):
            home.room.seat(number.to_bytes(8, "big"))
        with pytest.raises(Rejected):
            home.room.seat(b"one more")
        assert home.mux.transports == 2 * limits.SEATS_PER_CALL_MAX
        home.room.end()
        await settled(home)
        rooms = [Room(bytes((number,)) * 16, host=home, events=home, fanout=home.fanout) for number in range(20)]
        refused = 0
        for room in rooms:
            for number in range(limits.SEATS_PER_CALL_MAX):
                try:
                    room.seat(number.to_bytes(8, "big"))
                except Rejected:
                    refused += 1
        assert refused
        seats = sum(len(room._seats) for room in rooms)
        assert home.mux.transports == 2 * seats
        for room in rooms:
            room.end()
        await settled(home)
        assert home.mux.transports == 0
