"""Whole aiortc clients on the real relay: pictures and sound arrive, with loss, after an address changed, after ICE began anew."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import av
import pytest
from aiortc import MediaStreamError, MediaStreamTrack

from bench.media import stream
from tests.integration.media.peers import house

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> stream.Stream:
    """The stream of the benchmark: 640x360 at 30 frames/s VP8, and Opus."""
    return stream.load(Path("build") / "tests" / "stream.msgpack")


class Eyes:
    """Looks at a track until it ends: which frames came."""

    def __init__(self, track: MediaStreamTrack, group: asyncio.TaskGroup) -> None:
        self.seen: Counter[int] = Counter()
        self.sounds = 0
        self.task = group.create_task(self._look(track))

    async def _look(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                if isinstance(frame, av.VideoFrame):
                    assert (frame.width, frame.height) == (stream.WIDTH, stream.HEIGHT)
                    self.seen[stream.barcode(frame)] += 1
                else:
                    self.sounds += 1
        except MediaStreamError:
            return


async def sees(eyes: Eyes, frames: int, *, after: int = 0) -> None:
    """So many different frames came."""
    async with asyncio.timeout(60):
        while len(eyes.seen) < frames + after:
            await asyncio.sleep(0.1)


async def test_one_publisher_is_seen_and_heard_by_eight(content: stream.Stream) -> None:
    async with house() as relay, asyncio.TaskGroup() as group:
        alice = await relay.peer("alice")
        await alice.say(mic=stream.microphone(content), camera=stream.camera(content))
        watchers = [await relay.peer(f"watch{k}") for k in range(8)]
        pictures = [Eyes(await watcher.hear("alice", "camera"), group) for watcher in watchers]
        sounds = [Eyes(await watcher.hear("alice", "mic"), group) for watcher in watchers]
        for eyes in pictures:
            await sees(eyes, 120)
        for ears in sounds:
            assert ears.sounds > 100
        for eyes in (*pictures, *sounds):
            eyes.task.cancel()
