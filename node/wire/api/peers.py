"""Other nodes, how they are found, and how this one looks from outside."""

from __future__ import annotations

from typing import Literal

from node.wire.api.base import Answer, Request


class Peer(Answer, frozen=True, kw_only=True):
    """Another node. Times are unix ms, 0 for never; `path` is how the open link came about; `refused` items of it are in quarantine;
    `safety` are twelve words to compare with its admin, only when a single node is asked for; `dial_cause` is one word for why the last
    attempt failed, empty when it did not (`services.causes.Cause`), `dial_error` the text."""

    node: str
    domain: str
    domain_state: str
    policy: Literal["open", "allow", "block"]
    state: Literal["linked", "dialling", "offline"]
    path: str
    seen_ms: int
    rtt_ms: float | None
    skew_ms: int
    queue_rows: int
    queue_bytes: int
    under_way: int
    refused: int
    rotations: int
    incarnation: int
    dialled_ms: int
    dial_cause: str
    dial_error: str
    addresses: list[str]
    safety: str


class Peers(Answer, frozen=True, kw_only=True):
    """All of them."""

    peers: list[Peer]


class ChangePeer(Request, frozen=True, kw_only=True):
    """``open``: as everybody; ``allow``: also where only allowed nodes are talked to; ``block``: no link at all."""

    policy: Literal["open", "allow", "block"]


class PingPeer(Answer, frozen=True, kw_only=True):
    """One round trip over the open link."""

    rtt_ms: float


class TraceStep(Answer, frozen=True, kw_only=True):
    """What a source of addresses said (`url` is empty), or what happened at an address. `fine` is false when it led nowhere;
    `cause` then is one word for why an address failed."""

    source: str
    url: str
    cause: str
    text: str
    fine: bool
    at_ms: float
    took_ms: float


class Trace(Answer, frozen=True, kw_only=True):
    """How a node is looked for; `node` is empty when nobody says which one is meant."""

    node: str
    steps: list[TraceStep]


class Reach(Answer, frozen=True, kw_only=True):
    """How this node looks from outside. `mapping` is ``off``, the protocol that a router granted a port by, or empty; `txt` and
    `well_known` are what the domain should show."""

    standing: Literal["no_https", "public", "cgnat", "unproved", "private"]
    port: int
    published: list[str]
    unproved: list[str]
    mapping: str
    outside: str
    mapping_problem: str
    domain: str
    txt: str
    well_known: str


class CallBack(Answer, frozen=True, kw_only=True):
    """Whether a peer reached this node at the address that its link comes from."""

    node: str
    reached: bool
    code: str
    text: str


class CallBacks(Answer, frozen=True, kw_only=True):
    """One for each linked peer that was asked."""

    calls: list[CallBack]


class NearbyNode(Answer, frozen=True, kw_only=True):
    """A node in the local network; the name is its domain when that was proved, else its id."""

    node: str
    name: str
    addresses: list[str]


class Nearby(Answer, frozen=True, kw_only=True):
    """Nodes heard of in the last two minutes."""

    nodes: list[NearbyNode]
