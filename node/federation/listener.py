"""Accepts links: from an upgraded socket to a proved peer. Implements `services.ports.PeerDoor`.

Before anything costs more than an upgrade the address must pass the gate (proto/gate.py); then the other side has `HANDSHAKE_S` for
its two messages. Whoever fails learns nothing: the socket closes without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.federation.proto.gate import Gate, network_of
from node.federation.proto.handshake import Channel, Handshake, OwnIdentity, Proven, Role
from node.federation.session import CLOSE_BAD_FRAME, LinkSocket
from node.runtime.clock import Clock
from node.runtime.log import Log
from node.wire.keys import Certified

if TYPE_CHECKING:
    from node.runtime.net import FrameSocket

Accept = Callable[[Certified], None]
Serve = Callable[[LinkSocket, Proven, Channel], Awaitable[None]]
log = Log("federation.listener")


class Listener:
    """`accept` looks at a proved identity and raises RemoteError; `serve` runs the link to its end; `end` ends those it runs."""

    def __init__(
        self,
        *,
        identity: OwnIdentity,
        clock: Clock,
        accept: Accept,
        serve: Serve,
        is_known: Callable[[str], bool],
        end: Callable[[], None],
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._accept = accept
        self._serve = serve
        self._is_known = is_known
        self._end = end
        self._gate = Gate()
        self.stopping = False

    @property
    def half_open(self) -> int:
        """Connections that have not proved who they are."""
        return self._gate.total

    def admit(self, address: str) -> None:
        """Before the upgrade. Raises Rejected."""
        if self.stopping:
            raise Rejected(Code.UPGRADING, "The node restarts; come back in a moment.", retry_after_s=2)
        known = self._is_known(address)
        if not self._gate.may_enter(network_of(address), self._clock.monotonic(), known=known):
            raise Rejected(
                Code.RATE_LIMITED, "Too many links begin from this address; wait a minute.", retry_after_s=60
            )

    async def handle(self, socket: FrameSocket, certificate: bytes | None) -> None:
        """The connection to its end."""
        try:
            handshake = await self._prove(socket, certificate)
        except (RemoteError, TimeoutError, ConnectionError) as error:
            log.debug("A link was not accepted", reason=str(error) or "too slow")
            socket.close(CLOSE_BAD_FRAME)
            return
        if handshake is None:
            return
        assert handshake.proven is not None
        assert handshake.channel is not None
        await self._serve(socket, handshake.proven, handshake.channel)

    def stop(self) -> None:
        """The web server goes: every link that came through it ends."""
        self._end()

    async def _prove(self, socket: FrameSocket, certificate: bytes | None) -> Handshake | None:
        network, known = network_of(socket.address), self._is_known(socket.address)
        self._gate.enter(network, known=known)
        try:
            handshake = Handshake(
                role=Role.RESPONDER,
                own=self._identity,
                target=self._identity.nid,
                now_s=self._clock.now_ms() // 1000,
                accept=self._accept,
                binding=certificate,
            )
            async with asyncio.timeout(limits.HANDSHAKE_S):
                return handshake if await shake(handshake, socket) else None
        finally:
            self._gate.leave(network, known=known)


async def shake(handshake: Handshake, socket: LinkSocket) -> bool:
    """Runs a handshake on a socket; False when the connection ended before. Raises RemoteError."""
    for message in handshake.to_send():
        socket.send(message)
    while handshake.proven is None:
        data = await socket.receive()
        if data is None:
            return False
        handshake.receive(data)
        for message in handshake.to_send():
            socket.send(message)
    return True
