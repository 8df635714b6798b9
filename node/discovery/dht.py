"""The DHT of a node: where records of others are found when nothing else knows them.

It stores hints that prove themselves. It may hide a record or hand out an older one; it cannot forge one, and it cannot
go below what the caller has seen (`min_seq`). A node works without it.

`Dht` is two nodes of the DHT, one for each family, with separate tables (dht_server.py); they share what is verified,
the bootstrap list and this service, which

* joins whenever a family has fewer than three contacts, with back-off, from bootstrap.py;
* publishes the own record on joining and every hour, refreshes tables and stores anew what it holds for others;
* learns the external address from what unrelated peers see, and takes an id that this address may have. Until it knows,
  and whenever `be_client` says that nobody can reach this node, it only asks.

Wire formats, rules and limits: docs/spec/dht.md.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from node.base import limits
from node.base.errors import RemoteError
from node.base.ids import NodeId
from node.discovery.bootstrap import BootstrapList
from node.discovery.dht_protocol import Endpoint
from node.discovery.dht_server import SignedServer
from node.discovery.dht_store import Checker
from node.discovery.proto.policy import Contact, Policy, Votes
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.runtime.lifecycle import Ready
from node.runtime.log import Log
from node.wire.record import SALT_LOC, Record, dht_key, is_newer, verify_record

log = Log("discovery.dht")
FAMILIES: Final = (4, 6)


class Dht:
    """The service. Constructed with everything it needs; nothing happens before `run` or `open`."""

    name = "dht"

    def __init__(
        self,
        *,
        clock: Clock,
        entropy: Entropy,
        bootstrap: BootstrapList,
        own_record: Callable[[], bytes | None],
        port: int,
        hosts: Sequence[str | None] = (None, None),
        policy: Policy | None = None,
        client: bool = False,
        server: Callable[..., SignedServer] = SignedServer,
    ) -> None:
        """`hosts` are the addresses to listen at for IPv4 and IPv6: None for any, "" for not at all."""
        self._clock = clock
        self._entropy = entropy
        self._bootstrap = bootstrap
        self._own_record = own_record
        self._port = port
        self._hosts = dict(zip(FAMILIES, hosts, strict=True))
        self._policy = policy or Policy()
        self._check = Checker(clock=clock)
        self._kept: dict[bytes, Record] = {}  # what we published, by key
        self._moved = {family: asyncio.Event() for family in FAMILIES}
        self._joined = asyncio.Event()
        self._deaf: set[int] = set()  # families whose socket could not be opened, as the log says
        self._votes = {family: Votes(policy=self._policy) for family in FAMILIES}
        self.servers = {family: self._make(server, family, client=client) for family in FAMILIES}

    def _make(self, server: Callable[..., SignedServer], family: int, *, client: bool) -> SignedServer:
        return server(
            family=family,
            policy=self._policy,
            clock=self._clock,
            entropy=self._entropy,
            check=self._check,
            seen=lambda voter, endpoint: self._hear_seen(family, voter, endpoint),
            client=client,
        )

    # --- running ------------------------------------------------------------------------------------------------

    async def run(self, ready: Ready) -> None:
        """Serves until cancelled. A port that is taken is tried again: the node works without its DHT."""
        self._bootstrap.load()
        await self.open()
        ready()
        try:
            async with asyncio.TaskGroup() as group:
                for server in self._servers():
                    group.create_task(self._keep_joined(server), name=f"dht joined {server.family}")
                for work in (self._keep_published, self._keep_fresh, self._keep_saved):
                    group.create_task(work(), name=f"dht {work.__name__}")
        finally:
            self._save()
            self.close()

    async def open(self) -> None:
        """Opens the sockets that can be opened."""
        for server in self._servers():
            await self._open(server)

    async def _open(self, server: SignedServer) -> None:
        if server.listening:
            return
        try:
            await server.listen(self._port, self._hosts[server.family])
        except OSError as error:
            if server.family not in self._deaf:
                log.warning("The DHT cannot listen", reason=error.strerror or "", port=self._port)
            self._deaf.add(server.family)
        else:
            self._deaf.discard(server.family)

    def close(self) -> None:
        """Closes the sockets."""
        for server in self._servers():
            server.stop()

    async def join(self) -> int:
        """Asks the bootstrap list wherever contacts are few. How many contacts there are now."""
        for server in self._servers():
            await self._join(server)
        return len(self.contacts())

    async def _join(self, server: SignedServer) -> bool:
        """Whether a family has enough contacts now."""
        if server.listening and len(server.contacts()) < limits.DHT_CONTACTS_MIN:
            await server.bootstrap(await self._bootstrap.endpoints(server.family))
        if server.contacts():
            self._joined.set()
        return len(server.contacts()) >= limits.DHT_CONTACTS_MIN

    def _servers(self) -> list[SignedServer]:
        return [server for family, server in self.servers.items() if self._hosts[family] != ""]

    # --- records ------------------------------------------------------------------------------------------------

    async def put_record(self, raw: bytes) -> int:
        """Publishes a record of this node, and keeps it: it is stored anew every hour. How many nodes hold it now.

        Raises RemoteError if it is invalid or older than one that was published before.
        """
        record = verify_record(raw, now_s=self._clock.now_ms() // 1000)
        key = dht_key(record.nid, record.salt)
        kept = self._kept.get(key)
        if kept is not None and is_newer(kept, record):
            raise RemoteError("A newer record was published before.")
        self._kept.pop(key, None)
        self._kept[key] = record
        if len(self._kept) > limits.DHT_KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        for server in self._servers():
            server.storage.put(key, raw)
        return sum(await _all([server.publish(key, raw) for server in self._servers()]))

    async def publish_own(self) -> int:
        """Stores the own record anew, and what else was published. How many holders there are, all together."""
        raw = self._own_record()
        kept = [record.raw for record in self._kept.values() if raw is None or record.raw != raw]
        acks = 0
        for one in ([] if raw is None else [raw]) + kept:
            try:
                acks += await self.put_record(one)
            except RemoteError as error:  # it expired, or a newer one of its kind has just been published
                log.debug("A record of our own is not published any more", reason=type(error).__name__)
        return acks

    async def get_record(
        self,
        nid: NodeId,
        *,
        salt: bytes = SALT_LOC,
        min_seq: int = 0,
        pinned: tuple[int, int] | None = None,
        quorum: int = limits.DHT_QUORUM,
    ) -> Record | None:
        """The newest record that was found; None if there is none, or none as new as what we have seen.

        `pinned` is (rotations, incarnation) of the record whose seq is `min_seq`: a later one may begin its numbers
        anew, an earlier one is never taken. Without it `min_seq` alone decides. `quorum` equal copies end the look-up;
        take `DHT_QUORUM_FIRST` when there is no pin.
        """
        key = dht_key(nid, salt)

        def accept(record: Record) -> bool:
            if pinned is not None:
                return (record.rotations, record.incarnation, record.seq) >= (*pinned, min_seq)
            return record.seq >= min_seq

        lookups = await _all([server.find_record(key, quorum=quorum, accept=accept) for server in self._servers()])
        held = [server.storage.find(key) for server in self._servers()]
        found = [*(lookup.best for lookup in lookups), *held, self._kept.get(key)]
        valid = [record for record in found if record is not None and accept(record)]
        return max(valid, key=lambda record: record.order, default=None)

    def contacts(self) -> list[Contact]:
        """Everybody in the tables of both families."""
        return [contact for server in self._servers() for contact in server.contacts()]

    async def refresh(self) -> None:
        """Looks through the tables, and stores anew what is held for others and nobody else stored for an hour."""
        for server in self._servers():
            await server.refresh()
            await server.republish()

    def stats(self) -> dict[str, int]:
        """Numbers for metrics and the doctor: contacts, records held for others, and what was dropped, by reason."""
        found: Counter[str] = Counter()
        for server in self._servers():
            found["contacts"] += len(server.contacts())
            found["records"] += len(server.storage)
            found["refused"] += server.storage.refused
            if server.protocol is not None:
                found.update({f"dropped_{reason}": count for reason, count in server.protocol.dropped.items()})
        return dict(found)

    # --- who we are ---------------------------------------------------------------------------------------------

    def external_address(self, family: int) -> str | None:
        """What unrelated peers see as our address; None until two of them agree."""
        return self._votes[family].address

    def be_client(self, client: bool) -> None:
        """Whether nobody can reach this node's DHT port: then it asks, and neither answers nor enters tables."""
        for server in self._servers():
            server.be_client(client)

    def learn(self, ip: str, port: int) -> None:
        """A peer told over its link where its DHT node is."""
        self._bootstrap.learn(ip, port)

    def _hear_seen(self, family: int, voter: Contact, endpoint: Endpoint) -> None:
        if self._votes[family].cast(voter, endpoint[0]):
            server = self.servers[family]
            if not self._policy.lan and server.own.ip != endpoint[0]:
                server.move(self._votes[family].address or endpoint[0])
                self._moved[family].set()

    # --- what it does by itself ---------------------------------------------------------------------------------

    async def _keep_joined(self, server: SignedServer) -> None:
        delay_s: float = limits.DHT_JOIN_S_MIN
        while True:
            await self._open(server)
            enough = await self._join(server)
            moved = await self._sleep_or_move(server.family, limits.DHT_WATCH_S if enough else delay_s)
            if moved:  # the neighbours of another id
                await server.find_nodes(server.own.id)
            delay_s = limits.DHT_JOIN_S_MIN if enough or moved else min(2 * delay_s, limits.DHT_JOIN_S_MAX)

    async def _keep_published(self) -> None:
        while True:
            await self._joined.wait()
            await self.publish_own()
            await asyncio.sleep(self._jitter(limits.DHT_REPUBLISH_S))

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._jitter(limits.DHT_REPUBLISH_S))
            await self.refresh()

    async def _keep_saved(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._jitter(limits.DHT_SAVE_S))
            await loop.run_in_executor(None, self._save)

    def _save(self) -> None:
        self._bootstrap.verified(self.contacts(), now_s=self._clock.now_ms() // 1000)
        try:
            self._bootstrap.save()
        except OSError as error:
            log.warning("The list of DHT contacts cannot be written", reason=error.strerror or "")

    async def _sleep_or_move(self, family: int, delay_s: float) -> bool:
        """Whether our address changed meanwhile."""
        moved = self._moved[family]
        try:
            async with asyncio.timeout(self._jitter(delay_s)):
                await moved.wait()
        except TimeoutError:
            return False
        moved.clear()
        return True

    def _jitter(self, delay_s: float) -> float:
        return delay_s * self._entropy.uniform(0.75, 1.0)


async def _all(works: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    async with asyncio.TaskGroup() as group:
        tasks: list[Awaitable[Any]] = [group.create_task(work) for work in works]
    return [await task for task in tasks]
