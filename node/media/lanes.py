"""The pipes of one port: whose datagram it is that begins with a lane, and whose STUN. Part of `udpmux.UdpMux`, which asks here for what no
transport of a device claims.

A datagram of a pipe is eight bytes of lane, then SRTP or SRTCP. The lane was told to the other node alone; who does not know it costs one
look-up. What follows is believed when it is authentic, wherever it comes from.
"""

from __future__ import annotations

import socket
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, Protocol

from node.base import limits
from node.media import compat
from node.media.proto import icelite, pipe, sdp, stun

LANE: Final = pipe.LANE_BYTES
ASKED_MAX: Final = 64 * limits.MEDIA_TRANSACTIONS_MAX  # of all pipes of a port


class Port(Protocol):
    """What pipes ask of their port (`udpmux.UdpMux`)."""

    direct: bool

    @property
    def candidates(self) -> tuple[sdp.Candidate, ...]:
        """Where this port can be reached."""

    @property
    def family(self) -> socket.AddressFamily:
        """Of the socket."""

    def credentials(self) -> icelite.Credentials:
        """Fresh ones, unique on this port."""

    def token(self, size: int) -> bytes:
        """Random bytes."""

    def send_to(self, path: Hashable, data: bytes) -> None:
        """Sends a datagram as it is."""

    def send_rtcp(self, transport: Any, packet: bytes) -> None:
        """Protects and queues a compound RTCP packet."""

    def sockaddr(self, path: Hashable) -> Any:
        """For the batch; None where there is none."""

    def settle(self) -> None:
        """Sends what is queued, since an address that it points to goes away."""

    def drop(self, reason: str) -> None:
        """One more datagram was dropped."""


class Peer(Protocol):
    """A pipe (`pipe.PipeTransport`)."""

    checks_left: int  # of this second

    def take(self, view: memoryview, pointer: Any, size: int, now: float) -> None:
        """What came on its lane, without the lane."""

    def asked(self, message: stun.Message, path: Hashable, source: stun.Address, now: float) -> bool:
        """A question for its ufrag. False: forged."""

    def answered(self, message: stun.Message, path: Hashable, now: float) -> bool:
        """An answer to a question of this pipe. False: forged."""

    def tick(self, now: float) -> None:
        """Once a second."""


class Lanes:
    """See above."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self._by_lane: dict[bytes, Peer] = {}
        self._by_ufrag: dict[bytes, Peer] = {}
        self._asked: OrderedDict[bytes, Peer] = OrderedDict()  # by transaction
        self._by_path: dict[Hashable, Peer] = {}  # where somebody has answered

    def __len__(self) -> int:
        return len(self._by_lane)

    def open(self, peer: Peer, half: pipe.Half) -> None:
        """`peer` takes what is for `half` from now on."""
        self._by_lane[half.lane] = peer
        self._by_ufrag[half.ufrag.encode()] = peer

    def close(self, half: pipe.Half) -> None:
        """No more."""
        peer = self._by_lane.pop(half.lane, None)
        self._by_ufrag.pop(half.ufrag.encode(), None)
        for path in [path for path, other in self._by_path.items() if other is peer]:
            del self._by_path[path]
        for transaction in [transaction for transaction, other in self._asked.items() if other is peer]:
            del self._asked[transaction]

    def vouch(self, peer: Peer, former: Hashable | None, path: Hashable | None) -> None:
        """Somebody answers at `path`, no longer at `former`: no stranger, so a flood of strangers' STUN does not end the pipe."""
        if former is not None and self._by_path.get(former) is peer:
            del self._by_path[former]
        if path is not None:
            self._by_path.setdefault(path, peer)

    def admits(self, path: Hashable) -> bool:
        """One STUN message more of a path of a pipe may be looked at. False: as of any stranger."""
        peer = self._by_path.get(path)
        if peer is None:
            return False
        peer.checks_left -= 1
        return peer.checks_left >= 0

    def expect(self, transaction: bytes, peer: Peer) -> None:
        """An answer may come for `peer`."""
        self._asked[transaction] = peer
        if len(self._asked) > ASKED_MAX:
            self._asked.popitem(last=False)

    def take(self, view: memoryview, pointer: Any, size: int, now: float) -> bool:
        """A datagram that begins with the byte of a lane. False: it is nobody's."""
        peer = self._by_lane.get(view[:LANE].tobytes())
        if peer is None or size < LANE + 12:
            return False
        peer.take(view[LANE:], pointer + LANE, size - LANE, now)
        return True

    def question(self, message: stun.Message, path: Hashable, source: stun.Address, now: float) -> str:
        """A STUN request that no device's transport has the ufrag of; returns why it is dropped, or an empty string."""
        peer = self._by_ufrag.get(message.users[0])
        if peer is None:
            return "unknown"
        return "" if peer.asked(message, path, source, now) else "forged"

    def answer(self, message: stun.Message, path: Hashable, now: float) -> bool:
        """A STUN answer that no device's transport expects. False: forged."""
        peer = self._asked.pop(message.transaction, None)
        return peer is not None and peer.answered(message, path, now)

    def tick(self, now: float) -> None:
        """Once a second."""
        for peer in tuple(self._by_lane.values()):
            peer.tick(now)


class LaneSrtp:
    """SRTP behind a lane (`compat.Srtp`): what is to be sent begins with eight bytes that are the lane's, what is received comes
    without them. RTCP is given without and moved."""

    def __init__(self, inner: compat.Srtp, lane: bytes) -> None:
        """`lane` is the receiver's."""
        self.tx = inner.tx
        self.rx = inner.rx
        self._inner = inner
        self._lane = lane

    def protect(self, view: memoryview, pointer: Any, size: int) -> int:
        """An RTP packet behind room for the lane; `size` counts both."""
        return self._behind(self._inner.protect, view, pointer, size)

    def protect_rtcp(self, view: memoryview, pointer: Any, size: int) -> int:
        """A compound RTCP packet, which is moved to make room."""
        view[LANE : LANE + size] = view[:size].tobytes()
        return self._behind(self._inner.protect_rtcp, view, pointer, LANE + size)

    def _behind(self, protect: Callable[[memoryview, Any, int], int], view: memoryview, pointer: Any, size: int) -> int:
        view[:LANE] = self._lane
        size = protect(view[LANE:], pointer + LANE, size - LANE)
        return size + LANE if size >= 0 else size

    def unprotect(self, view: memoryview, pointer: Any, size: int) -> int:
        """A received RTP packet, without its lane."""
        return self._inner.unprotect(view, pointer, size)

    def unprotect_rtcp(self, view: memoryview, pointer: Any, size: int) -> int:
        """A received compound RTCP packet, without its lane."""
        return self._inner.unprotect_rtcp(view, pointer, size)


def path(family: socket.AddressFamily, ip: str, port: int, *, raw: bool) -> Hashable | None:
    """The path of an address as the mux sees what comes from there (`raw`: of recvmmsg, else of recvfrom), or None if a socket of
    `family` does not reach it."""
    six = ":" in ip
    if family == socket.AF_INET:
        if six:
            return None
        if not raw:
            return ip, port
        return family.to_bytes(2, sys.byteorder) + port.to_bytes(2, "big") + socket.inet_aton(ip)
    full = ip if six else f"::ffff:{ip}"
    packed = socket.inet_pton(socket.AF_INET6, full)
    if not raw:
        return socket.inet_ntop(socket.AF_INET6, packed), port, 0, 0
    return family.to_bytes(2, sys.byteorder) + port.to_bytes(2, "big") + bytes(4) + packed + bytes(4)
