"""Whole aiortc clients on the real relay: pictures and sound arrive, with loss, after an address changed, after ICE began anew."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import av
import pytest
from aiortc import MediaStreamError, MediaStreamTrack

from bench.media import stream
from tests.cast import PATIENCE_S
from tests.integration.media.peers import Peer, house

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> stream.Stream:
    """The stream of the benchmark: 640x360 at 30 frames/s VP8, and Opus."""
    return stream.load(Path("build") / "tests" / "stream.msgpack")


class Film(stream.EncodedTrack):
    """The camera of the stream, over and over again, until so many frames were `sent` that it reaches its `end`."""

    def __init__(self, content: stream.Stream) -> None:
        super().__init__("video", content.video, stream.FPS, 90_000, self._left)
        self.sent = 0
        self.end = 1 << 30
        self.ended = asyncio.Event()

    async def recv(self) -> av.Packet[Any]:
        if self.sent >= self.end:
            self.ended.set()
            await asyncio.get_running_loop().create_future()
        return await super().recv()

    def _left(self, number: int, data: bytes) -> None:
        del number, data
        self.sent += 1


def asked_for_key_frames(peer: Peer) -> list[float]:
    """When `peer` is asked for key frames, from now on."""
    times: list[float] = []
    sender = next(line.sender for line in peer.up._lines if line.source == "camera")
    inner = sender._send_keyframe

    def note() -> None:
        times.append(asyncio.get_running_loop().time())
        inner()

    sender._send_keyframe = note  # type: ignore[method-assign]
    return times


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


async def flows(film: Film, pictures: list[Eyes]) -> None:
    """Until everybody saw a whole second of the film: a watcher that lost a part of its first key frame waits for the next one."""
    async with asyncio.timeout(60):
        while True:
            sent, seen = film.sent, [sum(eyes.seen.values()) for eyes in pictures]
            while film.sent < sent + 30:
                await asyncio.sleep(0.05)
            now = [sum(eyes.seen.values()) for eyes in pictures]
            if all(after - before >= 29 for before, after in zip(seen, now, strict=True)):
                return


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


@pytest.mark.parametrize("where", ["up", "down", "both"])
async def test_three_percent_loss_costs_no_picture_and_few_questions(content: stream.Stream, where: str) -> None:
    loss = 0.03
    async with house() as relay, asyncio.TaskGroup() as group:
        up = relay.wire(up_loss=loss, down_loss=loss) if where in {"up", "both"} else None
        alice = await relay.peer("alice", wire=up)
        film = Film(content)
        await alice.say(mic=stream.microphone(content), camera=film)
        asked = asked_for_key_frames(alice)
        watchers = [
            await relay.peer(
                f"watch{k}",
                wire=relay.wire(up_loss=loss, down_loss=loss, seed=2 + k) if where in {"down", "both"} else None,
            )
            for k in range(2)
        ]
        pictures = [Eyes(await watcher.hear("alice", "camera"), group) for watcher in watchers]
        await flows(film, pictures)
        began, film.end = asyncio.get_running_loop().time(), film.sent + 300
        due = [sum(eyes.seen.values()) + 290 for eyes in pictures]  # 29 of 30 from here on
        del asked[:]
        await film.ended.wait()
        took = asyncio.get_running_loop().time() - began
        async with asyncio.timeout(PATIENCE_S):  # what is repaired comes late
            while any(sum(eyes.seen.values()) < goal for eyes, goal in zip(pictures, due, strict=True)):
                await asyncio.sleep(0.1)
        for eyes in pictures:
            eyes.task.cancel()
        assert len(asked) <= took / 0.5 + 1
        if where != "down":
            assert up is not None
            assert up.lost > 20
