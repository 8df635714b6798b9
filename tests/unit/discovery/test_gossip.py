"""Peers are asked who knows a node: a few, the quickest first, and silence is no fault."""

from __future__ import annotations

from collections.abc import Sequence

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId
from node.discovery.gossip import PeerGossip
from node.services.peers import PeerLink
from tests.unit.discovery.records import nid_of

ALICE = nid_of("alice")


def link(name: str, *, rtt_ms: float | None = None, address: str = "1.1.1.1") -> PeerLink:
    return PeerLink(
        nid=nid_of(name), address=address, url="", dialled=True, age_s=1, rtt_ms=rtt_ms, skew_ms=0, under_way=0
    )


class Links:
    def __init__(self, *links: PeerLink) -> None:
        self.links = links
        self.asked: list[NodeId] = []

    def open_links(self) -> Sequence[PeerLink]:
        return self.links

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        assert (method, args) == ("who", bytes(ALICE))
        self.asked.append(nid)
        if nid == nid_of("mute"):
            raise Rejected(Code.NOT_FOUND, "Nothing is known of this node.")
        return b"record" if nid == nid_of("bob") else b""


async def test_what_peers_have_comes_back() -> None:
    links = Links(link("slow"), link("bob", rtt_ms=5), link("mute", rtt_ms=1), link("alice", rtt_ms=1))
    assert await PeerGossip(links=lambda: links).who(ALICE) == [b"record"]
    assert links.asked == [nid_of("mute"), nid_of("bob"), nid_of("slow")], "and never the node itself"


async def test_few_are_asked() -> None:
    links = Links(*(link(f"peer {number}") for number in range(limits.GOSSIP_PEERS_MAX + 3)))
    assert await PeerGossip(links=lambda: links).who(ALICE) == []
    assert len(links.asked) == limits.GOSSIP_PEERS_MAX
    assert limits.GOSSIP_S <= 5
