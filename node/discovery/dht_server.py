"""One family's DHT node: joins, looks up, publishes. Two of these, IPv4 and IPv6, make the `Dht` of dht.py.

`SignedServer` is the library's server with its doors changed. `get`, `set`, `save_state` and `load_state` are closed: the
first two trust whatever comes first, the last two read pickles. `bootstrap` and the hourly refresh are ours, because the
stock crawl never ends while a liar names new contacts. What remains is the shape: a server has a node, a storage, a
protocol and a transport.

`RecordCrawl` drives a look-up (proto/lookup.py) over the socket: it asks, waits at most a second for each and four for
all, lets others go first after a quarter of a second, and takes an answer whose record does not verify for no answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Final, NoReturn

from kademlia.network import Server
from kademlia.node import Node

from node.base import limits
from node.discovery.dht_protocol import Endpoint, Reply, Seen, SignedProtocol
from node.discovery.dht_store import Checker, SignedStorage
from node.discovery.dht_table import node_of
from node.discovery.proto.datagram import Answer, Method, Outcome
from node.discovery.proto.lookup import Accepts, Lookup
from node.discovery.proto.policy import ID_BYTES, Contact, Policy, make_id
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy

ANY: Final = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - a node of the DHT listens to everybody
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


class RecordCrawl:
    """One look-up in progress."""

    def __init__(self, protocol: SignedProtocol, lookup: Lookup, *, key: bytes, method: Method, check: Checker) -> None:
        self._protocol = protocol
        self._lookup = lookup
        self._key = key
        self._method: Method = method
        self._check = check
        self._asked: dict[Reply, Contact] = {}
        self._fast: dict[Reply, float] = {}  # until when it keeps its turn

    async def run(self) -> Lookup:
        """Until found, exhausted or 4 s have passed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limits.DHT_LOOKUP_S
        while loop.time() < end:
            for contact in self._lookup.due():
                reply = self._protocol.ask(contact, self._method, key=self._key)
                self._asked[reply] = contact
                self._fast[reply] = loop.time() + limits.DHT_SLOW_S
            if self._lookup.finished:
                break
            next_s = min([end, *self._fast.values()]) - loop.time()
            await asyncio.wait(self._asked, timeout=max(0.0, next_s), return_when=asyncio.FIRST_COMPLETED)
            self._report(loop.time())
        return self._lookup

    def _report(self, now: float) -> None:
        for reply in [reply for reply in self._asked if reply.done()]:
            self._fast.pop(reply, None)
            self._hear(self._asked.pop(reply), reply.result())
        for reply in [reply for reply, until in self._fast.items() if until <= now]:
            del self._fast[reply]
            self._lookup.slow(self._asked[reply])

    def _hear(self, contact: Contact, answer: Answer | None) -> None:
        if answer is None:
            self._lookup.failed(contact)
            return
        record = self._check(self._key, answer.value) if answer.value else None
        if answer.value and record is None:
            self._lookup.failed(contact)
        else:
            self._lookup.answered(contact, self._protocol.contacts_of(answer), record)


class SignedServer(Server):  # type: ignore[misc]
    """A node of the DHT in one family."""

    protocol_class = SignedProtocol
    node: Node
    protocol: SignedProtocol | None
    transport: asyncio.DatagramTransport | None

    def __init__(
        self,
        *,
        family: int,
        policy: Policy,
        clock: Clock,
        entropy: Entropy,
        check: Checker,
        seen: Seen,
        client: bool = False,
    ) -> None:
        self.family = family
        super().__init__(limits.DHT_K, limits.DHT_ALPHA, entropy.token_bytes(ID_BYTES))
        self.storage = SignedStorage(
            clock=clock, check=check
        )  # not by argument: the library takes an empty one for none
        self._policy = policy
        self._clock = clock
        self._entropy = entropy
        self._check = check
        self._seen = seen
        self._client = client
        self._bound = policy.lan  # whether the id is one that our address may have
        self.own = Contact(self.node.id, ANY[family], 0)
        self.storage.place = self.own.place

    # --- the socket ---------------------------------------------------------------------------------------------

    async def listen(self, port: int, interface: str | None = None) -> None:
        """Opens the socket: of its family only, so that no IPv4 address comes in IPv6 clothes. Raises OSError."""
        host = interface or ANY[self.family]
        opened = socket.socket(_FAMILIES[self.family], socket.SOCK_DGRAM)
        try:
            opened.setblocking(False)
            if self.family == 6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.bind((host, port))
            self.own = self.own._replace(ip=host, port=opened.getsockname()[1])
            if host != ANY[self.family] and (self._policy.lan or self._policy.is_public(host)):
                self._take_address(host)
            loop = asyncio.get_running_loop()
            self.transport, self.protocol = await loop.create_datagram_endpoint(self._create_protocol, sock=opened)
        except BaseException:
            opened.close()
            raise

    def _create_protocol(self) -> SignedProtocol:
        made: SignedProtocol = self.protocol_class(
            self.own,
            family=self.family,
            storage=self.storage,
            policy=self._policy,
            clock=self._clock,
            entropy=self._entropy,
            seen=self._seen,
            client=self._is_client(),
        )
        return made

    def stop(self) -> None:
        """Closes the socket; may be called twice."""
        if self.transport is not None:
            self.transport.close()
        self.transport = self.protocol = None

    @property
    def listening(self) -> bool:
        """Whether the socket is open."""
        return self.transport is not None and not self.transport.is_closing()

    def contacts(self) -> list[Contact]:
        """Everybody in the table."""
        return [] if self.protocol is None else self.protocol.table.contacts()

    # --- who we are ---------------------------------------------------------------------------------------------

    def be_client(self, client: bool) -> None:
        """Whether others can reach this node."""
        self._client = client
        if self.protocol is not None:
            self.protocol.client = self._is_client()

    def _is_client(self) -> bool:
        return self._client or not self._bound

    def move(self, ip: str) -> None:
        """Our external address is this one: takes an id that it may have."""
        self._take_address(ip)
        if self.protocol is not None:
            self.protocol.rename(self.own)
            self.protocol.client = self._is_client()

    def _take_address(self, ip: str) -> None:
        noise = self._entropy.token_bytes(ID_BYTES)
        self.own = self.own._replace(id=noise if self._policy.lan else make_id(ip, noise), ip=ip)
        self.node = node_of(self.own)
        self.storage.place = self.own.place
        self._bound = True

    # --- what it does -------------------------------------------------------------------------------------------

    async def bootstrap(self, addrs: Sequence[Endpoint]) -> int:
        """Says hello to some addresses, then looks for its own neighbours. How many contacts it has now."""
        if self.protocol is None:
            return 0
        replies = [self.protocol.hello(endpoint) for endpoint in addrs[: limits.DHT_BOOTSTRAP_ASKED_MAX]]
        if replies:
            await asyncio.wait(replies)
        if self.contacts():
            await self.find_nodes(self.own.id)
        return len(self.contacts())

    async def find_nodes(self, key: bytes) -> Lookup:
        """Walks to the nodes nearest to `key`."""
        return await self._crawl(key, "find_node", quorum=0, accept=None)

    async def find_record(self, key: bytes, *, quorum: int, accept: Accepts | None = None) -> Lookup:
        """Walks to the newest version of a record, then gives it to two nodes nearby that have an older one or none."""
        lookup = await self._crawl(key, "find_value", quorum=quorum, accept=accept)
        if lookup.best is not None and self.protocol is not None:
            for contact in lookup.stale():
                self.protocol.ask(contact, "store", key=key, value=lookup.best.raw)
        return lookup

    async def publish(self, key: bytes, raw: bytes) -> int:
        """Stores a record at the nearest nodes. How many said that they have it."""
        lookup = await self.find_nodes(key)
        if self.protocol is None or not lookup.nearest():
            return 0
        replies = [self.protocol.ask(contact, "store", key=key, value=raw) for contact in lookup.nearest()]
        await asyncio.wait(replies)
        answers = [reply.result() for reply in replies]
        return sum(answer is not None and answer.code == Outcome.DONE for answer in answers)

    async def refresh(self) -> None:
        """Looks for nodes in some parts of the table, and around the own id."""
        if self.protocol is None:
            return
        ranges = [bucket.range for bucket in self.protocol.table.buckets]
        for _ in range(min(limits.DHT_REFRESHED_MAX, len(ranges))):
            low, high = ranges.pop(int(self._entropy.uniform(0, len(ranges) - 0.001)))
            noise = int.from_bytes(self._entropy.token_bytes(ID_BYTES), "big")
            await self.find_nodes((low + noise % (min(high, 2**160 - 1) - low + 1)).to_bytes(ID_BYTES, "big"))
        await self.find_nodes(self.own.id)

    async def republish(self) -> None:
        """Stores anew what nobody else has stored lately, nearest to us first."""
        old = self.storage.iter_older_than(limits.DHT_REPUBLISH_S)
        old.sort(key=lambda item: int.from_bytes(item[0], "big") ^ self.own.place)
        for key, raw in old[: limits.DHT_REPUBLISHED_MAX]:
            self.storage.put(key, raw)
            await self.publish(key, raw)

    async def _crawl(self, key: bytes, method: Method, *, quorum: int, accept: Accepts | None) -> Lookup:
        seeds = [] if self.protocol is None else self.protocol.table.nearest(key, limits.DHT_PATHS * limits.DHT_K)
        lookup = Lookup(key, seeds, policy=self._policy, own=self.own.id, quorum=quorum, accept=accept)
        if self.protocol is None:
            return lookup
        return await RecordCrawl(self.protocol, lookup, key=key, method=method, check=self._check).run()

    # --- doors of the library that stay closed ------------------------------------------------------------------

    async def get(self, key: object) -> NoReturn:
        """Believes the first answer."""
        raise AssertionError("use find_record")

    async def set(self, key: object, value: object) -> NoReturn:
        """Stores anything."""
        raise AssertionError("use publish")

    def save_state(self, fname: object) -> NoReturn:
        """Writes a pickle."""
        raise AssertionError("contacts are kept by bootstrap.py")

    @classmethod
    def load_state(cls, fname: object, port: object, interface: object = None) -> NoReturn:
        """Reads a pickle, and runs what is in it."""
        raise AssertionError("contacts are kept by bootstrap.py")
