"""Asks open links "who knows this node?" (federation.md section 6, step 7). A record proves itself, so anybody may be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from node.base import limits
from node.base.errors import Rejected, RemoteError
from node.base.ids import NodeId
from node.services.ports import PeerLinks


class PeerGossip:
    """Implements `resolver.Gossip` over links."""

    def __init__(self, *, links: PeerLinks, linked: Callable[[], Sequence[NodeId]]) -> None:
        """`linked` gives the nodes with an open link, the busiest first."""
        self._links = links
        self._linked = linked

    async def who(self, nid: NodeId) -> Sequence[bytes]:
        """What up to `GOSSIP_PEERS_MAX` peers have; those that do not know, or do not say, give nothing."""
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(self._ask(peer, nid))
                for peer in self._linked()[: limits.GOSSIP_PEERS_MAX]
                if peer != nid
            ]
        return [raw for task in asked if (raw := task.result())]

    async def _ask(self, peer: NodeId, nid: NodeId) -> bytes:
        try:
            async with asyncio.timeout(limits.GOSSIP_S):
                return await self._links.request(peer, "who", bytes(nid))
        except (Rejected, RemoteError, TimeoutError):
            return b""
