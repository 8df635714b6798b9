"""Runs what discovery needs to run, and says where this node is: to neighbours, to its router, and in its signed record.

    addresses of the machine ─┐
    mapping of the router ────┤                          every hour, or 30 s after a change
    what peers see ───────────┼─> Reachability ─> verdict ─────────────> signed record ─> board (DHT), contacts, well-known
    peers that dialled back ──┘

Each part may be missing: a node without mDNS, DHT, router and Internet still has its addresses and its links. Collaborators
are Protocols, implemented by other layers and joined in node/main.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Protocol

from msgspec import Struct

from node.base import limits
from node.base.errors import Rejected, RemoteError
from node.base.ids import NodeId
from node.discovery.lan import Lan, machine_addresses
from node.discovery.portmap import PortMap
from node.discovery.proto.neighbours import Neighbour
from node.discovery.reachability import Endpoint, Reachability, Verdict, Witness
from node.discovery.resolver import Resolver
from node.runtime.clock import Clock
from node.runtime.lifecycle import Ready
from node.runtime.log import Log
from node.wire.location import LocBody
from node.wire.record import verify_record

log = Log("discovery.service")
Work = Callable[[], Coroutine[Any, Any, None]]
VERSIONS: Final = (1,)  # of the protocol between nodes


class RecordMaker(Protocol):
    """Signs what this node says (`services.identity.Identity`)."""

    def location(self, body: LocBody) -> bytes:
        """A new location record; its number is on disk before this returns. Raises Rejected with `read_only`."""

    @property
    def statements(self) -> Mapping[bytes, bytes]:
        """Records that only the phrase could make and that hold now, by salt."""

    @property
    def revoked(self) -> bool:
        """Whether the owner ended this identity: then its place is published no more."""


class RecordBoard(Protocol):
    """Where records are shown (`discovery.dht.Dht`)."""

    async def put_record(self, raw: bytes) -> int:
        """How many nodes hold it. Raises RemoteError."""


class Dialback(Protocol):
    """Asks peers over open links to connect to us (method ``dialback``)."""

    def witnesses(self) -> Sequence[Witness]:
        """Peers with an open link that may be asked."""

    async def dial_back(self, nid: NodeId, port: int) -> str:
        """The address at which `nid` reached us with `port`; empty if it did not. Raises Rejected."""


class Published(Struct, frozen=True):
    """The record that this node shows now."""

    raw: bytes
    body: LocBody
    seq: int


class Discovery:
    """A `lifecycle.Service`; also what other parts ask: `nearby`, `record`, `moved`."""

    name = "discovery"

    def __init__(
        self,
        *,
        clock: Clock,
        resolver: Resolver,
        reachability: Reachability,
        maker: RecordMaker,
        domain: str,
        port: Callable[[], int],
        lan: Lan | None = None,
        portmap: PortMap | None = None,
        datagrams: Sequence[PortMap] = (),
        boards: Sequence[RecordBoard] = (),
        dialback: Dialback | None = None,
        network_changed: Callable[[], None] = lambda: None,
        published: Callable[[bytes], None] = lambda raw: None,
        addresses: Callable[[], Sequence[str]] = machine_addresses,
    ) -> None:
        """`port` is the one that peers outside would use: of the HTTPS listener; `portmap` opens it in the router, `datagrams` open
        the UDP ports of other parts. `published` hears of each new own record
        (to tell it over links); `network_changed` resets back-offs."""
        self._clock = clock
        self.resolver = resolver
        self._reachability = reachability
        self._maker = maker
        self._domain = domain
        self._port = port
        self._lan = lan
        self.portmap = portmap
        self._portmaps = (*([portmap] if portmap is not None else []), *datagrams)
        self._boards = tuple(boards)
        self._dialback = dialback
        self._network_changed = network_changed
        self._on_published = published
        self._addresses = addresses
        self._published: Published | None = None
        self._asked_s: dict[NodeId, float] = {}
        self._changed = asyncio.Event()

    # --- what others ask --------------------------------------------------------------------------------

    @property
    def record(self) -> bytes | None:
        """The newest own location record, None before the first."""
        return self._published.raw if self._published is not None else None

    @property
    def seq(self) -> int:
        """Its number; 0 before the first."""
        return self._published.seq if self._published is not None else 0

    def nearby(self) -> tuple[Neighbour, ...]:
        """Nodes that say by mDNS that they are in this network."""
        return self._lan.nearby() if self._lan is not None else ()

    def verdict(self) -> Verdict:
        """What is known about how others reach this node."""
        return self._reachability.verdict(now_s=self._clock.monotonic())

    def observed(self, witness: Witness, ip: str) -> None:
        """A hello of `witness` says that our link comes from `ip`."""
        self._reachability.observed(witness, ip, now_s=self._clock.monotonic())
        self._changed.set()

    def mapped(self, endpoint: Endpoint | None) -> None:
        """The router granted a mapping, or it ended."""
        self._reachability.mapped(endpoint)
        self._changed.set()

    # --- running ----------------------------------------------------------------------------------------

    async def run(self, ready: Ready) -> None:
        """Until cancelled."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.resolver.open())
            self._look_around()
            ready()
            async with asyncio.TaskGroup() as group:
                for work in self._works():
                    group.create_task(work())

    def _works(self) -> list[Work]:
        works: list[Work] = [self._keep_watch, self._keep_published]
        if self._lan is not None:
            works.append(self._lan.run)
        works += [portmap.run for portmap in self._portmaps]
        if self._dialback is not None:
            works.append(self._keep_asking)
        return works

    async def _keep_watch(self) -> None:
        """Notices when the machine moves to another network."""
        before = tuple(self._addresses())
        while True:
            await asyncio.sleep(limits.LAN_WATCH_S)
            now = tuple(self._addresses())
            if now == before:
                continue
            before = now
            self._look_around()
            for portmap in self._portmaps:
                portmap.moved()
            self._network_changed()

    def _look_around(self) -> None:
        port = self._port()
        own = [text for text in self._addresses() if "%" not in text]
        self._reachability.listening([Endpoint(text, port) for text in own] if port else [])
        self._changed.set()

    # --- the record -------------------------------------------------------------------------------------

    async def _keep_published(self) -> None:
        while True:
            await self._publish()
            try:
                async with asyncio.timeout(limits.PUBLISH_EVERY_S):
                    await self._until_different()
            except TimeoutError:
                continue
            await asyncio.sleep(limits.PUBLISH_DEBOUNCE_S)

    async def _until_different(self) -> None:
        """Until the record would say something else than the published one."""
        while self._published is not None and self._body() == self._published.body:
            self._changed.clear()
            await self._changed.wait()

    def _body(self) -> LocBody:
        verdict = self.verdict()
        return LocBody(domain=self._domain, addresses=verdict.spots, versions=VERSIONS, flags=int(verdict.flags))

    async def _publish(self) -> None:
        if not self._maker.revoked:
            await self._publish_location()
        for raw in self._maker.statements.values():
            await self._put(raw)

    async def _publish_location(self) -> None:
        body = self._body()
        try:
            raw = self._maker.location(body)
        except Rejected as error:
            log.warning("The record cannot be signed now", reason=error.text)
            return
        self._published = Published(raw, body, verify_record(raw, now_s=self._clock.now_ms() // 1000).seq)
        self._on_published(raw)
        await self._put(raw)

    async def _put(self, raw: bytes) -> None:
        for board in self._boards:
            try:
                await board.put_record(raw)
            except RemoteError as error:
                log.info("A record was not taken", reason=str(error))

    # --- dial-backs -------------------------------------------------------------------------------------

    async def _keep_asking(self) -> None:
        """Asks unrelated peers to dial what is public and not yet proved."""
        while True:
            await self._ask_peers()
            await asyncio.sleep(limits.REACHABILITY_CHECK_S)

    async def _ask_peers(self) -> None:
        assert self._dialback is not None
        for endpoint in self.verdict().due:
            for witness in self._dialback.witnesses():
                if self._may_ask(witness, endpoint):
                    await self._ask_peer(witness, endpoint)

    def _may_ask(self, witness: Witness, endpoint: Endpoint) -> bool:
        """Only a peer outside of our network can say something, and only once in a while."""
        now_s, asked_s = self._clock.monotonic(), self._asked_s.get(witness.nid)
        rested = asked_s is None or now_s - asked_s >= limits.DIALBACK_ASK_S
        return rested and self._reachability.may_prove(witness, endpoint, now_s=now_s)

    async def _ask_peer(self, witness: Witness, endpoint: Endpoint) -> None:
        """The peer dials the address that it sees, so the answer may prove another endpoint than the one meant."""
        assert self._dialback is not None
        self._asked_s[witness.nid] = self._clock.monotonic()
        try:
            ip = await self._dialback.dial_back(witness.nid, endpoint.port)
        except (Rejected, RemoteError):
            return
        if ip:
            self._reachability.dialled_back(witness, Endpoint(ip, endpoint.port), now_s=self._clock.monotonic())
            self._changed.set()
