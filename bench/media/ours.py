"""This node's relay in the benchmark: `media.service.Relay` as the node wires it, without a node around it.

Its worker is a process of its own on the relay's core; only that one counts. Signalling, which here happens in the peers' process, is what
the node's own process does.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from bench.media.process import PEERS_CORE, RELAY_CORE
from bench.media.relays import Offer
from node.base.ids import NodeId
from node.services.relay import Quality, Track, Wanted

CALL: Final = bytes(15) + b"\1"
OFFER_S: Final = 10.0


def seat_of(name: str) -> bytes:
    """The seat of a peer."""
    return name.encode().rjust(8, b"\0")[-8:]


class Ours:
    """Starts in ``async with``."""

    name = "startalk"

    def __init__(self) -> None:
        self._sources: dict[str, int] = {}  # tracks of each publisher
        self._offers: dict[bytes, tuple[int, str, Mapping[str, Track]]] = {}
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        from bench.media.wiring import open_relay

        self._folder = tempfile.TemporaryDirectory(prefix="startalk-bench-")
        os.sched_setaffinity(0, {RELAY_CORE})  # children inherit it
        try:
            self._relay, self._close, self._pids = await open_relay(Path(self._folder.name))
            self._relay.attach(self)
            await self._relay.seat(CALL, seat_of("nobody"))  # the worker starts with the first seat
        finally:
            os.sched_setaffinity(0, {PEERS_CORE})
        return self

    async def __aexit__(self, *_: object) -> None:
        self._relay.end(CALL)
        await self._close()
        self._folder.cleanup()

    @property
    def pids(self) -> list[int]:
        """The workers."""
        return self._pids()

    async def publish(self, name: str, sdp: str, sources: Mapping[str, str]) -> str:
        """The answer to the offer of a publisher."""
        self._sources[name] = len(sources)
        await self._relay.seat(CALL, seat_of(name))
        return await self._relay.offer(CALL, seat_of(name), sdp, sources)

    async def subscribe(self, name: str, publishers: list[str]) -> Offer:
        """An offer of everything these publishers send."""
        seat, due = seat_of(name), sum(self._sources[whose] for whose in publishers)
        await self._relay.seat(CALL, seat)
        try:
            async with asyncio.timeout(OFFER_S), self._changed:
                await self._changed.wait_for(lambda: seat in self._offers and len(self._offers[seat][2]) >= due)
        except TimeoutError:
            raise RuntimeError(f"{name} was offered {self._offers.get(seat)} instead of {due} tracks") from None
        version, sdp, tracks = self._offers[seat]
        keys = {mid: (track.seat, track.source) for mid, track in tracks.items()}
        return Offer(handle=(seat, version), sdp=sdp, tracks=keys)

    async def answer(self, handle: object, sdp: str) -> None:
        """The subscriber's answer."""
        assert isinstance(handle, tuple)
        await self._relay.answer(CALL, handle[0], handle[1], sdp)

    # --- what the relay tells -----------------------------------------------------------------------------

    def offered(self, call: bytes, seat: bytes, version: int, sdp: str, tracks: Mapping[str, Track]) -> None:
        """The down transport of a seat is offered."""
        self._offers[seat] = (version, sdp, tracks)
        task = asyncio.get_running_loop().create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def connected(self, call: bytes, seat: bytes, *, on: bool) -> None:
        """Not needed here, as all below."""

    def published(self, call: bytes, seat: bytes, sources: Sequence[str]) -> None:
        """Tracks of a seat."""

    def speakers(self, call: bytes, seats: Sequence[bytes]) -> None:
        """Who speaks."""

    def quality(self, call: bytes, seat: bytes, quality: Quality) -> None:
        """How it goes."""

    def failed(self, call: bytes) -> None:
        """A run without its relay is worth nothing."""
        raise RuntimeError("the worker of the relay died")

    def pipe_wanted(self, call: bytes, node: NodeId, tracks: Sequence[Wanted]) -> None:
        """There is no other node."""
