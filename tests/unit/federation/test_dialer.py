"""From a nid to a proved connection: candidates race, the wrong ones lose, addresses inside the house are not for others to name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.federation.dialer import Connector, Dialer, KnownAddresses, Resting
from node.federation.proto.handshake import HandshakeRefused
from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy
from node.runtime.targets import Exceptions, TargetRefused, Targets
from node.services.ports import Candidate
from node.storage.database import Database
from node.storage.peers import PeerStore
from node.wire.address import Place
from node.wire.keys import Certified
from tests.links import identity
from tests.unit.federation.conftest import MemorySocket, Story, Town

Simulate = Callable[[Story], None]
NID = identity("b").nid


class Told:
    """A resolver that says what it is told, slowly if need be."""

    def __init__(self, urls: Sequence[str], *, pause_s: float = 0.0) -> None:
        self.urls, self.pause_s = urls, pause_s

    async def find(self, *, nid: NodeId, places: Sequence[Place] = (), domain: str = "") -> AsyncIterator[Candidate]:
        for url in self.urls:
            yield Candidate(url, "told")
            await asyncio.sleep(self.pause_s)

    async def who_owns(self, domain: str) -> NodeId:
        raise Rejected(Code.PEER_UNREACHABLE, domain)


class Slow:
    """A street where some addresses swallow everything."""

    def __init__(self, town: Town, holes: set[str]) -> None:
        self.town, self.holes, self.tried = town, holes, list[tuple[float, str]]()

    async def open(self, candidate: Candidate) -> MemorySocket:
        self.tried.append((self.town.loop.time(), candidate.url))
        if candidate.url in self.holes:
            await asyncio.sleep(3600)
        return await self.town.street.open(candidate)


def dialer(
    town: Town, opener: object, resolver: object, accept: Callable[[Certified], None] = lambda who: None
) -> Dialer:
    return Dialer(
        identity=identity("a", now_s=town.clock.now_ms() // 1000),
        resolver=resolver,  # type: ignore[arg-type]
        opener=opener,  # type: ignore[arg-type]
        clock=town.clock,
        entropy=SeededEntropy("dialer"),
        accept=accept,
        binding_required=lambda nid, url: False,
        failed=lambda nid, url: None,
    )


def test_a_dead_address_delays_the_next_by_a_moment_only(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        b = await town.home("b")
        opener = Slow(town, {"ws://hole.test/s2s"})
        before = town.loop.time()
        dialled = await dialer(town, opener, Told(["ws://hole.test/s2s", b.url])).dial(b.nid)
        assert dialled.candidate.url == b.url
        assert dialled.proven.who.nid == b.nid
        assert limits.DIAL_STAGGER_MS / 1000 <= town.loop.time() - before < 1
        dialled.socket.close()

    simulate(story)


def test_the_first_that_proves_itself_ends_the_search(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        b = await town.home("b")
        opener = Slow(town, set())
        before = town.loop.time()
        dialled = await dialer(town, opener, Told([b.url, "ws://later.test/s2s"], pause_s=4.0)).dial(b.nid)
        assert town.loop.time() - before < 2
        assert [url for _, url in opener.tried] == [b.url]
        dialled.socket.close()

    simulate(story)


def test_everything_fails_in_time_and_says_why(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        other = await town.home("c")
        opener = Slow(town, {"ws://hole.test/s2s"})
        before = town.loop.time()
        with pytest.raises(Rejected) as refused:
            await dialer(town, opener, Told(["ws://nobody.test/s2s", other.url, "ws://hole.test/s2s"])).dial(NID)
        assert refused.value.code is Code.PEER_UNREACHABLE
        reason = str(refused.value.detail["reason"])
        assert "nobody.test" in reason
        assert "another node is meant" in reason
        assert town.loop.time() - before <= limits.DIAL_S + 1

    simulate(story)


def test_a_pin_that_does_not_fit_is_another_answer_than_nobody(simulate: Simulate) -> None:
    def older(who: Certified) -> None:
        raise HandshakeRefused(Code.KEY_CHANGED, "older")

    async def story(town: Town) -> None:
        b = await town.home("b")
        with pytest.raises(Rejected) as refused:
            await dialer(town, Slow(town, set()), Told([b.url]), older).dial(b.nid)
        assert refused.value.code is Code.KEY_CHANGED

    simulate(story)


def test_an_address_that_failed_is_spaced_whatever_nid_names_it(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        opener = Slow(town, set())
        many = dialer(town, opener, Told(["ws://victim.test/s2s"]))
        for n in range(200):
            with pytest.raises(Rejected):
                await many.dial(NodeId(bytes([n]) * 32))
            await asyncio.sleep(1)
        assert len(opener.tried) < 30
        before = len(opener.tried)
        with pytest.raises(Rejected):
            await many.dial(NID, eager=True)
        assert len(opener.tried) == before + 1, "somebody waits for this one"
        many.forgive()
        with pytest.raises(Rejected):
            await many.dial(NID)
        assert len(opener.tried) == before + 2

    simulate(story)


def test_who_is_in_no_hurry_learns_how_long_the_addresses_rest(simulate: Simulate) -> None:
    """It was told that no address is known, and the peers page showed that instead of the real cause."""

    async def story(town: Town) -> None:
        one = dialer(town, Slow(town, set()), Told(["ws://away.test/s2s"]))
        while True:  # the first rest is drawn from 0 to 1 s
            with pytest.raises(Rejected) as refused:
                await one.dial(NID)
            if isinstance(refused.value, Resting):
                break
        assert limits.DIAL_DELAY_S_MIN <= refused.value.wait_s <= limits.DIAL_DELAY_S_MAX
        await asyncio.sleep(refused.value.wait_s)
        with pytest.raises(Rejected) as refused:
            await one.dial(NID)
        assert not isinstance(refused.value, Resting)
        one.forgive(["ws://away.test/s2s", "ws://never-seen.test/s2s"])
        with pytest.raises(Rejected) as refused:
            await one.dial(NID)
        assert not isinstance(refused.value, Resting)

    simulate(story)


def test_an_address_that_makes_this_node_fail_is_one_that_failed(simulate: Simulate) -> None:
    class Broken(Slow):
        async def open(self, candidate: Candidate) -> MemorySocket:
            if "odd" in candidate.url:
                raise ZeroDivisionError
            return await super().open(candidate)

    async def story(town: Town) -> None:
        b = await town.home("b")
        dialled = await dialer(town, Broken(town, set()), Told(["ws://odd.test/s2s", b.url])).dial(b.nid)
        assert dialled.candidate.url == b.url
        dialled.socket.close()

    simulate(story)


async def test_stored_addresses_come_before_those_of_a_link_and_the_domain(tmp_path: Path) -> None:
    db, peers = Database(path=tmp_path / "startalk.db", clock=ManualClock()), PeerStore()
    pk = (await db.write(lambda tx: peers.ensure(tx, NID, 1))).pk
    await db.write(lambda tx: peers.address_ok(tx, pk, "ws://b.test/s2s", "typed", 1, tls=False))
    places = (Place(bytes((192, 0, 2, 7)), 8443), Place(bytes(15) + b"\x01", 80))
    known = KnownAddresses(db=db, peers=peers)
    found = [one async for one in known.find(nid=NID, places=places, domain="casa.example")]
    assert [one.url for one in found] == [
        "ws://b.test/s2s",
        "wss://192.0.2.7:8443/s2s",
        "ws://192.0.2.7:8443/s2s",
        "wss://[::1]:80/s2s",
        "ws://[::1]:80/s2s",
        "wss://casa.example/s2s",
    ]
    assert [one.check_certificate for one in found] == [False] * 5 + [True]
    with pytest.raises(Rejected):
        await known.who_owns("casa.example")
    db.abandon()


class TestConnector:
    """Addresses that somebody else named."""

    @staticmethod
    async def names(host: str) -> Sequence[str]:
        return {"inside.test": ["203.0.114.1", "192.168.1.1"], "empty.test": []}[host]

    def connector(self, exceptions: Exceptions | None = None) -> Connector:
        targets = Targets() if exceptions is None else Targets(exceptions=exceptions)
        return Connector(targets=targets, entropy=SeededEntropy("connector"), names=self.names)

    @pytest.mark.parametrize(
        "url",
        [
            "ws://127.0.0.1:8443/s2s",
            "ws://192.168.1.1:8443/s2s",
            "ws://[::1]:8443/s2s",
            "ws://[fe80::1%25eth0]:8443/s2s",
            "ws://8.8.8.8:22/s2s",
            "ws://inside.test:8443/s2s",
        ],
    )
    async def test_the_house_is_not_for_others_to_name(self, url: str) -> None:
        with pytest.raises(TargetRefused):
            await self.connector().open(Candidate(url, "record"))

    @pytest.mark.parametrize("url", ["http://casa.example/", "ws://empty.test/s2s"])
    async def test_what_leads_nowhere(self, url: str) -> None:
        with pytest.raises(RemoteError):
            await self.connector().open(Candidate(url, "record"))

    async def test_the_owner_may_say_where_a_name_is(self) -> None:
        connector = self.connector(Exceptions.parse(hosts=["b.test=127.0.0.1:1"]))
        with pytest.raises(OSError):  # noqa: PT011 - nobody listens at port 1, but it was tried
            await connector.open(Candidate("wss://b.test/s2s", "typed"))


def test_an_admin_sees_the_links(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.federation.reach(b.nid)
        await asyncio.sleep(1)
        [link] = a.federation.open_links()
        assert (link.nid, link.url, link.dialled) == (b.nid, b.url, True)
        assert link.rtt_ms is not None
        before = link.rtt_ms
        a.federation.ping(b.nid)
        await asyncio.sleep(1)
        [again] = a.federation.open_links()
        assert again.rtt_ms != before
        a.federation.drop(b.nid)
        await asyncio.sleep(0.2)
        assert a.federation.open_links() == []

    simulate(story)
