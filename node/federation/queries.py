"""Questions between nodes that belong to no room: ``ping``, ``who`` and ``dialback``.

========  ==========================  ==============================================================================
method    args                        answer
========  ==========================  ==============================================================================
ping      up to 1 KiB                 the same bytes
who       nid, 32 bytes               the newest signed location record known here of the asker itself, of this node, or
                                      of a node in a room that the asker shares; all else is ``not_found``, so that
                                      nobody draws a map of contacts
dialback  msgpack [port, tls]         empty when the asker proves its nid at the address this link comes from;
                                      once a minute
========  ==========================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, Final, Protocol

from msgspec import Meta, Struct

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NODE_ID_BYTES, NodeId
from node.federation.dialer import Dialer
from node.runtime.clock import Clock
from node.services.ports import Candidate
from node.storage.database import Database
from node.storage.peers import Peer, PeerStore
from node.wire import s2s
from node.wire.codec import Decoder

PING_BYTES_MAX: Final = 1024
REMEMBERED: Final = 4_096


class Dialback(Struct, frozen=True, array_like=True):
    """Where the asker believes it can be dialled."""

    port: Annotated[int, Meta(ge=1, le=65_535)]
    tls: bool


_decode_dialback: Decoder[Dialback] = Decoder(Dialback, size_bytes_max=64, what="request")


class Acquaintances(Protocol):
    """Who has to do with whom here (`services.exchange.Exchange`)."""

    def share_room(self, peer: Peer, nid: NodeId) -> bool:
        """Whether a room has members of both nodes."""

    def own_record(self) -> bytes:
        """This node's newest location record; empty when it publishes none."""


class Queries:
    """Implements `session.Answers`."""

    def __init__(
        self,
        *,
        db: Database,
        peers: PeerStore,
        acquaintances: Acquaintances,
        own: NodeId,
        clock: Clock,
        dialer: Callable[[], Dialer],
    ) -> None:
        self._db = db
        self._peers = peers
        self._acquaintances = acquaintances
        self._own = own
        self._clock = clock
        self._dialer = dialer
        self._dialled: dict[NodeId, float] = {}

    async def serve(self, peer: Peer, address: str, method: str, args: bytes) -> bytes | None:
        """None: somebody else answers this. Raises Rejected."""
        match method:
            case "ping":
                return args[:PING_BYTES_MAX]
            case "who":
                return self._who(peer, args)
            case "dialback":
                return await self._dialback(peer, address, _decode_dialback(args))
            case _:
                return None

    def _who(self, peer: Peer, args: bytes) -> bytes:
        if len(args) != NODE_ID_BYTES:
            raise Rejected(Code.BAD_REQUEST, "A node id has 32 bytes.")
        nid = NodeId(args)
        record = b""
        if nid == self._own:
            record = self._acquaintances.own_record()
        elif nid == peer.nid or self._acquaintances.share_room(peer, nid):
            row = self._db.view(lambda tx: self._peers.find(tx, nid))
            record = row.record if row is not None else b""
        if not record:
            raise Rejected(Code.NOT_FOUND, "Nothing is known of this node.")
        return record

    async def _dialback(self, peer: Peer, address: str, wanted: Dialback) -> bytes:
        now = self._clock.monotonic()
        if now - self._dialled.get(peer.nid, -limits.DIALBACK_S) < limits.DIALBACK_S:
            raise Rejected(Code.RATE_LIMITED, "Once a minute.", retry_after_s=limits.DIALBACK_S)
        if len(self._dialled) >= REMEMBERED:
            self._dialled.clear()
        self._dialled[peer.nid] = now
        try:
            ip = ip_address(address.partition("%")[0])
            host = f"[{ip}]" if ip.version == 6 else f"{ip}"
            url = f"{'wss' if wanted.tls else 'ws'}://{host}:{wanted.port}{s2s.PATH}"
            await self._dialer().prove(peer.nid, Candidate(url, "dialback"))
        except (OSError, RemoteError, TimeoutError, ValueError):
            raise Rejected(Code.PEER_UNREACHABLE, "This node does not answer at that address and port.") from None
        return b""
