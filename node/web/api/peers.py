"""Other nodes, for admins: who they are, how they are reached, what waits for them, and whether we talk to them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Protocol

from node.base.errors import Code, Rejected
from node.base.ids import NodeId, format_node, parse_node
from node.services.introductions import Introductions
from node.services.peers import Peers, PeerState
from node.services.probe import Probe
from node.web.endpoints import Access, Call, endpoint
from node.wire import api
from node.wire.safety import safety_phrase


class Neighbour(Protocol):
    """One of them."""

    @property
    def nid(self) -> NodeId:
        """Who it says it is."""

    @property
    def addresses(self) -> Sequence[object]:
        """Where it says it is."""


WORDS_KEPT: Final = 64  # phrases of 12 words


class Neighbours(Protocol):
    """Nodes of the local network (`discovery.service.Discovery`)."""

    def nearby(self) -> Sequence[Neighbour]:
        """Those that were heard of in the last two minutes."""


class Outlook(Protocol):
    """How this node looks from outside (`discovery.outlook.Outlook`)."""

    def report(self) -> api.peers.Reach:
        """What is known now."""

    async def call_back(self) -> api.peers.CallBacks:
        """Asks linked peers to connect to this node."""


class PeerResource:
    """``/admin/peers``, ``/admin/trace``, ``/admin/reach`` and ``/nearby``."""

    def __init__(
        self,
        *,
        node: NodeId,
        peers: Peers,
        introductions: Introductions,
        neighbours: Neighbours,
        probe: Probe,
        outlook: Outlook,
    ) -> None:
        self._node = node
        self._peers = peers
        self._introductions = introductions
        self._neighbours = neighbours
        self._probe = probe
        self._outlook = outlook

    @endpoint("GET", "/admin/peers", answer=api.peers.Peers, access=Access.ADMIN)
    async def list_peers(self, call: Call[None]) -> api.peers.Peers:
        """Every node that is known here, linked ones first."""
        return api.peers.Peers(peers=[self._shown(state, words=False) for state in await self._peers.all()])

    @endpoint(
        "POST", "/admin/peers", request=api.people.Meet, answer=api.peers.Peer, access=Access.ADMIN,
        errors=(Code.NAME_INVALID, Code.INVITE_INVALID, Code.PEER_UNREACHABLE, Code.KEY_CHANGED, Code.NODE_BLOCKED, Code.CONFLICT),
    )  # fmt: skip
    async def add_peer(self, call: Call[api.people.Meet]) -> api.peers.Peer:
        """Connects to the node of a domain, address or link, now; where only allowed nodes are talked to, it is allowed by this."""
        text = call.body.address.strip()
        found = await self._introductions.meet_node(text, admit=True)
        return self._shown(self._peers.get(found))

    @endpoint("GET", "/admin/peers/{node}", answer=api.peers.Peer, access=Access.ADMIN, errors=(Code.NOT_FOUND,))
    async def show_peer(self, call: Call[None]) -> api.peers.Peer:
        """One node, with its addresses and the words to compare with its admin."""
        return self._shown(self._peers.get(_node_in(call)))

    @endpoint(
        "PATCH", "/admin/peers/{node}", request=api.peers.ChangePeer, answer=api.peers.Peer, access=Access.ADMIN,
        errors=(Code.NOT_FOUND,),
    )  # fmt: skip
    async def change_peer(self, call: Call[api.peers.ChangePeer]) -> api.peers.Peer:
        """Blocks a node, talks to it again, or allows it where only allowed nodes are talked to."""
        nid = _node_in(call)
        await self._peers.set_policy(nid, call.body.policy)
        return self._shown(self._peers.get(nid))

    @endpoint(
        "POST", "/admin/peers/{node}/dial", answer=api.peers.Peer, access=Access.ADMIN,
        errors=(Code.NOT_FOUND, Code.PEER_UNREACHABLE, Code.KEY_CHANGED, Code.NODE_BLOCKED, Code.CONFLICT),
    )  # fmt: skip
    async def dial_peer(self, call: Call[None]) -> api.peers.Peer:
        """Connects now, or measures the round trip of the open link."""
        nid = _node_in(call)
        self._peers.get(nid)
        await self._introductions.meet_node(format_node(nid))
        return self._shown(self._peers.get(nid))

    @endpoint(
        "POST", "/admin/peers/{node}/ping", answer=api.peers.PingPeer, access=Access.ADMIN,
        errors=(Code.NOT_FOUND, Code.PEER_OFFLINE),
    )  # fmt: skip
    async def ping_peer(self, call: Call[None]) -> api.peers.PingPeer:
        """Measures one round trip over the open link."""
        nid = _node_in(call)
        self._peers.get(nid)
        return api.peers.PingPeer(rtt_ms=await self._probe.ping(nid))

    @endpoint(
        "POST", "/admin/trace", request=api.people.Meet, answer=api.peers.Trace, access=Access.ADMIN,
        errors=(Code.NAME_INVALID, Code.INVITE_INVALID, Code.CONFLICT),
    )  # fmt: skip
    async def trace(self, call: Call[api.people.Meet]) -> api.peers.Trace:
        """How the node of a domain, id, address or link is looked for: what each source says, and who answers at each address."""
        found = await self._probe.trace(call.body.address)
        steps = [
            api.peers.TraceStep(
                source=step.source,
                url=step.url,
                cause=step.cause,
                text=step.text,
                fine=step.fine,
                at_ms=step.at_ms,
                took_ms=step.took_ms,
            )
            for step in found.steps
        ]
        return api.peers.Trace(node="" if found.nid is None else format_node(found.nid), steps=steps)

    @endpoint("GET", "/admin/reach", answer=api.peers.Reach, access=Access.ADMIN)
    async def show_reach(self, call: Call[None]) -> api.peers.Reach:
        """How this node looks from outside, and what its domain should say."""
        return self._outlook.report()

    @endpoint("POST", "/admin/reach/call-back", answer=api.peers.CallBacks, access=Access.ADMIN)
    async def call_back(self, call: Call[None]) -> api.peers.CallBacks:
        """Asks linked peers to connect to this node; each does so once a minute."""
        return await self._outlook.call_back()

    @endpoint("GET", "/nearby", answer=api.peers.Nearby, access=Access.USER)
    async def nearby(self, call: Call[None]) -> api.peers.Nearby:
        """Nodes in the same local network; an address proves nothing, pairing does."""
        return api.peers.Nearby(
            nodes=[
                api.peers.NearbyNode(
                    node=format_node(one.nid),
                    name=self._peers.name_of(one.nid),
                    addresses=[str(address) for address in one.addresses],
                )
                for one in self._neighbours.nearby()
            ]
        )

    def _shown(self, state: PeerState, *, words: bool = True) -> api.peers.Peer:
        return api.peers.Peer(
            node=format_node(state.nid),
            domain=state.domain,
            domain_state=state.domain_state,
            policy=state.policy,  # type: ignore[arg-type]  # the same words
            state=state.state,  # type: ignore[arg-type]
            path=state.path,
            seen_ms=state.seen_ms,
            rtt_ms=state.rtt_ms,
            skew_ms=state.skew_ms,
            queue_rows=state.queue_rows,
            queue_bytes=state.queue_bytes,
            under_way=state.under_way,
            refused=state.refused,
            rotations=state.rotations,
            incarnation=state.incarnation,
            dialled_ms=state.dialled_ms,
            dial_cause=state.dial_cause,
            dial_error=state.dial_error,
            addresses=[address.url for address in state.addresses],
            safety=_words(self._node, state.nid) if words else "",
        )


@lru_cache(maxsize=WORDS_KEPT)
def _words(node: NodeId, other: NodeId) -> str:
    """The safety phrase; slow on purpose, and asked for again while somebody looks at the page."""
    return " ".join(safety_phrase(node, other))


def _node_in(call: Call[Any]) -> NodeId:
    try:
        return parse_node(call.match["node"])
    except ValueError:
        raise Rejected(Code.NOT_FOUND, "Nothing is known of such a node.") from None
