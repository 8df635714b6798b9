"""What a worker is about to send: slots that are protected in place, queued, and sent by one system call (see seam.py).

A peer's path is a raw address on the fast path, an address tuple on the portable one, or a stream of TCP, which is written to at once.
What the socket does not take now is dropped and counted: late media is worth nothing.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Hashable
from typing import Any, Protocol, cast

from node.base import limits
from node.media import compat, mmsg, seam
from node.media.proto import stun


class Stream(Protocol):
    """A path over TCP (`tcp.Stream`): framed, hashed by identity."""

    shown: stun.Address

    def write(self, packet: bytes | memoryview) -> bool:
        """Frames and sends. False: it is clogged, the packet was dropped."""

    def prove(self) -> None:
        """It belongs to a transport."""

    def close(self) -> None:
        """It does no longer."""


class Peer(Protocol):
    """What is asked of a transport here."""

    writable: bool
    srtp: compat.Srtp | None
    sockaddr: Any
    path: Hashable | None


def is_stream(path: Hashable) -> bool:
    """It is a TCP stream."""
    return not isinstance(path, bytes | tuple)


class _Batch:
    """The queue of the fast path, over slots and message headers (`seam.Batch`)."""

    def __init__(self, slots: compat.Slots, messages: mmsg.Messages) -> None:
        self.queued = 0
        self.capacity = limits.MEDIA_BATCH
        self.size: Any = compat.ffi.new("int *")
        self.views = slots.views
        self.pointers = slots.pointers
        self.iovs = messages.iovs
        self.headers = messages.headers
        self.protect = compat.protect


class SendQueue:
    """See above. `fast`: with batches; `dropped` counts by reason."""

    def __init__(self, sock: socket.socket, *, fast: bool, dropped: dict[str, int]) -> None:
        self.sent = 0
        self._sock = sock
        self._fd = sock.fileno()
        self._dropped = dropped
        self._slots = compat.Slots(limits.MEDIA_BATCH)
        self._waiting: list[
            tuple[tuple[Any, ...], int]
        ] = []  # of the portable path: address and size of the first slots
        self._messages = mmsg.Messages(self._slots, socket.AddressFamily(sock.family)) if fast else None
        self.batch: seam.Batch | None = None if self._messages is None else _Batch(self._slots, self._messages)

    def slot(self) -> memoryview:
        """The next slot."""
        return self._slots.views[self._next]

    def push(self, peer: Peer, size: int) -> bool:
        """Protects the slot, an RTP packet, and queues it. False: dropped."""
        if not peer.writable or peer.srtp is None:
            return False
        at = self._next
        return self._queue(peer, at, peer.srtp.protect(self._slots.views[at], self._slots.pointers[at], size))

    def push_rtcp(self, peer: Peer, packet: bytes) -> bool:
        """The same of a compound RTCP packet."""
        if peer.srtp is None or len(packet) > limits.MEDIA_DATAGRAM_BYTES_MAX:
            return False
        at = self._next
        view = self._slots.views[at]
        view[: len(packet)] = packet
        return self._queue(peer, at, peer.srtp.protect_rtcp(view, self._slots.pointers[at], len(packet)))

    def flush(self) -> None:
        """Sends what is queued."""
        if self.batch is None:
            for at, (address, size) in enumerate(self._waiting):
                self._send(self._slots.views[at][:size], address)
            self._waiting.clear()
        elif self.batch.queued:
            self._flush_batch(self.batch)

    def send_to(self, path: Hashable, data: bytes) -> None:
        """Sends a datagram as it is, past the queue."""
        if isinstance(path, bytes):
            self._send(data, mmsg.address(path))
        elif isinstance(path, tuple):
            self._send(data, path)
        elif not cast(Stream, path).write(data):
            self._drop("clogged")

    def sockaddr(self, path: Hashable) -> Any:
        """A path for `Batch.headers`; None where there is no batch or no address."""
        return self._messages.sockaddr(path) if self._messages is not None and isinstance(path, bytes) else None

    # --- inside -----------------------------------------------------------------------------------------

    @property
    def _next(self) -> int:
        return self.batch.queued if self.batch is not None else len(self._waiting)

    def _queue(self, peer: Peer, at: int, size: int) -> bool:
        batch, path = self.batch, peer.path
        if size < 0:
            self._drop("protect")
            return False
        if path is None:
            return False
        if is_stream(path):
            return self._write(cast(Stream, path), self._slots.views[at][:size])
        if batch is None:
            self._waiting.append((cast("tuple[Any, ...]", path), size))
        else:
            batch.iovs[at].iov_len = size
            batch.headers[at].msg_name = peer.sockaddr
            batch.queued = at + 1
        if at + 1 == limits.MEDIA_BATCH:
            self.flush()
        return True

    def _write(self, stream: Stream, packet: memoryview) -> bool:
        if stream.write(packet):
            self.sent += 1
            return True
        self._drop("clogged")
        return False

    def _flush_batch(self, batch: seam.Batch) -> None:
        assert self._messages is not None
        queued, batch.queued, done = batch.queued, 0, 0
        while done < queued:
            sent = self._messages.send(self._fd, done, queued - done)
            if sent > 0:
                done += sent
                self.sent += sent
                continue
            code = self._messages.errno
            if code == errno.EINTR:
                continue
            if code in {errno.EAGAIN, errno.ENOBUFS}:
                self._drop("full", queued - done)
                return
            self._drop("unreachable")  # the first of those left; the others may do
            done += 1

    def _send(self, data: bytes | memoryview, address: tuple[Any, ...]) -> None:
        try:
            self._sock.sendto(data, address)
        except OSError as error:
            self._drop("full" if error.errno in {errno.EAGAIN, errno.ENOBUFS} else "unreachable")
        else:
            self.sent += 1

    def _drop(self, reason: str, count: int = 1) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + count
