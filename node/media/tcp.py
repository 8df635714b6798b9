"""Media over TCP, for networks that block UDP: ICE-TCP, passive (RFC 6544), framed by RFC 4571: two bytes of length before each packet.

The node's HTTPS listener finds such a connection by its first bytes and hands its socket, with what it read, to the worker whose number
the ufrag begins with (node/web/peek.py, service.py). Here it becomes a `Stream`, which is a path of the mux like an address: STUN on it
proves it, DTLS and SRTP follow, and it is closed when its proof ends. What the socket does not take is dropped: late media is worth
nothing, and a slow reader must not fill memory.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from node.base import limits
from node.media.port import packed
from node.media.udpmux import UdpMux

LENGTH_BYTES: Final = 2


class Frames:
    """Takes a stream apart into packets. Sans-IO."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are complete now. Raises ValueError for a length that no packet has: the stream is broken."""
        data = self._rest + data
        packets, at = [], 0
        while at + LENGTH_BYTES <= len(data):
            size = int.from_bytes(data[at : at + LENGTH_BYTES], "big")
            if not 0 < size <= limits.MEDIA_DATAGRAM_BYTES_MAX:
                raise ValueError("a packet has an impossible length")
            end = at + LENGTH_BYTES + size
            if end > len(data):
                break
            packets.append(data[at + LENGTH_BYTES : end])
            at = end
        self._rest = data[at:]
        return packets


class Stream(asyncio.Protocol):
    """One connection: a path of `mux`. `shown` is the address of the other end, `ended` is told once."""

    def __init__(
        self,
        mux: UdpMux,
        first: bytes,
        shown: tuple[bytes, int],
        ended: Callable[[Stream], None],
        *,
        patience_s: float = limits.MEDIA_STREAM_PROOF_S,
    ) -> None:
        """`first` was read already; without a proof it is closed after `patience_s`."""
        self.shown = shown
        self._mux = mux
        self._first = first
        self._ended = ended
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._proven = False
        self._patience = asyncio.get_running_loop().call_later(patience_s, self._lose_patience)

    # --- as a path --------------------------------------------------------------------------------------

    def write(self, packet: bytes | memoryview) -> bool:
        """Frames and sends. False: it is clogged or closed."""
        transport = self._transport
        if transport is None or transport.get_write_buffer_size() > limits.MEDIA_STREAM_BUFFER_BYTES:
            return False
        transport.write(len(packet).to_bytes(LENGTH_BYTES, "big") + packet)
        return True

    def prove(self) -> None:
        """A check was right: it stays."""
        self._proven = True

    def close(self) -> None:
        """At once."""
        if self._transport is not None:
            self._transport.abort()

    # --- as a protocol ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is ours now; what was read before comes first."""
        self._transport = cast(asyncio.Transport, transport)
        self.data_received(self._first)
        self._first = b""

    def data_received(self, data: bytes) -> None:
        """Packets go to the mux."""
        try:
            for packet in self._frames.feed(data):
                self._mux.receive(packet, self)
        except ValueError:
            self._mux.drop("malformed")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever used it is told."""
        self._transport = None
        self._patience.cancel()
        self._mux.lost_stream(self)
        self._ended(self)

    def _lose_patience(self) -> None:
        if not self._proven:
            self._mux.drop("stranger")
            self.close()


class Door:
    """Takes sockets that come with their first bytes over `inlet`, a socket pair of datagrams, and makes streams of them."""

    def __init__(self, mux: UdpMux, inlet: socket.socket, tasks: asyncio.TaskGroup) -> None:
        self._mux = mux
        self._inlet = inlet
        self._tasks = tasks
        self._streams: set[Stream] = set()
        inlet.setblocking(False)
        asyncio.get_running_loop().add_reader(inlet.fileno(), self._readable)

    def close(self) -> None:
        """Ends all of them."""
        asyncio.get_running_loop().remove_reader(self._inlet.fileno())
        self._inlet.close()
        for stream in tuple(self._streams):
            stream.close()

    def _readable(self) -> None:
        while True:
            try:
                first, descriptors, _, _ = socket.recv_fds(self._inlet, limits.MEDIA_SLOT_BYTES, 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                asyncio.get_running_loop().remove_reader(self._inlet.fileno())
                return
            if not first and not descriptors:  # the node is gone; the control socket says so too
                asyncio.get_running_loop().remove_reader(self._inlet.fileno())
                return
            for descriptor in descriptors:
                self._take(socket.socket(fileno=descriptor), first)

    def _take(self, sock: socket.socket, first: bytes) -> None:
        if len(self._streams) >= 2 * limits.MEDIA_PEERS_MAX:
            self._mux.drop("streams")
            sock.close()
            return
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            host, port = sock.getpeername()[:2]
        except OSError:
            sock.close()
            return
        stream = Stream(self._mux, first, (packed(host), port), self._streams.discard)
        self._streams.add(stream)
        self._tasks.create_task(self._connect(stream, sock))

    async def _connect(self, stream: Stream, sock: socket.socket) -> None:
        with suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, sock)
