"""Neighbours by multicast DNS (RFC 6762, RFC 6763): shows this node as ``_startalk._tcp`` and hears of others.

What is believed is in proto/neighbours.py; here are the sockets, which are zeroconf's. What was learned about it:

* it is always given the addresses to use: its default stalls or fails on machines with several networks;
* it is made anew when the addresses of the machine change;
* a goodbye takes two awaits (the first gives the broadcast, the second sends it);
* our instance name is our nid, so nobody else has it and the 1.7 s of probing are left out;
* its browser keeps state for every name that anybody sends. We listen to the records themselves and ask on our own: at
  the start, when an entry gets old, and when somebody looks for a node.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Final

import ifaddr
from zeroconf import (  # type: ignore[attr-defined]  # the records are public, but not in its __all__
    DNSOutgoing,
    DNSPointer,
    DNSQuestion,
    DNSService,
    DNSText,
    IPVersion,
    RecordUpdate,
    RecordUpdateListener,
    ServiceInfo,
    Zeroconf,
)
from zeroconf.asyncio import AsyncZeroconf

from node.base import limits
from node.base.ids import NodeId, format_node
from node.discovery.proto.neighbours import SERVICE, Claim, Neighbour, Neighbours, instance_of, own_txt, parse_claim
from node.runtime.clock import Clock
from node.runtime.log import Log
from node.runtime.targets import Targets

log = Log("discovery.lan")

# RFC 1035 section 3.2; zeroconf keeps its constants private.
_PTR: Final = 12
_IN: Final = 1
_QUERY: Final = 0
_ASK_AT_S: Final = (1.0, 2.0)  # pauses between the first questions (RFC 6762 section 5.2)
_TTL_S: Final = 120


def machine_addresses() -> tuple[str, ...]:
    """Addresses of this machine in networks with neighbours: all but loopback; link-local IPv6 with its scope."""
    found: dict[str, None] = {}
    for adapter in ifaddr.get_adapters():
        for held in adapter.ips:
            text = held.ip if isinstance(held.ip, str) else held.ip[0]
            ip = ip_address(text)
            if ip.is_loopback:
                continue
            found[f"{text}%{adapter.index}" if ip.version == 6 and ip.is_link_local else text] = None
    return tuple(sorted(found, key=lambda text: (":" in text, text)))[: limits.LAN_ADDRESSES_MAX]


class Lan:
    """Shows this node to its neighbours and remembers theirs while `run` runs."""

    def __init__(
        self,
        *,
        nid: NodeId,
        clock: Clock,
        targets: Targets,
        port: Callable[[], int],
        seq: Callable[[], int],
        known: Callable[[NodeId], bool],
        found: Callable[[NodeId], None],
        addresses: Callable[[], Sequence[str]] = machine_addresses,
    ) -> None:
        """`port` is that of the HTTPS listener (0 while there is none: the node then only listens); `found` hears of each
        nid that says something new."""
        self._nid = nid
        self._clock = clock
        self._targets = targets
        self._port = port
        self._seq = seq
        self._found = found
        self._addresses = addresses
        self._table = Neighbours(known=known)
        self._zeroconf: Zeroconf | None = None
        self._asked_s = 0.0
        self._news = asyncio.Event()

    # --- what others ask --------------------------------------------------------------------------------

    def nearby(self) -> tuple[Neighbour, ...]:
        """Nodes that say they are in this network."""
        return self._table.nearby()

    def claims(self, nid: NodeId) -> tuple[Claim, ...]:
        """Where `nid` is said to be."""
        return self._table.of(nid)

    async def look_for(self, nid: NodeId) -> tuple[Claim, ...]:
        """`claims`, after asking and waiting `LAN_WAIT_MS` if there are none yet."""
        if not self.claims(nid):
            self._ask()
        try:
            async with asyncio.timeout(limits.LAN_WAIT_MS / 1000):
                while not self.claims(nid):
                    await self._news.wait()
        except TimeoutError:
            pass
        return self.claims(nid)

    # --- running ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                if addresses := tuple(self._addresses()):
                    async with self._radio(addresses):
                        await self._watch(addresses)
                    continue
            except OSError as error:
                log.warning("Multicast DNS does not work in this network", reason=type(error).__name__)
            await asyncio.sleep(limits.LAN_WATCH_S)

    async def _watch(self, addresses: tuple[str, ...]) -> None:
        """Keeps the table fresh until the addresses or the port change."""
        shown = (addresses, self._port(), self._seq())
        asks = list(_ASK_AT_S)
        while shown == (tuple(self._addresses()), self._port(), self._seq()):
            now_s = self._clock.monotonic()
            self._table.expire(now_s)
            if self._table.stale(now_s) or asks:
                self._ask()
            await asyncio.sleep(asks.pop(0) if asks else limits.LAN_WATCH_S)

    @asynccontextmanager
    async def _radio(self, addresses: tuple[str, ...]) -> AsyncIterator[None]:
        radio = AsyncZeroconf(interfaces=list(addresses), ip_version=_families(addresses))
        try:
            await asyncio.shield(radio.zeroconf.async_wait_for_start())  # half started, it could not be closed
            radio.zeroconf.async_add_listener(_Ear(self), None)
            self._zeroconf = radio.zeroconf
            info = self._own_info(addresses)
            if info is None:
                yield
                return
            announcing = await radio.async_register_service(info, cooperating_responders=True)
            try:
                yield
            finally:
                self._zeroconf = None
                if isinstance(announcing, asyncio.Future):
                    announcing.cancel()  # or it would announce again what said goodbye
                await (await radio.async_unregister_service(info))
        finally:
            self._zeroconf = None
            await radio.async_close()

    def _own_info(self, addresses: tuple[str, ...]) -> ServiceInfo | None:
        if not self._port():
            return None
        return ServiceInfo(
            SERVICE,
            instance_of(self._nid),
            addresses=[_packed(text) for text in addresses],
            port=self._port(),
            properties=own_txt(self._nid, self._seq()),
            server=f"{format_node(self._nid)}.local.",
            host_ttl=_TTL_S,
            other_ttl=_TTL_S,
        )

    def _ask(self) -> None:
        """One question for everybody; their answers are multicast, so one asker serves all."""
        now_s = self._clock.monotonic()
        if self._zeroconf is None or now_s - self._asked_s < 1 <= self._asked_s:
            return
        self._asked_s = now_s
        question = DNSOutgoing(_QUERY)
        question.add_question(DNSQuestion(SERVICE, _PTR, _IN))
        self._zeroconf.async_send(question)

    # --- hearing ----------------------------------------------------------------------------------------

    def hear(self, zeroconf: Zeroconf, instance: str) -> None:
        """Records of `instance` arrived."""
        info = ServiceInfo(SERVICE, instance)
        info.load_from_cache(zeroconf)
        claim = parse_claim(
            instance, info.text or b"", info.port or 0, info.parsed_scoped_addresses(), targets=self._targets
        )
        if claim is None or claim.nid == self._nid:
            return
        if self._table.heard(claim, now_s=self._clock.monotonic(), now_ms=self._clock.now_ms()):
            self._news.set()
            self._news = asyncio.Event()
            self._found(claim.nid)

    def hear_goodbye(self, instance: str) -> None:
        """Somebody says that `instance` leaves."""
        self._table.left(instance, now_s=self._clock.monotonic())


class _Ear(RecordUpdateListener):
    """Picks our type out of everything that is said in the network."""

    def __init__(self, lan: Lan) -> None:
        self._lan = lan
        self._zeroconf: Zeroconf | None = None
        self._heard: dict[str, None] = {}

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Called with the records of one packet, before they are in the cache."""
        self._zeroconf = zc
        for update in records:
            record = update.new
            if isinstance(record, DNSPointer) and record.name == SERVICE:
                instance = record.alias
            elif isinstance(record, DNSService | DNSText) and record.name.endswith("." + SERVICE):
                instance = record.name
            else:
                continue
            if record.is_expired(now):
                self._lan.hear_goodbye(instance)
            elif len(self._heard) < limits.LAN_ENTRIES_MAX:
                self._heard[instance] = None

    def async_update_records_complete(self) -> None:
        """They are in the cache now."""
        heard, self._heard = self._heard, {}
        for instance in heard:
            assert self._zeroconf is not None
            self._lan.hear(self._zeroconf, instance)


def _families(addresses: Sequence[str]) -> IPVersion:
    versions = {ip_address(text).version for text in addresses}
    if len(versions) == 2:
        return IPVersion.All
    return IPVersion.V4Only if versions == {4} else IPVersion.V6Only


def _packed(text: str) -> bytes:
    plain = text.partition("%")[0]
    return socket.inet_pton(socket.AF_INET6 if ":" in plain else socket.AF_INET, plain)
