"""Whole aiortc clients on the real relay: pictures and sound arrive, with loss, after an address changed, after ICE began anew."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import suppress
from pathlib import Path

import pylibsrtp
import pytest

from bench.media import stream
from tests.cast import PATIENCE_S
from tests.integration.media.peers import CALL, Eyes, Peer, house, seat_of, sees_frames

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> stream.Stream:
    """The stream of the benchmark: 640x360 at 30 frames/s VP8, and Opus."""
    return stream.load(Path("build") / "tests" / "stream.msgpack")


class Film(stream.EncodedTrack):
    """The camera of the stream, over and over again; so many frames were `sent`."""

    def __init__(self, content: stream.Stream) -> None:
        super().__init__("video", content.video, stream.FPS, 90_000, self._left)
        self.sent = 0

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
            await sees_frames(eyes, 120)
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
            for k in range(8)
        ]
        pictures = [Eyes(await watcher.hear("alice", "camera"), group, sent=lambda: film.sent) for watcher in watchers]
        await flows(film, pictures)
        seen: list[list[int]] = []
        for _ in range(3):  # ten seconds of a call; two more chances on a machine that other tests keep busy
            first = film.sent
            del asked[:]
            async with asyncio.timeout(
                60
            ):  # the film goes on: aiortc asks again for what is missing only when more comes
                while min(eyes.last for eyes in pictures) < first + 300:
                    await asyncio.sleep(0.1)
            took = (film.sent - first) / stream.FPS
            seen.append([sum(first <= number < first + 300 for number in eyes.frames) for eyes in pictures])
            if min(seen[-1]) >= 290 and len(asked) <= took / 0.5 + 1:  # 29 of 30
                break
        else:
            pytest.fail(f"of 300 frames each saw {seen}; {len(asked)} key frames were asked for in {took:.0f} s")
        for eyes in pictures:
            eyes.task.cancel()
        if where != "down":
            assert up is not None
            assert up.lost > 20


@pytest.mark.parametrize("who", ["publisher", "watcher"])
async def test_a_client_with_another_address_is_found_again(content: stream.Stream, who: str) -> None:
    async with house() as relay, asyncio.TaskGroup() as group:
        alice, bob = await relay.peer("alice", wire=relay.wire()), await relay.peer("bob", wire=relay.wire())
        film = Film(content)
        await alice.say(camera=film)
        eyes = Eyes(await bob.hear("alice", "camera"), group)
        await flows(film, [eyes])
        wire = (alice if who == "publisher" else bob).wire
        assert wire is not None
        known = len(wire.sources)
        wire.rebind()
        assert len(wire.sources) == 2 * known
        await flows(film, [eyes])
        assert not alice.up.transport.lost.is_set()
        assert not bob.down.transport.lost.is_set()
        eyes.task.cancel()


async def test_ice_begins_anew_in_both_directions_and_keys_and_tracks_stay(content: stream.Stream) -> None:
    async with house() as relay, asyncio.TaskGroup() as group:
        alice, bob = await relay.peer("alice"), await relay.peer("bob")
        film = Film(content)
        await alice.say(camera=film)
        track = await bob.hear("alice", "camera")
        eyes = Eyes(track, group)
        await flows(film, [eyes])
        up, down, offers = alice.up.transport.path.agent, bob.down.transport.path.agent, bob.offers
        await alice.say(restart=True)
        relay.service.restart(CALL, bob.seat)
        await relay.until(lambda: bob.offers > offers)
        assert alice.up.transport.path.agent is not up
        assert bob.down.transport.path.agent is not down
        assert bob.down.tracks[seat_of("alice"), "camera"] is track
        await flows(film, [eyes])
        eyes.task.cancel()


async def test_lines_are_used_again_for_who_comes_later(content: stream.Stream) -> None:
    async with house() as relay, asyncio.TaskGroup() as group:
        bob = await relay.peer("bob")
        lines = 0
        for number in range(3):
            guest = await relay.peer(f"guest{number}")
            film = Film(content)
            await guest.say(camera=film)
            eyes = Eyes(await bob.hear(guest.name, "camera"), group)
            await sees_frames(eyes, 30)
            await relay.gone(guest)
            await relay.until(lambda: not bob.down.tracks)
            await asyncio.wait_for(eyes.task, PATIENCE_S)  # the track of who left has ended
            lines = max(lines, bob.down.lines)
        assert lines == 2, "one of each kind, made with the seat"


async def test_strangers_and_nonsense_are_dropped_and_counted_and_the_call_goes_on(content: stream.Stream) -> None:
    chance = random.Random(4)
    async with house() as relay, asyncio.TaskGroup() as group:
        alice, bob = await relay.peer("alice"), await relay.peer("bob")
        film = Film(content)
        await alice.say(camera=film)
        eyes = Eyes(await bob.hear("alice", "camera"), group)
        await flows(film, [eyes])
        port = relay.service.standing.port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind((relay.host, 0))
            for _ in range(300):
                first = chance.choice((0, 1, 22, 0x80, 0x90, 0xBF, 200, 255))
                stranger.sendto(bytes([first]) + chance.randbytes(chance.randrange(1_400)), (relay.host, port))
                await asyncio.sleep(0.001)
        dtls = alice.up.transport.dtls
        send, protect = alice.up.transport.path._send, dtls._tx_srtp
        for _ in range(300):  # from a known address: first what is not sealed with its key, then sealed nonsense
            await send(
                bytes([chance.choice((0, 1, 22, 0x80, 0x90, 0xBF))]) + chance.randbytes(chance.randrange(1, 1_400))
            )
            await asyncio.sleep(0.001)
        for number in range(300):
            kind = chance.choice((96, 97, 111, 127))
            head = struct.pack("!BBHII", 0x80 | chance.randrange(64), kind, number, 0, chance.choice((1, 77)))
            with suppress(pylibsrtp.Error):
                await send(protect.protect(head + chance.randbytes(chance.randrange(200))))
        for _ in range(300):
            kind = chance.choice((200, 201, 203, 205, 206, 207))
            head = struct.pack(
                "!BBHI", 0x80 | chance.randrange(32), kind, chance.randrange(20), chance.randrange(1 << 32)
            )
            with suppress(pylibsrtp.Error):
                await send(protect.protect_rtcp(head + chance.randbytes(chance.randrange(200))))
        await flows(film, [eyes])
        dropped = (await relay.report()).dropped
        assert sum(dropped.values()) > 300
        assert dropped.get("stranger", 0) > 0
        eyes.task.cancel()
