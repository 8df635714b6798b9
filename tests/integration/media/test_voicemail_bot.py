"""docs/howto/voicemail_bot.py as a person would run it: a process of its own beside the devices of the account."""

from __future__ import annotations

import asyncio
import fractions
import math
import os
import struct
import sys
from pathlib import Path

import av
import pytest
from aiortc import MediaStreamTrack

from node.client import Api, Client
from node.client.client import PROGRAM
from tests.cast import PASSWORD, PATIENCE_S, Node, sees
from tests.integration.media.test_client_calls import hears, house, rings

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "docs" / "howto" / "voicemail_bot.py"
RATE, FRAME = 48_000, 960

pytestmark = [pytest.mark.slow]


class Tone(MediaStreamTrack):
    """Somebody who says 880 Hz."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._began = 0.0

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        self._began = self._began or loop.time()
        await asyncio.sleep(max(0.0, self._began + self._number * FRAME / RATE - loop.time()))
        start = self._number * FRAME
        values = [int(9_000 * math.sin(2 * math.pi * 880 * (start + k) / RATE)) for k in range(FRAME)]
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(struct.pack(f"<{FRAME}h", *values))
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, fractions.Fraction(1, RATE)
        self._number += 1
        return frame


async def bot(node: Node, bob: Client, folder: Path, *, patience_s: float = 0.5) -> asyncio.subprocess.Process:
    """The script, signed in as one more device of bob's."""
    async with Api(node.url) as account:
        session = await account.login(local="bob", password=PASSWORD, device_name=PROGRAM)
    own = {
        "PYTHONPATH": str(ROOT),
        "STARTALK_URL": node.url,
        "STARTALK_TOKEN": session.token,
        "VOICEMAIL_FOLDER": str(folder),
        "VOICEMAIL_PATIENCE_S": str(patience_s),
    }
    return await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), cwd=ROOT, env={**os.environ, **own})


def loudness(path: Path) -> tuple[float, float]:
    """Seconds of a recording, and how far its samples reach from silence (1: full scale)."""
    samples, peak, rate = 0, 0.0, 1
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            rate = frame.sample_rate
            samples += frame.samples
            for plane in frame.planes:
                data = bytes(plane)
                peak = max(
                    peak, *(abs(value) for value in struct.unpack(f"<{len(data) // 4}f", data[: len(data) // 4 * 4]))
                )
    return samples / rate, peak


async def test_the_bot_of_the_manual_greets_records_and_tells(tmp_path: Path) -> None:
    async with house(tmp_path) as node:
        alice, bob = await node.person("alice"), await node.person("bob")
        direct = await alice.open_direct(bob.user)
        process = await bot(node, bob, tmp_path / "voicemail")
        try:
            await asyncio.sleep(0)
            async with asyncio.timeout(3 * PATIENCE_S), alice.calls.start(direct, say={"mic": Tone()}) as call:
                await rings(bob)  # who does not answer
                assert await hears(call, "mic") is not None, "the greeting"
                await asyncio.sleep(4)
            await sees(
                bob, lambda: any("left a message" in text for room in bob.rooms.values() for text in room.texts())
            )
        finally:
            process.terminate()
            await process.wait()
        assert any(room.card.name == "Voicemail" for room in bob.rooms.values())
        recordings = list((tmp_path / "voicemail").glob("*.ogg"))
        assert len(recordings) == 1
        seconds, peak = loudness(recordings[0])
        assert seconds > 1
        assert peak > 0.1, "a voice was recorded, not silence"


async def test_the_bot_leaves_a_call_to_who_is_quicker(tmp_path: Path) -> None:
    async with house(tmp_path) as node:
        alice, bob = await node.person("alice"), await node.person("bob")
        direct = await alice.open_direct(bob.user)
        process = await bot(node, bob, tmp_path / "voicemail", patience_s=1.5)
        try:
            async with asyncio.timeout(3 * PATIENCE_S), alice.calls.start(direct, say={"mic": Tone()}) as call:
                await call.until(lambda: call.roster is not None and call.roster.state == "ringing")
                async with bob.calls.join(await rings(bob)) as his:
                    await hears(his, "mic")
                    await asyncio.sleep(2)
                    assert [seat.seat for seat in call.participants] == [his.seat]
        finally:
            process.terminate()
            await process.wait()
        assert not list((tmp_path / "voicemail").glob("*.ogg"))
