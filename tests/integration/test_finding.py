"""From a nid alone to an open link: neighbours on loopback, with all of discovery and federation between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.base.ids import NodeId
from node.discovery.gossip import PeerGossip
from node.discovery.lan import Lan
from node.discovery.memory import PeerMemory
from node.discovery.reachability import Reachability, Witness
from node.discovery.resolver import Resolver
from node.discovery.service import Discovery
from node.discovery.witnesses import LinkWitnesses
from node.federation.dialer import Connector
from node.federation.service import Federation
from node.runtime.clock import SystemClock
from node.runtime.entropy import SystemEntropy
from node.runtime.targets import Exceptions, Targets
from node.runtime.tls import Certificate
from node.storage.peers import Peer
from node.wire.keys import Chain, OpCert
from node.wire.location import LocBody
from node.wire.record import Verifier, make_loc
from node.wire.s2s import Hello
from tests.links import Home, identity

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mdns")]
TARGETS = Targets(exceptions=Exceptions.parse(allow=["127.0.0.0/8"]))


class Maker:
    """Signs records of a made-up node."""

    statements: dict[bytes, bytes] = {}  # noqa: RUF012 - none, ever
    revoked = False

    def __init__(self, home: Home) -> None:
        self._home = home

    def location(self, body: LocBody) -> bytes:
        who, now_ms = self._home.who, self._home.clock.now_ms()
        return make_loc(chain=who.chain, cert=who.cert, op_key=who.op_key, seq=now_ms, now_s=now_ms // 1000, body=body)


class Hints:
    """Hands hellos on to discovery."""

    def __init__(self, witnesses: LinkWitnesses) -> None:
        self._witnesses = witnesses

    def heard(self, peer: Peer, hello: Hello, *, dialled: bool) -> None:
        self._witnesses.heard(peer, hello, dialled=dialled)

    def superseded(self, peer: Peer, chain: Chain, cert: OpCert) -> None:
        raise AssertionError("nobody is old here")


class Neighbour(Home):
    """A home that is found by mDNS; wired as node/main.py does it."""

    def __init__(self, folder: Path, name: str) -> None:
        clock = SystemClock()
        super().__init__(folder, identity(name, now_s=clock.now_ms() // 1000), clock=clock, entropy=SystemEntropy())
        self.port = 0
        memory = PeerMemory(db=self.db, peers=self.peers, clock=clock)
        self.lan = Lan(
            nid=self.nid,
            clock=clock,
            targets=TARGETS,
            port=lambda: self.port,
            seq=lambda: self.discovery.seq,
            known=memory.knows,
            found=self.met,
            addresses=lambda: ("127.0.0.1",),
        )
        resolver = Resolver(
            clock=clock,
            targets=TARGETS,
            memory=memory,
            verify=Verifier(),
            lan=self.lan,
            gossip=PeerGossip(links=lambda: self.federation),
        )
        witnesses = LinkWitnesses(links=lambda: self.federation, observed=self._observed)
        self.federation = Federation(
            db=self.db,
            peers=self.peers,
            outbox=self.outbox,
            inbox=self.inbox,
            identity=self.who,
            acquaintances=self.inbox,
            resolver=resolver,
            opener=Connector(targets=TARGETS, entropy=SystemEntropy()),
            clock=clock,
            entropy=SystemEntropy(),
            hints=Hints(witnesses),
        )
        self.discovery = Discovery(
            clock=clock,
            resolver=resolver,
            reachability=Reachability(targets=TARGETS),
            maker=Maker(self),
            domain="",
            port=lambda: self.port,
            lan=self.lan,
            dialback=witnesses,
            network_changed=self.federation.nudge,
            addresses=lambda: ("127.0.0.1",),
        )

    def _observed(self, witness: Witness, ip: str) -> None:
        self.discovery.observed(witness, ip)

    def met(self, nid: NodeId) -> None:
        self.federation.nudge(nid)


@asynccontextmanager
async def neighbour(folder: Path, name: str) -> AsyncIterator[Neighbour]:
    (folder / name).mkdir()
    made = Neighbour(folder / name, name)
    await made.inbox.make()
    tls = Certificate.own(folder / name / "tls", domain="", clock=made.clock)
    runner = await made.listen(tls.context)
    made.port = runner.addresses[0][1]
    async with asyncio.TaskGroup() as group:
        running = []
        for service in (made.discovery, made.federation):
            ready = asyncio.Event()
            running.append(group.create_task(service.run(ready.set)))
            await ready.wait()
        try:
            yield made
        finally:
            for task in reversed(running):
                task.cancel()
                await asyncio.wait({task})
            await runner.cleanup()
            await made.db.close()


async def test_a_neighbour_is_linked_by_its_id_alone(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with neighbour(tmp_path, "alice") as alice, neighbour(tmp_path, "bob") as bob:
        began = alice.clock.monotonic()
        assert await alice.federation.reach(bob.nid) == bob.nid
        seconds = alice.clock.monotonic() - began
        record_property("linked_s", round(seconds, 3))
        assert seconds < 1
        await bob.until(lambda: bob.federation.linked(alice.nid))
        await bob.until(lambda: [near.nid for near in bob.discovery.nearby()] == [alice.nid])
        (link,) = alice.federation.open_links()
        assert link.url == f"wss://127.0.0.1:{bob.port}/s2s"


async def test_what_waits_is_delivered_when_the_neighbour_appears(tmp_path: Path) -> None:
    """No address is known and nobody answers; then bob is switched on."""
    async with neighbour(tmp_path, "alice") as alice:
        who = identity("bob", now_s=alice.clock.now_ms() // 1000)
        (tmp_path / "shadow").mkdir()
        shadow = Home(tmp_path / "shadow", who, clock=alice.clock, entropy=SystemEntropy())
        await alice.post(shadow, b"hello")
        await shadow.db.close()
        async with neighbour(tmp_path, "bob") as bob:
            await bob.until(lambda: bob.noted() == [b"hello"], patience_s=5)


async def test_after_a_link_the_address_is_remembered(tmp_path: Path) -> None:
    """Multicast may fall silent: what a link proved once is tried again."""
    async with neighbour(tmp_path, "alice") as alice, neighbour(tmp_path, "bob") as bob:
        await alice.federation.reach(bob.nid)
        memory = PeerMemory(db=alice.db, peers=alice.peers, clock=alice.clock)
        (known,) = memory.addresses(bob.nid)
        assert (known.url, known.lan) == (f"wss://127.0.0.1:{bob.port}/s2s", True)
        assert memory.knows(bob.nid)
