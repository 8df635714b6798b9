"""How this node looks from outside, in words for its admin: the verdict, what the router does, what the domain should say; and
peers that call back when asked to.

It draws no conclusion of its own: the verdict is that of reachability.py, which publishes nothing before two unrelated peers
have called back. A peer here may be a friend in the same room; the line says who it was.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, Literal

from node.base.errors import Rejected
from node.base.ids import format_node
from node.discovery.gossip import Links
from node.discovery.reachability import Endpoint
from node.discovery.service import Discovery
from node.discovery.witnesses import DIALBACK
from node.services.peers import PeerLink
from node.services.wellknown import WellKnownPage
from node.wire import api
from node.wire.codec import encode
from node.wire.location import Flag, Spot

CALLED_MAX: Final = 4  # peers that are asked at once
Standing = Literal["no_https", "public", "cgnat", "unproved", "private"]


class Outlook:
    """Reads what discovery knows."""

    def __init__(
        self,
        *,
        discovery: Discovery,
        page: WellKnownPage,
        domain: str,
        port: Callable[[], int],
        links: Callable[[], Links],
    ) -> None:
        """`port` is the one that peers outside would use, 0 without HTTPS."""
        self._discovery = discovery
        self._page = page
        self._domain = domain
        self._port = port
        self._links = links

    def report(self) -> api.peers.Reach:
        """What is known now."""
        portmap, verdict = self._discovery.portmap, self._discovery.verdict()
        status = None if portmap is None else portmap.status
        body = self._page.body()
        return api.peers.Reach(
            standing=self._standing(),
            port=self._port(),
            published=[_spot_text(spot) for spot in verdict.spots],
            unproved=[_text(endpoint) for endpoint in verdict.due],
            mapping="off" if status is None else status.method,
            outside="" if status is None or status.outside is None else _text(status.outside),
            mapping_problem="" if status is None else status.problem,
            domain=self._domain,
            txt=self._page.txt_line(self._discovery.seq) if body is not None else "",
            well_known=json.dumps(body) if body is not None else "",
        )

    def _standing(self) -> Standing:
        verdict = self._discovery.verdict()
        if not self._port():
            return "no_https"
        if Flag.PUBLIC in verdict.flags:
            return "public"
        if Flag.CGNAT in verdict.flags:
            return "cgnat"
        return "unproved" if verdict.due else "private"

    async def call_back(self) -> api.peers.CallBacks:
        """Asks up to `CALLED_MAX` linked peers, the quickest first, to connect to our port at the address they see."""
        port = self._port()
        links = sorted(self._links().open_links(), key=lambda link: link.rtt_ms or float("inf")) if port else []
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._ask(link, port)) for link in links[:CALLED_MAX]]
        return api.peers.CallBacks(calls=[task.result() for task in asked])

    async def _ask(self, link: PeerLink, port: int) -> api.peers.CallBack:
        try:
            await self._links().request(link.nid, DIALBACK, encode((port, True)))
        except Rejected as refusal:
            return api.peers.CallBack(node=format_node(link.nid), reached=False, code=refusal.code, text=refusal.text)
        return api.peers.CallBack(node=format_node(link.nid), reached=True, code="", text="")


def _text(endpoint: Endpoint) -> str:
    return f"[{endpoint.ip}]:{endpoint.port}" if ":" in endpoint.ip else f"{endpoint.ip}:{endpoint.port}"


def _spot_text(spot: Spot) -> str:
    return _text(Endpoint(str(ip_address(spot.ip)), spot.port))
