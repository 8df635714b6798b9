"""Which domain a linked node has. A domain is shown as somebody's address only when both say so: the node names it in the record
it signs, and the domain names the node.

    a link opens -> the node's own record (``who``) -> the domain in it -> its well-known page and zone -> pin

The first proof pins the domain to the node; what the domain says later replaces no pin (services/peers.py).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from node.base.errors import Rejected, RemoteError
from node.base.ids import NodeId
from node.discovery.gossip import WHO, Links
from node.runtime.clock import Clock
from node.runtime.lifecycle import Ready
from node.runtime.log import Log
from node.wire.location import LocBody
from node.wire.record import Verifier

log = Log("discovery.domains")
WAITING_MAX: Final = 256  # nodes; who finds no place is asked when its next link opens
AGAIN_S: Final = 600  # a node that changes its mind or comes back is not asked about more often
REMEMBERED: Final = 4_096
PROOF: Final = "domain and record"


class Owners(Protocol):
    """`discovery.resolver.Resolver`."""

    async def who_owns(self, domain: str) -> NodeId:
        """The node that `domain` names. Raises Rejected."""


class Pins(Protocol):
    """`services.peers.Peers`."""

    def has_domain(self, nid: NodeId) -> bool:
        """Whether a domain of `nid` is proved."""

    async def pin_domain(self, nid: NodeId, domain: str, proof: str) -> None:
        """Both say so. Raises Rejected with `key_changed`."""


class Domains:
    """A `lifecycle.Service`: asks about one node after the other."""

    name = "domains"

    def __init__(
        self, *, links: Callable[[], Links], owners: Owners, pins: Pins, verify: Verifier, clock: Clock
    ) -> None:
        self._links = links
        self._owners = owners
        self._pins = pins
        self._verify = verify
        self._clock = clock
        self._asked_s: OrderedDict[NodeId, float] = OrderedDict()
        self._waiting: asyncio.Queue[NodeId] = asyncio.Queue(WAITING_MAX)

    def heard(self, nid: NodeId) -> None:
        """`nid` has a link now."""
        now_s = self._clock.monotonic()
        if now_s - self._asked_s.get(nid, -AGAIN_S) < AGAIN_S or self._waiting.full() or self._pins.has_domain(nid):
            return
        self._asked_s[nid] = now_s
        if len(self._asked_s) > REMEMBERED:
            self._asked_s.popitem(last=False)
        self._waiting.put_nowait(nid)

    async def run(self, ready: Ready) -> None:
        """Until cancelled."""
        ready()
        while True:
            await self.check(await self._waiting.get())

    async def check(self, nid: NodeId) -> None:
        """Pins the domain that `nid` names, if it names `nid`. Whatever is wrong leaves things as they are."""
        try:
            domain = self._named(nid, await self._links().request(nid, WHO, bytes(nid)))
            if domain and await self._owners.who_owns(domain) == nid:
                await self._pins.pin_domain(nid, domain, PROOF)
        except (Rejected, RemoteError) as error:
            log.info("A node has no domain that can be proved now", reason=str(error))

    def _named(self, nid: NodeId, raw: bytes) -> str:
        """The domain in a record of `nid`; empty if it names none. Raises RemoteError."""
        record = self._verify(raw, now_s=self._clock.now_ms() // 1000)
        return record.body.domain if record.nid == nid and isinstance(record.body, LocBody) else ""
