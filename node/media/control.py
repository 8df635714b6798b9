"""What the node and a worker say to each other: frames of msgpack behind four bytes of length, over one socket pair.

*Node to worker*: `Begin` first, then what `services.relay.CallRelay` has as methods; those with a number `n` are answered by `Done` or
`Refused`, the others are not. *Worker to node*: `Began` first, then what `services.relay.RelayEvents` has as methods.
The worker ends when the socket does. Sockets of TCP fallback go over a second pair, by SCM_RIGHTS (tcp.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Literal

import msgspec
from msgspec import Struct

from node.base import limits
from node.base.ids import NodeId
from node.media.proto.sdp import Candidate
from node.runtime import log
from node.services.relay import CallReport, Quality, Track, Wanted

_LENGTH_BYTES: Final = 4


class _Frame(Struct, frozen=True, tag=True, array_like=True):
    """A frame; its tag is the name of its class."""


# --- node -> worker -------------------------------------------------------------------------------------


class Begin(_Frame, frozen=True):
    """Where to listen (an empty host: everywhere) and what to tell devices."""

    host: str
    port: int
    number: int  # which worker this is
    log_level: log.Level
    log_format: Literal["text", "json"]


class Reachable(_Frame, frozen=True):
    """Where devices reach the node from now on: hosts, with the port where it is another one than the socket's."""

    candidates: tuple[Candidate, ...]


class Seat(_Frame, frozen=True):
    """`CallRelay.seat`."""

    n: int
    call: bytes
    seat: bytes
    up_kbps: int = limits.CALL_UP_KBPS


class Offer(_Frame, frozen=True):
    """`CallRelay.offer`; the text of `Done` is the answer."""

    n: int
    call: bytes
    seat: bytes
    sdp: str
    sources: dict[str, str]


class Answer(_Frame, frozen=True):
    """`CallRelay.answer`."""

    n: int
    call: bytes
    seat: bytes
    version: int
    sdp: str


class AskReport(_Frame, frozen=True):
    """`CallRelay.report`, answered by `Report`."""

    n: int


class Restart(_Frame, frozen=True):
    """`CallRelay.restart`."""

    call: bytes
    seat: bytes


class Want(_Frame, frozen=True):
    """`CallRelay.want`."""

    call: bytes
    seat: bytes
    wishes: tuple[Wanted, ...]


class Mute(_Frame, frozen=True):
    """`CallRelay.mute`."""

    call: bytes
    seat: bytes
    on: bool


class Unseat(_Frame, frozen=True):
    """`CallRelay.unseat`."""

    call: bytes
    seat: bytes


class End(_Frame, frozen=True):
    """`CallRelay.end`."""

    call: bytes


class AskHalf(_Frame, frozen=True):
    """`CallRelay.pipe`, answered by `Half`."""

    n: int
    call: bytes
    node: NodeId


class Join(_Frame, frozen=True):
    """`CallRelay.pipe_joined`."""

    n: int
    call: bytes
    node: NodeId
    half: bytes


class PipeTracks(_Frame, frozen=True):
    """`CallRelay.pipe_tracks`."""

    call: bytes
    node: NodeId
    tracks: tuple[Track, ...]


class PipeWant(_Frame, frozen=True):
    """`CallRelay.pipe_want`."""

    call: bytes
    node: NodeId
    tracks: tuple[Wanted, ...]


class PipeClosed(_Frame, frozen=True):
    """`CallRelay.pipe_closed`."""

    call: bytes
    node: NodeId


Asking = Seat | Offer | Answer | AskHalf | Join
Saying = Restart | Want | Mute | Unseat | PipeTracks | PipeWant | PipeClosed
ToWorker = Begin | Reachable | AskReport | End | Asking | Saying


# --- worker -> node -------------------------------------------------------------------------------------


class Began(_Frame, frozen=True):
    """The worker serves, or cannot (`level` 0, for `reason`) and ends."""

    level: int
    port: int = 0
    reason: str = ""


class Done(_Frame, frozen=True):
    """The answer to `n`."""

    n: int
    text: str = ""


class Refused(_Frame, frozen=True):
    """The answer to `n` is Rejected."""

    n: int
    code: str
    text: str


class Half(_Frame, frozen=True):
    """The answer to `AskHalf`."""

    n: int
    half: bytes


class Report(_Frame, frozen=True):
    """The answer to `AskReport`. `cpu_s` is what the process has used so far."""

    n: int
    calls: tuple[CallReport, ...]
    packets_in: int
    packets_out: int
    dropped: dict[str, int]
    cpu_s: float


class Offered(_Frame, frozen=True):
    """`RelayEvents.offered`."""

    call: bytes
    seat: bytes
    version: int
    sdp: str
    tracks: dict[str, Track]


class Connected(_Frame, frozen=True):
    """`RelayEvents.connected`."""

    call: bytes
    seat: bytes
    on: bool


class Published(_Frame, frozen=True):
    """`RelayEvents.published`."""

    call: bytes
    seat: bytes
    sources: tuple[str, ...]


class Speakers(_Frame, frozen=True):
    """`RelayEvents.speakers`."""

    call: bytes
    seats: tuple[bytes, ...]


class Measured(_Frame, frozen=True):
    """`RelayEvents.quality`."""

    call: bytes
    seat: bytes
    quality: Quality


class PipeWanted(_Frame, frozen=True):
    """`RelayEvents.pipe_wanted`."""

    call: bytes
    node: NodeId
    tracks: tuple[Wanted, ...]


Answered = Done | Half | Report
ToNode = Began | Refused | Answered | Offered | Connected | Published | Speakers | Measured | PipeWanted

_encoder: Final = msgspec.msgpack.Encoder()
to_worker: Final = msgspec.msgpack.Decoder(ToWorker)
to_node: Final = msgspec.msgpack.Decoder(ToNode)


def encode(frame: _Frame) -> bytes:
    """With its length."""
    body = _encoder.encode(frame)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Bodies until the other side ends. Raises ValueError for one that is too long: the other side is broken."""
    while True:
        try:
            size = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
            if size > limits.MEDIA_FRAME_BYTES_MAX:
                raise ValueError("a frame of the control socket is too long")
            yield await reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
