"""Where transports and forwarding meet: what `room`, `uplink` and `downlink` ask of `udpmux` and `transport`, and the other way round.

*In*: a datagram is unprotected in its receive slot and handed to the sink of its transport as a view of that slot. The view is valid
until `rtp` returns; what is to be kept is copied.

*Out*: the sender writes a packet into the next send slot (`Mux.slot`), then `Mux.push` protects it in place for one transport and queues
it. A full queue flushes itself; the mux flushes at the end of every batch it received, whoever sends outside of a batch (a timer) calls
`flush` itself.

*The inlined loop.* `Mux.batch` has the same thing as plain attributes, for the fan-out loop. With `b = mux.batch` not None and
`t.sockaddr` not None, `push` is the same as::

    k = b.queued                                  # b.views[k] is the slot
    b.size[0] = size
    if b.protect(t.tx, b.pointers[k], b.size): -> count it, the slot stays free
    b.iovs[k].iov_len = b.size[0]
    b.headers[k].msg_name = t.sockaddr
    b.queued = k + 1
    if b.queued == b.capacity: mux.flush()        # then k is 0 again

Otherwise (portable path, TCP) `slot` and `push` do it. All of it happens on the loop of the worker; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from node.media.lanes import Lanes
from node.media.proto import sdp


class Sink(Protocol):
    """Who takes what one transport receives."""

    def rtp(self, packet: memoryview, size: int, now: float) -> None:
        """`packet[:size]` is a decrypted RTP packet of at least 12 bytes; nothing else about it was checked."""

    def rtcp(self, packet: bytes, now: float) -> None:
        """A decrypted compound RTCP packet of at least 8 bytes; nothing else about it was checked."""

    def connected(self, on: bool) -> None:
        """The transport can carry media now (address and keys are there), or no longer (consent lost, closed by the peer)."""


class Batch(Protocol):
    """Pointers of the send queue, for the inlined loop. All lists have `capacity` elements."""

    queued: int
    capacity: int
    size: Any  # int *
    views: Sequence[memoryview]  # 2,048 bytes each
    pointers: Sequence[Any]  # the same memory, for protect
    iovs: Sequence[Any]  # .iov_len
    headers: Sequence[Any]  # .msg_name
    protect: Callable[
        [Any, Any, Any], int
    ]  # srtp_protect(session, packet, size): 0 or an error, `size` grows by the tag


class Transport(Protocol):
    """One peer's DTLS-SRTP association over ICE (`transport.PeerTransport`). A seat has two: up and down."""

    sink: Sink

    writable: bool  # an address is nominated and the SRTP sender exists
    tx: Any  # srtp_t of the sender, None before
    sockaddr: Any  # where to send, for Batch.headers; None over TCP, on the portable path and before it is writable
    rtt_s: float | None  # nothing here sets it; forwarding notes what receiver reports say

    @property
    def way(self) -> str:
        """How media goes: udp, tcp; empty while it is not writable."""

    def send_rtcp(self, packet: bytes) -> None:
        """Protects and sends a compound RTCP packet; silently nothing before it is writable."""

    def local(self) -> sdp.Local:
        """Our credentials, fingerprint and candidates, for `sdp.answer` and `sdp.offer`."""

    def set_remote(self, remote: sdp.Remote) -> None:
        """The other side's, from its description; DTLS begins when an address is nominated. Said again it may bring new ICE
        credentials, never another fingerprint: Rejected(bad_request)."""

    def restart(self) -> None:
        """New local ICE credentials beside the old ones, which live until the new ones are nominated. Keys and DTLS stay."""

    def close(self) -> None:
        """Frees everything, at once; the sink hears nothing more."""


class Mux(Protocol):
    """The UDP port (`udpmux.UdpMux`)."""

    batch: Batch | None  # None on the portable path
    lanes: Lanes  # pipes to other nodes

    def slot(self) -> memoryview:
        """The next send slot, 2,048 bytes, writable. Stays the same until something is pushed."""

    def push(self, transport: Transport, size: int) -> bool:
        """Protects the first `size` bytes of the slot for `transport` and queues them. False: dropped, and counted."""

    def open(self, sink: Sink) -> Transport:
        """A new transport of a peer. Raises Rejected(limit_reached)."""

    def flush(self) -> None:
        """Sends what is queued. What the socket does not take now is dropped and counted: late media is worth nothing."""
