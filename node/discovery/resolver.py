"""From a nid or a domain to addresses worth trying. Every answer is a hint; the handshake of a link proves who is there.

===  ============================  ============================================================================
 1   neighbours by mDNS            nothing is proved; asked for a pinned nid or while pairing, which is when `find` is called
 2   addresses that worked, and    nothing. Private ones only if a link proved them (source ``mdns``); never those of an
     those of an invitation        unsigned invitation
 3   well-known and TXT            that the domain names this nid now; an answer that names another is not used
 4   DHT                           that the op key said so at this number; never below the pinned one
 5   contacts (`who`)              as 4; asked when all others have said what they know
===  ============================  ============================================================================

1 to 4 start at once, and their answers are given out in this order of trust and speed, as they come. What was verified is
kept for a while in one cache, whoever said it.

Searches are tasks of the group that `open` opens, so that a caller who stops listening leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import aclosing, asynccontextmanager
from ipaddress import ip_address
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId, format_node
from node.discovery.proto.neighbours import Claim
from node.discovery.wellknown import LINK_PATH, Announced, ZoneWord, host_of
from node.runtime.clock import Clock
from node.runtime.log import Log
from node.runtime.targets import IP, PORT_FREE_MIN, WEB_PORTS, Targets
from node.services.ports import Candidate, Word
from node.wire.address import Place
from node.wire.keys import Chain
from node.wire.location import LocBody
from node.wire.record import SALT_LOC, Record, Verifier, is_newer

log = Log("discovery.resolver")

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Say = Callable[[str, str, bool], None]
LAN: Final = "mdns"
LAST: Final = "last"
LINK: Final = "link"
DOMAIN: Final = "domain"
RECORD: Final = "record"
WELL_KNOWN: Final = "well-known"
TXT: Final = "txt"
DHT: Final = "dht"
GOSSIP: Final = "contacts"
OFF: Final = "switched off"
NOTHING: Final = "knows nothing"
_RANK: Final = {LAN: 0, LAST: 1, LINK: 2, DOMAIN: 3, RECORD: 4}
_SAID: Final = -1
_END: Final = 9


def _unheard(source: str, text: str, fine: bool) -> None:
    """Nobody wants to know."""


class Pin(Struct, frozen=True, kw_only=True):
    """What we know of a node for certain; (rotations, incarnation, seq) is the newest of it ever seen."""

    rotations: int = 0
    incarnation: int = 0
    seq: int = 0
    chain: Chain | None = None
    domain: str = ""


class Memory(Protocol):
    """What earlier links left (`discovery.memory.PeerMemory`)."""

    def pin(self, nid: NodeId) -> Pin | None:
        """None for a node that never proved itself here."""

    def addresses(self, nid: NodeId) -> Sequence[Candidate]:
        """Where it was, the one that worked last first."""

    def owner(self, domain: str) -> NodeId | None:
        """Whom a domain is pinned to."""

    def learned(self, record: Record) -> None:
        """A record that is newer than the pinned one was verified: the pin goes up to it."""


class Nearby(Protocol):
    """mDNS (`discovery.lan.Lan`)."""

    async def look_for(self, nid: NodeId) -> Sequence[Claim]:
        """Claims about `nid`; takes at most `LAN_WAIT_MS`."""


class Web(Protocol):
    """`discovery.wellknown.WellKnown`."""

    async def fetch(self, domain: str) -> Announced:
        """Raises RemoteError."""


class Names(Protocol):
    """`discovery.wellknown.Zone`."""

    async def ask(self, domain: str) -> ZoneWord | None:
        """Raises RemoteError."""


class RecordFinder(Protocol):
    """The DHT (`discovery.dht.Dht`)."""

    async def get_record(
        self, nid: NodeId, *, salt: bytes, min_seq: int, pinned: tuple[int, int] | None, quorum: int
    ) -> Record | None:
        """The newest that was found."""


class Gossip(Protocol):
    """Contacts and peers of shared rooms, over open links (`discovery.gossip.PeerGossip`)."""

    async def who(self, nid: NodeId) -> Sequence[bytes]:
        """Records of `nid` that they have, as they came."""


class Resolver:
    """Implements `services.ports.Resolver`. Every source but the memory may be missing."""

    def __init__(
        self,
        *,
        clock: Clock,
        targets: Targets,
        memory: Memory,
        verify: Verifier,
        lan: Nearby | None = None,
        web: Web | None = None,
        zone: Names | None = None,
        dht: RecordFinder | None = None,
        gossip: Gossip | None = None,
    ) -> None:
        self._clock = clock
        self._targets = targets
        self._memory = memory
        self._verify = verify
        self._lan = lan
        self._web = web
        self._zone = zone
        self._dht = dht
        self._gossip = gossip
        self._records: OrderedDict[NodeId, Record] = OrderedDict()
        self._announced: OrderedDict[str, tuple[float, Announced]] = OrderedDict()
        self._group: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._searches = asyncio.Semaphore(limits.SEARCHES_MAX)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While open, `find` and `who_owns` work."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                for task in self._running:
                    task.cancel()

    # --- services.ports.Resolver ------------------------------------------------------------------------

    async def find(self, *, nid: NodeId, places: Sequence[Place] = (), domain: str = "") -> AsyncGenerator[Candidate]:
        """Addresses to try, in the order in which to race them. Ends when no source has more to say."""
        async with aclosing(self._look(_Search(nid, tuple(places), domain))) as steps:
            async for step in steps:
                if isinstance(step, Candidate):
                    yield step

    async def explain(
        self, *, nid: NodeId | None, places: Sequence[Place] = (), domain: str = ""
    ) -> AsyncGenerator[Candidate | Word | NodeId]:
        """The same for a person: also what each source said, as it says it, and first, without `nid`, whom `domain` names."""
        if nid is None:
            said: list[Word] = []
            await self._ask_domain(domain, lambda *word: said.append(Word(*word)))
            for word in said:
                yield word
            nid = await self.who_owns(domain)
            yield nid
        async with aclosing(self._look(_Search(nid, tuple(places), domain, telling=True))) as steps:
            async for step in steps:
                yield step

    async def _look(self, search: _Search) -> AsyncGenerator[Candidate | Word]:
        if self._group is None:
            return
        task = self._group.create_task(self._search(search), name="search")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            while (step := await search.next()) is not None:
                yield step
        finally:
            task.cancel()

    async def who_owns(self, domain: str) -> NodeId:
        """The node that `domain` names, for a first contact. Raises Rejected: `peer_unreachable`, `key_changed`."""
        pinned = self._memory.owner(domain)
        announced, word = await self._ask_domain(domain)
        said = {one.nid for one in (announced, word) if one is not None}
        if pinned is not None:
            said.add(pinned)
        if len(said) > 1:
            raise Rejected(
                Code.KEY_CHANGED,
                "The domain names another node than before, or its web server and its zone disagree. Ask its owner.",
                domain=domain,
            )
        if announced is not None or pinned is not None:
            return next(iter(said))
        if word is not None and await self._names_back(word.nid, domain):
            return word.nid
        raise Rejected(Code.PEER_UNREACHABLE, "This domain does not say which node it has.", domain=domain)

    async def _names_back(self, nid: NodeId, domain: str) -> bool:
        """Whether the record of `nid` names the domain: a zone alone may claim any node."""
        record = await self._from_dht(nid)
        return record is not None and isinstance(record.body, LocBody) and record.body.domain == domain

    # --- one search -------------------------------------------------------------------------------------

    async def _search(self, search: _Search) -> None:
        try:
            self._recall(search)  # costs nothing, so it waits for no other search
            async with self._searches:
                async with asyncio.TaskGroup() as group:
                    for source in (self._ask_lan, self._ask_web, self._ask_dht):
                        group.create_task(self._guarded(source, search))
                await self._guarded(self._ask_gossip, search)
        finally:
            search.end()

    async def _guarded(self, source: Callable[[_Search], Awaitable[None]], search: _Search) -> None:
        """What one source says of one node must end neither the others nor the searches of other nodes."""
        try:
            await source(search)
        except Exception as error:  # noqa: BLE001 - the boundary of one source
            log.error("A source of addresses failed", error)

    def _recall(self, search: _Search) -> None:
        """Step 2, and what the cache holds."""
        kept = self._memory.addresses(search.nid)
        for known in kept:
            search.add(LAST, known)
        search.say(LAST, _count(len(kept)), bool(kept))
        for ip, port in _by_turns([(ip_address(place.ip), place.port) for place in search.places]):
            self._offer(search, LINK, ip, port)
        if (record := self._cached(search.nid)) is not None:
            self._offer_record(search, record)

    async def _ask_lan(self, search: _Search) -> None:
        claims = await self._lan.look_for(search.nid) if self._lan is not None else ()
        for claim in claims:
            for text in claim.addresses:
                search.add(LAN, Candidate(_url(text, claim.port), LAN, check_certificate=False, lan=True))
        said = OFF if self._lan is None else _count(sum(len(claim.addresses) for claim in claims))
        search.say(LAN, said, bool(claims))

    async def _ask_web(self, search: _Search) -> None:
        domain = search.domain or self._domain_of(search.nid)
        if not domain:
            search.say(WELL_KNOWN, "no domain of this node is known", False)
            return
        announced, word = await self._ask_domain(domain, search.say)
        if announced is not None and announced.nid == search.nid:
            if self._keep(announced.record):
                self._offer_record(search, announced.record)
            if url := self._usable_url(announced.url):
                search.add(DOMAIN, Candidate(url, DOMAIN, check_certificate=True))
        elif announced is not None or (word is not None and word.nid != search.nid):
            log.warning("A domain names another node than the one that is looked for", domain=domain)
            search.say(DOMAIN, "names another node than the one that is looked for", False)

    async def _ask_dht(self, search: _Search) -> None:
        record = await self._from_dht(search.nid)
        if record is not None:
            self._offer_record(search, record)
        search.say(DHT, OFF if self._dht is None else _of_record(record), record is not None)

    async def _ask_gossip(self, search: _Search) -> None:
        raws = await self._gossip.who(search.nid) if self._gossip is not None else ()
        newest = None
        for raw in raws:
            record = self._checked(search.nid, raw)
            if record is not None and self._keep(record):
                self._offer_record(search, record)
                newest = record
        search.say(GOSSIP, _of_record(newest), newest is not None)

    def _offer_record(self, search: _Search, record: Record) -> None:
        if isinstance(record.body, LocBody):
            for ip, port in _by_turns([(ip_address(spot.ip), spot.port) for spot in record.body.addresses]):
                self._offer(search, RECORD, ip, port)

    def _offer(self, search: _Search, source: str, ip: IP, port: int) -> None:
        """An address that somebody claims, if it is one that a stranger may name."""
        try:
            self._targets.check(ip, port, ports=None)
        except RemoteError:
            return
        search.add(source, Candidate(_url(str(ip), port), source))

    # --- sources ----------------------------------------------------------------------------------------

    async def _ask_domain(self, domain: str, say: Say = _unheard) -> tuple[Announced | None, ZoneWord | None]:
        """What web server and zone say, at once. A name that the owner pinned is not asked of the DNS."""
        async with asyncio.TaskGroup() as group:
            web = group.create_task(self._fetch(domain, say))
            zone = group.create_task(self._ask_zone(domain, say))
        return web.result(), zone.result()

    async def _fetch(self, domain: str, say: Say = _unheard) -> Announced | None:
        kept = self._announced.get(domain)
        if kept is not None and self._clock.monotonic() < kept[0]:
            say(WELL_KNOWN, f"{domain} names {format_node(kept[1].nid)}, as it said a while ago", True)
            return kept[1]
        try:
            announced = await self._web.fetch(domain) if self._web is not None else None
        except RemoteError as error:
            log.info("A domain says nothing usable", domain=domain, reason=str(error))
            say(WELL_KNOWN, f"{domain}: {error}", False)
            return None
        if announced is not None:
            say(WELL_KNOWN, f"{domain} names {format_node(announced.nid)}", True)
            _remember(self._announced, domain, (self._clock.monotonic() + limits.FOUND_KEPT_S, announced))
        return announced

    async def _ask_zone(self, domain: str, say: Say) -> ZoneWord | None:
        if self._zone is None or self._targets.pin(domain) is not None:
            say(TXT, f"{domain} is not asked of the DNS (net_hosts)", False)
            return None
        try:
            word = await self._zone.ask(domain)
        except RemoteError as error:
            log.info("A zone says nothing usable", domain=domain, reason=str(error))
            say(TXT, f"{domain}: {error}", False)
            return None
        said = f"_startalk.{domain} " + (f"names {format_node(word.nid)}" if word is not None else "has no record")
        say(TXT, said, word is not None)
        return word

    async def _from_dht(self, nid: NodeId) -> Record | None:
        if self._dht is None:
            return None
        pin = self._memory.pin(nid)
        record = await self._dht.get_record(
            nid,
            salt=SALT_LOC,
            min_seq=pin.seq if pin else 0,
            pinned=(pin.rotations, pin.incarnation) if pin else None,
            quorum=limits.DHT_QUORUM if pin else limits.DHT_QUORUM_FIRST,
        )
        return record if record is not None and record.nid == nid and self._keep(record) else None

    def _domain_of(self, nid: NodeId) -> str:
        pin = self._memory.pin(nid)
        return pin.domain if pin is not None else ""

    def _usable_url(self, url: str) -> str:
        """`url` with the port that the owner pinned for its name; nothing if it names a port that is not allowed there."""
        if not url:
            return ""
        host, port = host_of(url)
        pin = self._targets.pin(host)
        if pin is None:
            return url if port in WEB_PORTS or port >= PORT_FREE_MIN else ""
        port = pin.port if pin.port and port == 443 else port
        try:
            self._targets.check(ip_address(pin.ip), port, ports=None)
        except RemoteError:
            return ""
        return f"wss://{host}:{port}{LINK_PATH}"

    # --- the cache --------------------------------------------------------------------------------------

    def _checked(self, nid: NodeId, raw: bytes) -> Record | None:
        pin = self._memory.pin(nid)
        try:
            record = self._verify(raw, now_s=self._clock.now_ms() // 1000, known=pin.chain if pin else None)
        except RemoteError:
            return None
        return record if record.nid == nid and isinstance(record.body, LocBody) else None

    def _keep(self, record: Record) -> bool:
        """Keeps a verified record; False if it is older than the pin or than what is kept."""
        pin = self._memory.pin(record.nid)
        if pin and (record.rotations, record.incarnation, record.seq) < (pin.rotations, pin.incarnation, pin.seq):
            return False
        kept = self._cached(record.nid)
        if kept is not None and is_newer(kept, record):
            return False
        _remember(self._records, record.nid, record)
        if pin and (record.rotations, record.incarnation, record.seq) > (pin.rotations, pin.incarnation, pin.seq):
            self._memory.learned(record)
        return True

    def _cached(self, nid: NodeId) -> Record | None:
        record = self._records.get(nid)
        return record if record is not None and record.exp > self._clock.now_ms() // 1000 else None


class _Search:
    """One question, and the candidates that were found and not yet taken, best rank first."""

    def __init__(self, nid: NodeId, places: tuple[Place, ...], domain: str, *, telling: bool = False) -> None:
        self.nid = nid
        self.places = places
        self.domain = domain
        self._telling = telling
        self._found: asyncio.PriorityQueue[tuple[int, int, Candidate | Word | None]] = asyncio.PriorityQueue()
        self._seen: set[str] = set()
        self._said = 0

    def add(self, source: str, candidate: Candidate) -> None:
        """Each URL once."""
        if candidate.url not in self._seen:
            self._seen.add(candidate.url)
            self._found.put_nowait((_RANK[source], len(self._seen), candidate))

    def say(self, source: str, text: str, fine: bool) -> None:
        """What a source said, for whoever wants to know."""
        if self._telling:
            self._said += 1
            self._found.put_nowait((_SAID, self._said, Word(source, text, fine)))

    def end(self) -> None:
        """No more will come."""
        self._found.put_nowait((_END, 0, None))

    async def next(self) -> Candidate | Word | None:
        """The best one that waits; None at the end."""
        return (await self._found.get())[2]


def _count(addresses: int) -> str:
    return "1 address" if addresses == 1 else f"{addresses} addresses" if addresses else NOTHING


def _of_record(record: Record | None) -> str:
    if record is None:
        return NOTHING
    spots = len(record.body.addresses) if isinstance(record.body, LocBody) else 0
    return f"record {record.seq} with {_count(spots)}" if spots else f"record {record.seq} without an address"


def _url(host: str, port: int) -> str:
    return f"wss://[{host}]:{port}{LINK_PATH}" if ":" in host else f"wss://{host}:{port}{LINK_PATH}"


def _by_turns(places: Sequence[tuple[IP, int]]) -> list[tuple[IP, int]]:
    """IPv6 and IPv4 in turns, IPv6 first (RFC 8305 section 4)."""
    six = [place for place in places if place[0].version == 6]
    four = [place for place in places if place[0].version == 4]
    turns = [place for pair in zip(six, four, strict=False) for place in pair]
    return [*turns, *six[len(four) :], *four[len(six) :]]


def _remember(kept: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > limits.FOUND_KEPT_MAX:
        kept.popitem(last=False)
