"""Runs in a namespace: somebody with a device there, who calls or answers, says a tone and listens. Prints what happens.

python talker.py http://127.0.0.1:8080 alice start ROOM
python talker.py http://127.0.0.1:8080 bob join
"""

from __future__ import annotations

import asyncio
import fractions
import json
import math
import signal
import struct
import sys

from aiortc import MediaStreamTrack
from av import AudioFrame

from node.base.ids import ROOM_ID_BYTES, RoomId, parse_id
from node.client import Client
from node.client.calling import Call

PASSWORD = "a-long-enough-word"
RATE, SAMPLES = 48_000, 960


class Tone(MediaStreamTrack):
    """440 Hz, for ever."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._at = 0
        self._began = asyncio.get_running_loop().time()

    async def recv(self) -> AudioFrame:
        await asyncio.sleep(max(self._began + self._at / RATE - asyncio.get_running_loop().time(), 0))
        wave = (round(8_000 * math.sin(2 * math.pi * 440 * (self._at + n) / RATE)) for n in range(SAMPLES))
        frame = AudioFrame(format="s16", layout="mono", samples=SAMPLES)
        frame.planes[0].update(struct.pack(f"<{SAMPLES}h", *wave))
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, fractions.Fraction(1, RATE)
        self._at += SAMPLES
        return frame


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def listen(call: Call) -> None:
    """Counts the frames of the other voice that are no silence."""
    await call.until(lambda: bool(call.others("mic")))
    track = await call.hear(*call.others("mic")[0])
    loud = 0
    while not call.over:
        frame = await track.recv()
        assert isinstance(frame, AudioFrame)
        if max(struct.unpack(f"<{frame.samples}h", bytes(frame.planes[0])[: 2 * frame.samples])) > 1_000:
            loud += 1
            if loud % 50 == 0:
                tell(loud=loud)


async def main(url: str, local: str, role: str, room: str = "") -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Client.login(url, local=local, password=PASSWORD) as me:
        tell(ready=me.user)
        if role == "start":
            seat = me.calls.start(RoomId(parse_id(room, ROOM_ID_BYTES)), say={"mic": Tone()})
        else:
            while not me.calls.rings:
                await asyncio.sleep(0.05)
            ring = next(iter(me.calls.rings))
            await me.calls.ringing(ring)
            seat = me.calls.join(ring, say={"mic": Tone()})
        async with seat as call:
            tell(seated=role)
            listening = asyncio.create_task(listen(call))
            await asyncio.wait(
                [listening, asyncio.create_task(stop.wait()), asyncio.create_task(call.ended())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            if listening.done() and listening.exception() is not None:
                tell(failed=repr(listening.exception()))
            listening.cancel()
        tell(over=call.over)


asyncio.run(main(*sys.argv[1:]))
