"""What peers see of us over their links: from which address we come, and whether they reach us when they dial back.

A peer dials only the address that the link comes from (federation/queries.py), which its hello told us; so the endpoint that
it proves is that address with the port we asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

from node.base.ids import NodeId
from node.discovery.gossip import Links
from node.discovery.reachability import OBSERVERS_MAX, Witness
from node.storage.peers import Peer
from node.wire.codec import encode
from node.wire.s2s import Hello

DIALBACK: Final = "dialback"


class LinkWitnesses:
    """Implements `service.Dialback`, and `federation.session.Hints` by its shape."""

    def __init__(self, *, links: Callable[[], Links], observed: Callable[[Witness, str], None]) -> None:
        """`observed` is told what each hello says about our address."""
        self._links = links
        self._observed = observed
        self._seen: dict[NodeId, str] = {}

    def heard(self, peer: Peer, hello: Hello, *, dialled: bool) -> None:
        """A peer said hello. Its word about our address counts when we dialled: else it is the one that it dialled."""
        if not dialled or not _is_address(hello.address):
            return
        self._seen.pop(peer.nid, None)
        self._seen[peer.nid] = hello.address
        if len(self._seen) > OBSERVERS_MAX:
            del self._seen[next(iter(self._seen))]
        for witness in self.witnesses():
            if witness.nid == peer.nid:
                self._observed(witness, hello.address)

    def witnesses(self) -> Sequence[Witness]:
        """Peers with an open link that told where they see us."""
        return [Witness(link.nid, link.address) for link in self._links().open_links() if _is_address(link.address)]

    async def dial_back(self, nid: NodeId, port: int) -> str:
        """The address at which `nid` reached us. Raises Rejected if it did not."""
        seen = self._seen.get(nid, "")
        if seen:
            await self._links().request(nid, DIALBACK, encode((port, True)))
        return seen


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
