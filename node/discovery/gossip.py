"""Asks open links "who knows this node?" (federation.md section 6, step 7). A record proves itself, so anybody may be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from node.base import limits
from node.base.errors import Rejected, RemoteError
from node.base.ids import NodeId
from node.services.peers import PeerLink

WHO = "who"


class Links(Protocol):
    """Open links to other nodes (`federation.service.Federation`)."""

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        """The peer's answer. Raises Rejected."""

    def open_links(self) -> Sequence[PeerLink]:
        """All of them."""


class PeerGossip:
    """Implements `resolver.Gossip` over links."""

    def __init__(self, *, links: Callable[[], Links]) -> None:
        """`links` is called when they are needed: links need the resolver, which needs this."""
        self._links = links

    async def who(self, nid: NodeId) -> Sequence[bytes]:
        """What up to `GOSSIP_PEERS_MAX` peers have, the quickest first; who does not know gives nothing."""
        links = sorted(self._links().open_links(), key=lambda link: link.rtt_ms or float("inf"))
        peers = [link.nid for link in links if link.nid != nid][: limits.GOSSIP_PEERS_MAX]
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._ask(peer, nid)) for peer in peers]
        return [raw for task in asked if (raw := task.result())]

    async def _ask(self, peer: NodeId, nid: NodeId) -> bytes:
        try:
            async with asyncio.timeout(limits.GOSSIP_S):
                return await self._links().request(peer, WHO, bytes(nid))
        except (Rejected, RemoteError, TimeoutError):
            return b""
