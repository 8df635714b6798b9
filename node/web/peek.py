"""The HTTPS listener looks at the first byte of a connection before anybody reads it.

``16`` begins a TLS handshake: the connection goes on as HTTPS, untouched, for the byte was only peeked at. Whatever else begins is a
packet framed by RFC 4571, if it is anything: the relay of calls gets the socket (ICE over TCP, docs/spec/media.md). The two cannot be
confused: a TLS record begins with ``16 03``, which as a length would be 5,635, and no first packet is longer than a few hundred bytes.

It stands in the place of ``loop.create_server``: asyncio begins TLS as soon as a connection is accepted and lets nobody look before.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from node.base import limits
from node.runtime.log import Log
from node.services.relay import StreamDoor

TLS_HANDSHAKE: Final = 0x16
BACKLOG: Final = 1_024
ACCEPTED_AT_ONCE: Final = 64  # of one wake-up, so that others get their turn
log = Log("web.peek")


class PeekServer:
    """Listens on `sockets`. `factory` makes the protocol of a TLS connection, `door` takes the others. `serve` begins, `close` ends."""

    def __init__(
        self,
        sockets: list[socket.socket],
        *,
        tls: ssl.SSLContext,
        factory: Callable[[], asyncio.Protocol],
        door: StreamDoor,
    ) -> None:
        self.sockets = sockets
        self._tls = tls
        self._factory = factory
        self._door = door
        self._tasks: asyncio.TaskGroup | None = None
        self._loop = asyncio.get_running_loop()
        self._looking: dict[socket.socket, asyncio.TimerHandle] = {}

    def serve(self, tasks: asyncio.TaskGroup) -> None:
        """Takes connections from now on; handshakes run in `tasks`, which cancels them at its end."""
        self._tasks = tasks
        for listening in self.sockets:
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    def close(self) -> None:
        """No new connections; those that have said nothing yet end. Done again it is harmless."""
        for listening in self.sockets:
            if listening.fileno() >= 0:
                self._loop.remove_reader(listening.fileno())
                listening.close()
        for sock in tuple(self._looking):
            self._forget(sock)
            sock.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors left: accept again in a while, instead of at once for ever
                self._loop.remove_reader(listening.fileno())
                self._loop.call_later(limits.ACCEPT_PAUSE_S, self._resume, listening)
                return
            sock.setblocking(False)
            if len(self._looking) >= limits.PEEKED_MAX:  # the one that has waited longest has had its time
                oldest = next(iter(self._looking))
                self._forget(oldest)
                oldest.close()
            self._looking[sock] = self._loop.call_later(limits.FIRST_REQUEST_S, self._give_up, sock)
            self._loop.add_reader(sock.fileno(), self._look, sock)

    def _resume(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    def _look(self, sock: socket.socket) -> None:
        """Its first byte is there, or its end."""
        try:
            first = sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        self._forget(sock)
        if not first:
            sock.close()
        elif first[0] == TLS_HANDSHAKE:
            assert self._tasks is not None
            self._tasks.create_task(self._secure(sock))
        else:
            self._door.adopt(sock)

    async def _secure(self, sock: socket.socket) -> None:
        """The usual way from here on."""
        try:
            with suppress(OSError, TimeoutError):  # ssl.SSLError is an OSError
                await self._loop.connect_accepted_socket(
                    self._factory, sock, ssl=self._tls, ssl_handshake_timeout=limits.FIRST_REQUEST_S
                )
        except Exception as error:  # noqa: BLE001 - the boundary of one connection: it ends, the listener goes on
            sock.close()
            log.error("A connection could not be taken", error)

    def _give_up(self, sock: socket.socket) -> None:
        self._forget(sock)
        sock.close()

    def _forget(self, sock: socket.socket) -> None:
        self._looking.pop(sock).cancel()
        self._loop.remove_reader(sock.fileno())


async def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets of all addresses of `host`, as ``loop.create_server`` makes them. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    made: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            made.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
    except OSError:
        for sock in made:
            sock.close()
        raise
    return made
