"""What peers see of us: only of links that we dialled, only addresses."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from node.base.errors import Code, Rejected
from node.base.ids import NodeId
from node.discovery.reachability import OBSERVERS_MAX, Witness
from node.discovery.witnesses import LinkWitnesses
from node.services.peers import PeerLink
from node.storage.peers import Peer
from node.wire.codec import encode
from node.wire.s2s import Hello
from tests.unit.discovery.records import nid_of
from tests.unit.discovery.test_gossip import link

BOB = nid_of("bob")


class Links:
    def __init__(self, *links: PeerLink, reached: bool = True) -> None:
        self.links = links
        self.reached = reached
        self.asked: list[tuple[NodeId, str, bytes]] = []

    def open_links(self) -> Sequence[PeerLink]:
        return self.links

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        self.asked.append((nid, method, args))
        if not self.reached:
            raise Rejected(Code.PEER_UNREACHABLE, "This node does not answer at that address and port.")
        return b""


def peer(nid: NodeId) -> Peer:
    return Peer(1, nid, b"", 1, 0)


def hello(address: str) -> Hello:
    return Hello(bytes(8), None, 0, 0, 1, 1, (), address)


async def test_a_hello_says_where_we_are_and_a_dial_back_proves_it() -> None:
    links, told = Links(link("bob", address="9.9.9.9")), list[tuple[Witness, str]]()
    witnesses = LinkWitnesses(links=lambda: links, observed=lambda witness, ip: told.append((witness, ip)))
    witnesses.heard(peer(BOB), hello("8.8.4.4"), dialled=True)
    assert told == [(Witness(BOB, "9.9.9.9"), "8.8.4.4")]
    assert witnesses.witnesses() == [Witness(BOB, "9.9.9.9")]
    assert await witnesses.dial_back(BOB, 8443) == "8.8.4.4"
    assert links.asked == [(BOB, "dialback", encode((8443, True)))]


@pytest.mark.parametrize(("address", "dialled"), [("8.8.4.4", False), ("nonsense", True), ("", True)])
async def test_other_hellos_say_nothing(address: str, dialled: bool) -> None:
    links, told = Links(link("bob")), list[str]()
    witnesses = LinkWitnesses(links=lambda: links, observed=lambda witness, ip: told.append(ip))
    witnesses.heard(peer(BOB), hello(address), dialled=dialled)
    assert told == []
    assert await witnesses.dial_back(BOB, 8443) == ""
    assert not links.asked


async def test_a_dial_back_that_fails_is_the_peers_refusal() -> None:
    links = Links(link("bob"), reached=False)
    witnesses = LinkWitnesses(links=lambda: links, observed=lambda witness, ip: None)
    witnesses.heard(peer(BOB), hello("8.8.4.4"), dialled=True)
    with pytest.raises(Rejected, match="does not answer"):
        await witnesses.dial_back(BOB, 8443)


def test_few_words_are_kept() -> None:
    witnesses = LinkWitnesses(links=lambda: Links(link("x", address="weird")), observed=lambda witness, ip: None)
    for number in range(OBSERVERS_MAX + 3):
        witnesses.heard(peer(nid_of(f"peer {number}")), hello("8.8.4.4"), dialled=True)
    assert len(witnesses._seen) == OBSERVERS_MAX
    assert witnesses.witnesses() == []
