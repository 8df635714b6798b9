"""The door of the device socket ``/c2s``: who may come in, how many sockets a device holds, and who looks after them.

What is said on an open socket is session.py. No task and no timer belongs to a single session beyond its reader: one ticker a
node looks after all of them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Final, Protocol

from aiohttp import web

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.runtime.log import Log
from node.runtime.net import FrameSocket
from node.services.actor import Actor
from node.web.session import Desk, DeviceSession
from node.wire import c2s

CONGESTED_POLL_S: Final = 0.05  # a reader of requests that waits for its socket to drain looks this often
log = Log("socket")


class SocketAuth(Protocol):
    """Who opens a socket."""

    def socket_actor(self, request: web.Request) -> Actor:
        """The signed-in account behind the upgrade request. Raises Rejected (not signed in, cross site)."""


class SocketDoor:
    """Accepts device sockets and looks after them. A `runtime.lifecycle.Service`."""

    name = "sockets"

    def __init__(self, *, desk: Desk, auth: SocketAuth) -> None:
        self._desk = desk
        self._auth = auth
        self._sessions: set[DeviceSession] = set()
        self._by_device: defaultdict[int, list[DeviceSession]] = defaultdict(list)
        self._stopping = False

    @property
    def count(self) -> int:
        """Open sockets."""
        return len(self._sessions)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """``GET /c2s`` with an upgrade. Refuses before the upgrade with an ordinary HTTP error."""
        if self._stopping:
            raise Rejected(Code.UPGRADING, "The node restarts; come back in a moment.", retry_after_s=2)
        actor = self._auth.socket_actor(request)
        # up to twice the limit a message is read and refused with a reason; beyond, the library ends the socket with 1009
        ws = web.WebSocketResponse(
            protocols=(c2s.SUBPROTOCOL,), max_msg_size=2 * limits.FRAME_BYTES_MAX, compress=False, timeout=1.0
        )
        try:
            await ws.prepare(request)
        except web.HTTPBadRequest:
            raise Rejected(Code.BAD_REQUEST, "This address speaks WebSocket only.") from None
        transport = request.transport
        if transport is None:
            return ws
        socket = FrameSocket(ws, transport, request.remote or "")
        session = DeviceSession(desk=self._desk, actor=actor, socket=socket)
        self._enter(session)
        try:
            if ws.ws_protocol != c2s.SUBPROTOCOL:
                session.end(Code.UNSUPPORTED, f"Ask for the subprotocol {c2s.SUBPROTOCOL}.")
            else:
                await _serve(session, socket)
        finally:
            self._leave(session)
        return ws

    async def run(self, ready: Callable[[], None]) -> None:
        """The ticker of all sessions."""
        ready()
        while True:
            await asyncio.sleep(1)
            now = self._desk.clock.monotonic()
            for session in list(self._sessions):
                session.tick(now)

    def stop(self) -> None:
        """Tells every device that the node restarts, and takes no more."""
        self._stopping = True
        self._desk.calls.stop()
        for session in list(self._sessions):
            session.end(Code.UPGRADING, "The node restarts; come back in a moment.")

    def _enter(self, session: DeviceSession) -> None:
        mine = self._by_device[session.actor.device_pk]
        if len(mine) >= limits.SOCKETS_PER_DEVICE_MAX:
            mine[0].end(Code.CONFLICT, "This device has opened newer connections.")
        mine.append(session)
        self._sessions.add(session)

    def _leave(self, session: DeviceSession) -> None:
        self._sessions.discard(session)
        mine = self._by_device[session.actor.device_pk]
        mine.remove(session)
        if not mine:
            del self._by_device[session.actor.device_pk]
        session.closed()


async def _serve(session: DeviceSession, socket: FrameSocket) -> None:
    try:
        while (data := await socket.receive()) is not None and not session.ended:
            session.receive(data)
            while session.congested and not session.ended:  # noqa: ASYNC110 - a transport's buffer has no event to wait for
                await asyncio.sleep(CONGESTED_POLL_S)
    except Rejected as error:
        session.end(error.code, error.text)
    except RemoteError as error:
        session.end(Code.BAD_REQUEST, f"{error}.")
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception as error:  # noqa: BLE001 - the boundary of one device: its socket ends, the node goes on
        log.error("A device session failed", error)
        session.end(Code.INTERNAL, "The node made a mistake; try again, and tell its admin.")
