"""In the node's own process: connections of ICE over TCP, until it is known which worker they belong to.

The first packet is a STUN request whose ufrag begins with the worker's number (`icelite.mark`). As soon as it is whole, the socket goes
to that worker with what was read. Nothing is answered and nothing secret is computed here: whoever says something else is closed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from node.base import limits
from node.media.proto import icelite, stun

_LENGTH_BYTES = 2


class Inlet:
    """`forward` gives a socket and its first bytes to a worker by number, and says whether there is one. After `patience_s` without
    a packet a connection is closed."""

    def __init__(
        self,
        forward: Callable[[int, socket.socket, bytes], bool],
        *,
        patience_s: float = limits.MEDIA_STREAM_PROOF_S,
    ) -> None:
        self._patience_s = patience_s
        self._forward = forward
        self._waiting: dict[socket.socket, asyncio.TimerHandle] = {}
        self._read: dict[socket.socket, bytes] = {}
        self.closed = 0  # how many were no use

    def adopt(self, sock: socket.socket) -> None:
        """Takes over a connection that does not speak TLS."""
        loop = asyncio.get_running_loop()
        if len(self._waiting) >= limits.MEDIA_STREAMS_WAITING_MAX:
            self.closed += 1
            sock.close()
            return
        self._waiting[sock] = loop.call_later(self._patience_s, self._end, sock)
        self._read[sock] = b""
        loop.add_reader(sock.fileno(), self._readable, sock)

    def close(self) -> None:
        """Ends those that wait."""
        for sock in tuple(self._waiting):
            self._end(sock)

    def _readable(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(_LENGTH_BYTES + stun.BYTES_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end(sock)
            return
        read = self._read[sock] = self._read[sock] + data
        size = int.from_bytes(read[:_LENGTH_BYTES], "big")
        if len(read) >= _LENGTH_BYTES and not stun.HEADER_BYTES <= size <= stun.BYTES_MAX:
            self._end(sock)
        elif len(read) >= _LENGTH_BYTES + size:
            self._route(sock, read, read[_LENGTH_BYTES : _LENGTH_BYTES + size])

    def _route(self, sock: socket.socket, read: bytes, packet: bytes) -> None:
        message = stun.parse(packet)
        number = -1 if message is None else icelite.marked(message.users[0])
        if number < 0:
            self._end(sock)
            return
        self._forget(sock)
        if not self._forward(number, sock, read):
            self.closed += 1
        sock.close()  # the worker has its own descriptor

    def _end(self, sock: socket.socket) -> None:
        self.closed += 1
        self._forget(sock)
        sock.close()

    def _forget(self, sock: socket.socket) -> None:
        self._waiting.pop(sock).cancel()
        del self._read[sock]
        asyncio.get_running_loop().remove_reader(sock.fileno())
