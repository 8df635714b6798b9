"""Whole clients on the real relay: the service with its worker process, and the media of node.client (aiortc) at the other end.

    async with house() as relay:
        alice, bob = await relay.peer("alice"), await relay.peer("bob")
        await alice.say(camera=track)
        picture = await (await bob.hear("alice", "camera")).recv()

A `Peer` answers every offer as a device does. `house` is what tests of calls without a node around use; see tests/cast.py for the node.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import av
from aiortc import MediaStreamError, MediaStreamTrack

from bench.media import stream
from bench.media.wiring import own_address
from node.base.ids import NodeId
from node.client.media import Down, Key, Up
from node.media.proto.sdp import Candidate
from node.media.service import Relay, Setting
from node.runtime.clock import SystemClock
from node.services.relay import Quality, RelayReport, Track, Wanted
from tests.cast import PATIENCE_S
from tests.integration.media.wire import Wire

CALL = b"call" * 4


def seat_of(name: str) -> bytes:
    return name.encode().rjust(8, b".")[-8:]


class Peer:
    """One device in the call."""

    def __init__(self, name: str, relay: House, wire: Wire | None) -> None:
        self.name = name
        self.seat = seat_of(name)
        self.relay = relay
        self.wire = wire
        self.up = Up()
        self.down = Down(relay.changed)
        self.offers = 0
        self.quality: Quality | None = None
        self.on = False
        self.said: tuple[str, ...] = ()

    def _through(self, sdp: str) -> str:
        return sdp if self.wire is None else self.wire.through(sdp)

    async def say(self, *, restart: bool = False, **tracks: MediaStreamTrack) -> None:
        """Sends these tracks, by source."""
        for source, track in tracks.items():
            self.up.put(source, track)
        offer = await self.up.offer(restart=restart)
        answer = await self.relay.service.offer(CALL, self.seat, offer, self.up.sources)
        async with asyncio.timeout(PATIENCE_S):
            await self.up.answered(self._through(answer))
        assert self.up.transport.connected

    async def offered(self, version: int, sdp: str, tracks: Mapping[str, Track]) -> None:
        keys: dict[str, Key] = {mid: (track.seat, track.source) for mid, track in tracks.items()}
        answer = await self.down.answer(self._through(sdp), keys)
        await self.relay.service.answer(CALL, self.seat, version, answer)
        await self.down.connect()
        self.offers += 1
        self.relay.changed()

    async def hear(self, name: str, source: str, *, estimates: bool = False) -> MediaStreamTrack:
        """The track, once it is offered; it is received from now on. aiortc's estimate of the bandwidth takes a busy machine for a
        narrow path and varies from run to run, so it is off unless `estimates`."""
        key = (seat_of(name), source)
        await self.relay.until(lambda: key in self.down.tracks and self.down.transport.connected)
        if not estimates:
            for heard in self.down._heard.values():
                heard.receiver._receiver.__dict__["_RTCRtpReceiver__remote_bitrate_estimator"] = None
        await self.down.take(key)
        return self.down.tracks[key]

    async def close(self) -> None:
        await self.up.close()
        await self.down.close()
        if self.wire is not None:
            self.wire.close()


class House:
    """The relay; implements `RelayEvents`."""

    def __init__(self, service: Relay, group: asyncio.TaskGroup, host: str) -> None:
        self.service = service
        self.host = host
        self.peers: dict[bytes, Peer] = {}
        self._group = group
        self._changed = asyncio.Condition()
        self._queues: dict[bytes, asyncio.Queue[tuple[int, str, Mapping[str, Track]]]] = {}

    async def peer(self, name: str, *, wire: Wire | None = None) -> Peer:
        """Somebody new, seated and silent."""
        made = self.peers[seat_of(name)] = Peer(name, self, wire)
        self._queues[made.seat] = asyncio.Queue()
        self._group.create_task(self._serve(made))
        await self.service.seat(CALL, made.seat)
        return made

    def wire(self, *, up_loss: float = 0.0, down_loss: float = 0.0, seed: int = 1) -> Wire:
        """A network for one peer."""
        return Wire(self.host, up_loss=up_loss, down_loss=down_loss, seed=seed)

    async def gone(self, peer: Peer) -> None:
        """Leaves without a trace."""
        self.service.unseat(CALL, peer.seat)
        self.peers.pop(peer.seat)
        await peer.close()

    async def report(self) -> RelayReport:
        return await self.service.report()

    async def _serve(self, peer: Peer) -> None:
        while True:
            await peer.offered(*await self._queues[peer.seat].get())

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(met)

    def changed(self) -> None:
        self._group.create_task(self._notify())

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # --- what the relay tells ---------------------------------------------------------------------------

    def offered(self, call: bytes, seat: bytes, version: int, sdp: str, tracks: Mapping[str, Track]) -> None:
        if seat in self._queues:
            self._queues[seat].put_nowait((version, sdp, tracks))

    def connected(self, call: bytes, seat: bytes, *, on: bool) -> None:
        if seat in self.peers:
            self.peers[seat].on = on
        self.changed()

    def published(self, call: bytes, seat: bytes, sources: Sequence[str]) -> None:
        if seat in self.peers:
            self.peers[seat].said = tuple(sources)
        self.changed()

    def speakers(self, call: bytes, seats: Sequence[bytes]) -> None:
        self.changed()

    def quality(self, call: bytes, seat: bytes, quality: Quality) -> None:
        if seat in self.peers:
            self.peers[seat].quality = quality
        self.changed()

    def failed(self, call: bytes) -> None:
        raise AssertionError("the worker died")

    def pipe_wanted(self, call: bytes, node: NodeId, tracks: Sequence[Wanted]) -> None:
        raise AssertionError("there is no other node")


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    """The relay from start to end, with everybody who came meanwhile."""
    host = own_address()
    service = Relay(
        setting=Setting(host=host, port=0, log_level="warning"),
        clock=SystemClock(),
        reachable=lambda: (Candidate(host, 0),),
    )
    failure: Exception | None = None
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            ready = asyncio.Event()
            running = group.create_task(service.run(ready.set))
            await ready.wait()
            made = House(service, group, host)
            service.attach(made)
            try:
                yield made
            except Exception as error:  # noqa: BLE001 - handed on without the group's wrapping
                failure = error
            finally:
                for peer in made.peers.values():
                    await peer.close()
                service.end(CALL)
                running.cancel()
                raise asyncio.CancelledError  # the tasks that serve peers end with the block
    if failure is not None:
        raise failure


class Eyes:
    """Looks at a track until it ends: which frames came. `sent` tells how many the film has sent; `frames` are then the numbers of those
    that were seen, counted from the film's first. (Barcodes go in a circle of ten seconds; what comes later than that is miscounted.)"""

    def __init__(
        self, track: MediaStreamTrack, group: asyncio.TaskGroup, *, sent: Callable[[], int] | None = None
    ) -> None:
        self.seen: Counter[int] = Counter()
        self.frames: set[int] = set()
        self.last = -1
        self.sounds = 0
        self._sent = sent
        self.task = group.create_task(self._look(track))

    async def _look(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                if isinstance(frame, av.VideoFrame):
                    assert (frame.width, frame.height) == (stream.WIDTH, stream.HEIGHT)
                    code = stream.barcode(frame)
                    self.seen[code] += 1
                    if self._sent is not None:
                        newest = self._sent() - 1
                        self.last = newest - (newest - code) % stream.FRAMES
                        self.frames.add(self.last)
                else:
                    self.sounds += 1
        except MediaStreamError:
            return


async def sees_frames(eyes: Eyes, frames: int, *, after: int = 0) -> None:
    """So many different frames came."""
    async with asyncio.timeout(60):
        while len(eyes.seen) < frames + after:
            await asyncio.sleep(0.1)
