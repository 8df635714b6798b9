"""What calls ask of the relay of media, and what it tells them: implemented by `media.service.Relay`, wired in node/main.

A seat (8 bytes) is one device's place in a call (16 bytes). The relay knows seats, tracks and transports; who may be in a call is decided
before it is asked. All bytes of media stay in the relay. Times are milliseconds, rates kbit/s.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from node.base import limits
from node.base.ids import NodeId


class Track(Struct, frozen=True, array_like=True):
    """One stream of somebody. `source`: mic, camera, screen, sound."""

    seat: bytes
    source: str


class Wanted(Struct, frozen=True, array_like=True):
    """How a seat wants a track: at most `width` pixels wide, 0 paused; `pinned` before others."""

    track: Track
    width: int
    pinned: bool = False


class Standing(Struct, frozen=True, kw_only=True):
    """Whether there can be calls. `level` 2: fast path, 1: portable path, 0: none, because of `reason`."""

    level: int
    reason: str = ""
    port: int = 0  # UDP, of the first worker; 0 before the first call


class Quality(Struct, frozen=True, array_like=True):
    """How the media of one seat goes; loss in per mille, -1 where nothing is known."""

    up_loss: int
    up_kbps: int
    down_loss: int
    down_kbps: int
    rtt_ms: int
    audio_only: bool = False
    layers: Mapping[str, int] = {}  # by source: how many layers of it, lowest first, somebody looks at; not said: all


class SeatReport(Struct, frozen=True, kw_only=True):
    """For the admin's page."""

    seat: bytes
    tracks: tuple[Track, ...]
    legs: int
    quality: Quality
    path: str = ""  # udp, tcp; empty before it is connected


class CallReport(Struct, frozen=True, kw_only=True):
    """One call on this node's relay."""

    call: bytes
    seats: tuple[SeatReport, ...]
    pipes: tuple[str, ...] = ()  # node ids
    in_kbps: int = 0
    out_kbps: int = 0


class RelayReport(Struct, frozen=True, kw_only=True):
    """The whole relay. `cpu` is the share of one core of all workers since the last report."""

    standing: Standing
    calls: tuple[CallReport, ...] = ()
    packets_in: int = 0
    packets_out: int = 0
    dropped: Mapping[str, int] = {}
    cpu: float = 0.0


class RelayEvents(Protocol):
    """What the relay tells (`services.calls.Calls`). Called on the loop; returns at once."""

    def offered(self, call: bytes, seat: bytes, version: int, sdp: str, tracks: Mapping[str, Track]) -> None:
        """The down transport of this seat is offered (anew): its device answers with `answer`."""

    def connected(self, call: bytes, seat: bytes, *, on: bool) -> None:
        """The up transport of this seat carries media now, or consent was lost (`on` false: it may come back)."""

    def published(self, call: bytes, seat: bytes, sources: Sequence[str]) -> None:
        """Which sources of this seat have carried media; grows and shrinks with the offers of its device."""

    def speakers(self, call: bytes, seats: Sequence[bytes]) -> None:
        """Who speaks, loudest first."""

    def quality(self, call: bytes, seat: bytes, quality: Quality) -> None:
        """Every few seconds."""

    def failed(self, call: bytes) -> None:
        """The worker of this call died or its room is gone: all its seats have to come again."""

    def pipe_wanted(self, call: bytes, node: NodeId, tracks: Sequence[Wanted]) -> None:
        """What the seats here want of another node's seats, all of it anew: to be said to that node."""


class StreamDoor(Protocol):
    """Takes connections to the HTTPS port that do not speak TLS: media over TCP (`media.service.Relay`)."""

    def adopt(self, sock: socket.socket) -> None:
        """The socket is the door's from now on, non-blocking, with nothing read of it."""


class CallRelay(Protocol):
    """Forwards media. Every method raises Rejected: `unavailable` (no relay), `limit_reached`, `not_found`, `bad_request` (SDP)."""

    @property
    def standing(self) -> Standing:
        """Whether there can be calls."""

    def attach(self, events: RelayEvents) -> None:
        """Who is told."""

    async def seat(self, call: bytes, seat: bytes, *, up_kbps: int = limits.CALL_UP_KBPS) -> None:
        """Makes the two transports of a seat; starts the worker for a first call. Its device is told to send at most `up_kbps` of
        video. Done again it is harmless."""

    async def offer(self, call: bytes, seat: bytes, sdp: str, sources: Mapping[str, str]) -> str:
        """The SDP answer to an offer of the up transport; `sources` by mid."""

    async def answer(self, call: bytes, seat: bytes, version: int, sdp: str) -> None:
        """The device's answer to `offered`; an older version is ignored."""

    def restart(self, call: bytes, seat: bytes) -> None:
        """Offers the down transport anew with new ICE credentials."""

    def want(self, call: bytes, seat: bytes, wishes: Sequence[Wanted]) -> None:
        """How this seat wants the tracks of others; all anew."""

    def mute(self, call: bytes, seat: bytes, *, on: bool) -> None:
        """Stops (or lets pass) the microphone of a seat, by a moderator's word."""

    def unseat(self, call: bytes, seat: bytes) -> None:
        """Frees everything of a seat. Unknown ones are ignored."""

    def end(self, call: bytes) -> None:
        """Frees everything of a call."""

    async def report(self) -> RelayReport:
        """For the admin's page and metrics."""

    # --- between nodes ----------------------------------------------------------------------------------

    async def pipe(self, call: bytes, node: NodeId) -> bytes:
        """Our half of a pipe to the relay of another node: addresses, credentials and keys, opaque to everybody between. To be said to
        that node over the authenticated link only. Called again it makes a new half, with new keys."""

    async def pipe_joined(self, call: bytes, node: NodeId, half: bytes) -> None:
        """The other node's half arrived."""

    def pipe_tracks(self, call: bytes, node: NodeId, tracks: Sequence[Track]) -> None:
        """What the seats of that node publish, all of it anew, by the roster of the focus."""

    def pipe_want(self, call: bytes, node: NodeId, tracks: Sequence[Wanted]) -> None:
        """What that node wants of the seats here, all of it anew."""

    def pipe_closed(self, call: bytes, node: NodeId) -> None:
        """That node has nobody in the call any more."""
