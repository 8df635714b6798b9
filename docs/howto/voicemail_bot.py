"""Answers the calls that nobody else of the account's devices answers, and keeps what the caller says."""

import asyncio
import math
import os
import struct
import sys
import wave
from pathlib import Path

from aiortc.contrib.media import MediaPlayer, MediaRecorder

from node.base.errors import Rejected
from node.base.ids import UserId
from node.client import Client, Rang
from node.wire.calling import Ring

PATIENCE_S = float(os.environ.get("VOICEMAIL_PATIENCE_S", "20"))  # the node gives up after 45 s
LONGEST_S = float(os.environ.get("VOICEMAIL_LONGEST_S", "60"))
CONNECT_S = 15
FOLDER = Path(os.environ.get("VOICEMAIL_FOLDER", "voicemail"))


def make_greeting(path: Path) -> None:
    """Two tones; put your own voice in its place."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        for hertz in (660, 440):
            for k in range(24_000):
                file.writeframes(struct.pack("<h", int(9_000 * math.sin(2 * math.pi * hertz * k / 48_000))))


async def serve(me: Client, ring: Ring) -> None:
    await me.calls.ringing(ring.call)
    await asyncio.sleep(PATIENCE_S)
    if ring.call in me.calls.rings:  # nobody was quicker, and the caller has not given up
        try:
            await answer(me, ring)
        except (Rejected, TimeoutError) as error:
            print(f"A call of {ring.by} was not recorded: {error!r}", file=sys.stderr)


async def answer(me: Client, ring: Ring) -> None:
    greeting, message = FOLDER / "greeting.wav", FOLDER / f"{ring.call.hex()}.ogg"
    if not greeting.exists():
        make_greeting(greeting)
    async with me.calls.join(ring.call) as call:
        async with asyncio.timeout(CONNECT_S):
            await call.until(lambda: bool(call.others("mic")))
        if call.over:
            return
        voice = MediaPlayer(str(greeting)).audio
        assert voice is not None
        said = asyncio.Event()
        voice.on("ended", said.set)
        await call.say("mic", voice)
        await said.wait()
        recorder = MediaRecorder(str(message))
        recorder.addTrack(await call.hear(*call.others("mic")[0]))
        await recorder.start()
        try:
            async with asyncio.timeout(LONGEST_S):
                await call.until(lambda: not call.participants)
        except TimeoutError:
            pass
        await recorder.stop()
    mailbox = next((room.id for room in me.rooms.values() if room.card.name == "Voicemail"), None)
    await me.say(
        mailbox or await me.create_group("Voicemail"),
        f"{me.names.get(UserId(ring.by), ring.by)} left a message: {message}",
    )


async def main(url: str, token: str) -> None:
    async with Client.connect(url, token=token) as me, asyncio.TaskGroup() as group:
        async for event in me.events():
            if isinstance(event, Rang):
                group.create_task(serve(me, event.ring))


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(os.environ["STARTALK_URL"], os.environ["STARTALK_TOKEN"]))
