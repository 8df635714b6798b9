"""Which sources are asked, in which order their answers are given out, and what each may say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.discovery.proto.neighbours import Claim, instance_of
from node.discovery.resolver import Pin, Resolver
from node.discovery.wellknown import Announced, ZoneWord
from node.runtime.clock import ManualClock
from node.runtime.targets import Exceptions, Targets
from node.services.ports import Candidate, Word
from node.wire.address import Place
from node.wire.record import Record, Verifier
from tests.unit.discovery.records import NOW_MS, nid_of, raw_of, record_of

ALICE = nid_of("alice")
BOB = nid_of("bob")
DOMAIN = "casa.example"


class World:
    """Every source, with what it says and how often it was asked."""

    def __init__(self) -> None:
        self.pins: dict[NodeId, Pin] = {}
        self.stored: list[Candidate] = []
        self.owners: dict[str, NodeId] = {}
        self.near: tuple[Claim, ...] = ()
        self.announced: Announced | None = None
        self.zone: ZoneWord | RemoteError | None = None
        self.record: Record | None = None
        self.gossip: list[bytes] = []
        self.asked: list[str] = []
        self.learnt: list[Record] = []
        self.dht_args: dict[str, object] = {}
        self.slow = asyncio.Event()
        self.slow.set()

    def pin(self, nid: NodeId) -> Pin | None:
        return self.pins.get(nid)

    def addresses(self, nid: NodeId) -> Sequence[Candidate]:
        return self.stored

    def owner(self, domain: str) -> NodeId | None:
        return self.owners.get(domain)

    def learned(self, record: Record) -> None:
        self.learnt.append(record)

    async def look_for(self, nid: NodeId) -> Sequence[Claim]:
        self.asked.append("lan")
        return self.near

    async def fetch(self, domain: str) -> Announced:
        self.asked.append("web")
        await self.slow.wait()
        if self.announced is None:
            raise RemoteError("nobody there")
        return self.announced

    async def ask(self, domain: str) -> ZoneWord | None:
        self.asked.append("zone")
        if isinstance(self.zone, RemoteError):
            raise self.zone
        return self.zone

    async def get_record(self, nid: NodeId, **args: object) -> Record | None:
        self.asked.append("dht")
        self.dht_args = args
        return self.record

    async def who(self, nid: NodeId) -> Sequence[bytes]:
        self.asked.append("gossip")
        return self.gossip


@asynccontextmanager
async def resolving(
    world: World, *, clock: ManualClock | None = None, exceptions: Exceptions | None = None
) -> AsyncIterator[Resolver]:
    resolver = Resolver(
        clock=clock or ManualClock(now_ms=NOW_MS),
        targets=Targets(exceptions=exceptions or Exceptions()),
        memory=world,
        verify=Verifier(),
        lan=world,
        web=world,
        zone=world,
        dht=world,
        gossip=world,
    )
    async with resolver.open():
        yield resolver


async def found(
    world: World,
    *,
    nid: NodeId = ALICE,
    places: Sequence[Place] = (),
    domain: str = "",
    exceptions: Exceptions | None = None,
) -> list[str]:
    async with resolving(world, exceptions=exceptions) as resolver:
        return [one.url async for one in resolver.find(nid=nid, places=places, domain=domain)]


async def settled() -> None:
    """Everybody who can go on has gone on."""
    for _ in range(10):
        await asyncio.sleep(0)


def place(ip: str, port: int = 8443) -> Place:
    return Place(ip_address(ip).packed, port)


def announce(
    name: str = "alice",
    *,
    domain: str = DOMAIN,
    url: str = "wss://casa.example/s2s",
    spots: tuple[str, ...] = ("1.1.1.1",),
) -> Announced:
    record = record_of(name, domain=domain, spots=spots)
    return Announced(domain, record.nid, record, url)


async def test_answers_are_given_out_by_trust() -> None:
    world = World()
    world.near = (
        Claim(instance=instance_of(ALICE), nid=ALICE, addresses=("192.168.1.5", "fe80::1%2"), port=8443, seq=1),
    )
    world.stored = [Candidate("wss://9.9.9.9:8443/s2s", "record")]
    world.announced = announce()
    world.record = record_of("alice", spots=("2.2.2.2",), seq=NOW_MS + 1)
    world.gossip = [raw_of("alice", spots=("3.3.3.3",), seq=NOW_MS + 2)]
    world.slow.clear()
    async with resolving(world) as resolver:
        search = resolver.find(nid=ALICE, places=[place("8.8.8.8"), place("2600::1")], domain=DOMAIN)
        first = [(await anext(search)).url]
        await settled()
        first += [(await anext(search)).url for _ in range(5)]
        world.slow.set()
        rest = [one.url async for one in search]
    assert first[0] == "wss://9.9.9.9:8443/s2s", "it is there before anybody was asked"
    assert sorted(first[1:3]) == ["wss://192.168.1.5:8443/s2s", "wss://[fe80::1%2]:8443/s2s"]
    assert first[3:] == ["wss://[2600::1]:8443/s2s", "wss://8.8.8.8:8443/s2s", "wss://2.2.2.2:8443/s2s"]
    assert rest == ["wss://casa.example/s2s", "wss://3.3.3.3:8443/s2s"], (
        "the record of the domain is older than that of the DHT"
    )
    assert world.asked[-1] == "gossip"


async def test_neighbours_are_marked_and_names_are_checked() -> None:
    world = World()
    world.near = (Claim(instance=instance_of(ALICE), nid=ALICE, addresses=("192.168.1.5",), port=8443, seq=1),)
    world.announced = announce(spots=())
    async with resolving(world) as resolver:
        near, named = [one async for one in resolver.find(nid=ALICE, domain=DOMAIN)]
    assert (near.lan, near.check_certificate, near.source) == (True, False, "mdns")
    assert (named.lan, named.check_certificate, named.source) == (False, True, "domain")


async def test_an_invitation_cannot_point_inside() -> None:
    inside = [place(ip) for ip in ("127.0.0.1", "192.168.1.1", "100.64.0.1", "fe80::1", "::1")] + [place("1.1.1.1", 22)]
    assert await found(World(), places=inside) == []
    allowed = Exceptions.parse(allow=["192.168.1.0/24"])
    assert await found(World(), places=inside, exceptions=allowed) == ["wss://192.168.1.1:8443/s2s"]


async def test_a_record_cannot_point_inside() -> None:
    world = World()
    world.record = record_of("alice", spots=("10.0.0.1", "169.254.169.254", "4.4.4.4"))
    assert await found(world) == ["wss://4.4.4.4:8443/s2s"]


async def test_a_domain_that_names_another_node_gives_nothing() -> None:
    world = World()
    world.announced = announce("bob")
    assert await found(world, domain=DOMAIN) == []


async def test_the_pinned_domain_is_asked_when_none_is_given() -> None:
    world = World()
    world.pins[ALICE] = Pin(domain=DOMAIN)
    world.announced = announce(spots=())
    assert await found(world) == ["wss://casa.example/s2s"]
    assert "web" not in (other := World()).asked
    assert await found(other) == []
    assert other.asked == ["lan", "dht", "gossip"]


async def test_a_record_below_the_pin_is_not_used() -> None:
    world = World()
    world.pins[ALICE] = Pin(incarnation=1, seq=NOW_MS)
    world.record = record_of("alice", spots=("2.2.2.2",), seq=NOW_MS - 1)
    world.gossip = [raw_of("alice", spots=("3.3.3.3",), seq=NOW_MS - 2), raw_of("bob", spots=("4.4.4.4",)), b"garbage"]
    assert await found(world) == []
    assert world.dht_args["min_seq"] == NOW_MS
    assert world.dht_args["pinned"] == (0, 1)
    assert world.dht_args["quorum"] == limits.DHT_QUORUM


async def test_a_later_incarnation_may_begin_its_numbers_anew() -> None:
    world = World()
    world.pins[ALICE] = Pin(incarnation=1, seq=NOW_MS)
    world.record = record_of("alice", spots=("2.2.2.2",), seq=5, incarnation=2)
    assert await found(world) == ["wss://2.2.2.2:8443/s2s"]
    assert world.learnt == [world.record], "the pin goes up"


async def test_only_what_is_newer_than_the_pin_is_told_to_the_memory() -> None:
    world = World()
    world.pins[ALICE] = Pin(incarnation=1, seq=NOW_MS)
    world.record = record_of("alice", spots=("2.2.2.2",), seq=NOW_MS)
    await found(world)
    del world.pins[ALICE]
    world.record = record_of("alice", spots=("2.2.2.2",), seq=NOW_MS + 1)
    await found(world)
    assert world.learnt == []


async def test_a_first_contact_asks_more_nodes() -> None:
    world = World()
    await found(world)
    assert (world.dht_args["quorum"], world.dht_args["min_seq"], world.dht_args["pinned"]) == (
        limits.DHT_QUORUM_FIRST,
        0,
        None,
    )


async def test_what_was_found_is_kept_for_a_while() -> None:
    world, clock = World(), ManualClock(now_ms=NOW_MS)
    world.announced = announce()
    async with resolving(world, clock=clock) as resolver:
        for _ in range(2):
            assert len([one async for one in resolver.find(nid=ALICE, domain=DOMAIN)]) == 2
        assert world.asked.count("web") == 1
        clock.advance(seconds=limits.FOUND_KEPT_S)
        world.announced = None
        after = [one.url async for one in resolver.find(nid=ALICE, domain=DOMAIN)]
        assert world.asked.count("web") == 2
    assert after == ["wss://1.1.1.1:8443/s2s"], "a record holds until it expires"


@pytest.mark.slow
async def test_the_cache_is_bounded() -> None:
    world = World()
    async with resolving(world) as resolver:
        for number in range(limits.FOUND_KEPT_MAX + 5):
            world.announced = announce(domain=DOMAIN)
            await resolver._fetch(f"casa{number}.example")
        assert len(resolver._announced) == limits.FOUND_KEPT_MAX


async def test_a_name_that_the_owner_pinned_leads_to_its_port() -> None:
    world = World()
    world.announced = announce(domain="a.test", url="wss://a.test/s2s", spots=())
    pins = Exceptions.parse(hosts=["a.test=127.0.0.1:18443"])
    assert await found(world, domain="a.test", exceptions=pins) == ["wss://a.test:18443/s2s"]
    assert "zone" not in world.asked


@pytest.mark.parametrize("port", [22, 8080])
async def test_a_url_names_no_port_of_something_else(port: int) -> None:
    world = World()
    world.announced = announce(domain="a.test", url=f"wss://a.test:{port}/s2s", spots=())
    pins = Exceptions.parse(hosts=["a.test=127.0.0.1:18443"])
    assert await found(world, domain="a.test", exceptions=pins) == []
    usual = [] if port == 22 else ["wss://a.test:8080/s2s"]
    assert await found(world, domain="a.test") == usual


async def test_who_stops_listening_leaves_nothing_behind() -> None:
    world = World()
    world.stored = [Candidate("wss://9.9.9.9:8443/s2s", "last")]
    world.slow.clear()
    async with resolving(world) as resolver:
        search = resolver.find(nid=ALICE, domain=DOMAIN)
        await anext(search)
        assert resolver._running
        await search.aclose()
        await settled()
        assert not resolver._running


async def test_searches_end_with_the_resolver() -> None:
    world = World()
    world.stored = [Candidate("wss://9.9.9.9:8443/s2s", "last")]
    world.slow.clear()
    async with resolving(world) as resolver:
        search = resolver.find(nid=ALICE, domain=DOMAIN)
        await anext(search)
    assert [one async for one in search] == []
    assert [one async for one in resolver.find(nid=ALICE)] == []


async def test_searches_at_once_are_few() -> None:
    world = World()
    world.slow.clear()
    async with resolving(world) as resolver:
        searches = [resolver.find(nid=ALICE, domain=DOMAIN) for _ in range(limits.SEARCHES_MAX + 3)]
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(_first(search)) for search in searches]
            while world.asked.count("web") < limits.SEARCHES_MAX:
                await asyncio.sleep(0)
            assert world.asked.count("web") == limits.SEARCHES_MAX
            world.slow.set()
        assert {task.result() for task in waiting} == {None}


async def test_known_addresses_wait_for_no_search_of_others() -> None:
    """After a start with many nodes that are away, those that are there were dialled only when the searches for the others had ended."""
    world = World()
    world.slow.clear()
    async with resolving(world) as resolver:
        others = [resolver.find(nid=ALICE, domain=DOMAIN) for _ in range(limits.SEARCHES_MAX)]
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(_first(search)) for search in others]
            while world.asked.count("web") < limits.SEARCHES_MAX:
                await asyncio.sleep(0)
            world.stored = [Candidate("wss://9.9.9.9:8443/s2s", "last")]
            search = resolver.find(nid=ALICE, domain=DOMAIN)
            assert await anext(search) == world.stored[0]
            assert world.asked.count("web") == limits.SEARCHES_MAX
            await search.aclose()
            world.slow.set()
        assert {task.result() for task in waiting} == {None}


async def test_a_source_that_fails_ends_neither_the_others_nor_later_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(nid: NodeId) -> Sequence[Claim]:
        raise ZeroDivisionError

    world = World()
    world.announced = announce()
    monkeypatch.setattr(world, "look_for", broken)
    async with resolving(world) as resolver:
        for _ in range(2):
            urls = [one.url async for one in resolver.find(nid=ALICE, domain=DOMAIN)]
            assert "wss://casa.example/s2s" in urls


async def _first(search: AsyncIterator[Candidate]) -> Candidate | None:
    return await anext(search, None)


# --- first contact by domain ----------------------------------------------------------------------------


async def who_owns(world: World) -> NodeId:
    async with resolving(world) as resolver:
        return await resolver.who_owns(DOMAIN)


async def refusal(world: World) -> Code:
    async with resolving(world) as resolver:
        with pytest.raises(Rejected) as caught:
            await resolver.who_owns(DOMAIN)
    return caught.value.code


async def test_web_and_zone_agree() -> None:
    world = World()
    world.announced, world.zone = announce(), ZoneWord(ALICE, 1)
    assert await who_owns(world) == ALICE
    world.zone = None
    assert await who_owns(world) == ALICE


async def test_web_and_zone_disagree() -> None:
    world = World()
    world.announced, world.zone = announce(), ZoneWord(BOB, 1)
    assert await refusal(world) is Code.KEY_CHANGED


async def test_a_pin_is_never_replaced() -> None:
    world = World()
    world.owners[DOMAIN] = BOB
    world.announced = announce()
    assert await refusal(world) is Code.KEY_CHANGED
    world.announced = None
    assert await who_owns(world) == BOB


async def test_a_zone_alone_needs_a_record_that_names_the_domain() -> None:
    world = World()
    world.zone = ZoneWord(ALICE, 1)
    assert await refusal(world) is Code.PEER_UNREACHABLE
    world.record = record_of("alice", domain="other.example")
    assert await refusal(world) is Code.PEER_UNREACHABLE
    world.record = record_of("alice", domain=DOMAIN, seq=NOW_MS + 1)
    assert await who_owns(world) == ALICE


async def test_a_silent_or_broken_domain() -> None:
    world = World()
    assert await refusal(world) is Code.PEER_UNREACHABLE
    world.zone = RemoteError("malformed")
    assert await refusal(world) is Code.PEER_UNREACHABLE


async def test_a_resolver_without_sources_knows_addresses() -> None:
    world = World()
    world.stored = [Candidate("wss://9.9.9.9:8443/s2s", "last")]
    resolver = Resolver(clock=ManualClock(now_ms=NOW_MS), targets=Targets(), memory=world, verify=Verifier())
    async with resolver.open():
        assert [one.url async for one in resolver.find(nid=ALICE)] == ["wss://9.9.9.9:8443/s2s"]


async def explained(world: World, *, nid: NodeId | None = ALICE, domain: str = "") -> list[object]:
    async with resolving(world) as resolver:
        return [
            step.url if isinstance(step, Candidate) else (step.source, step.fine) if isinstance(step, Word) else step
            async for step in resolver.explain(nid=nid, domain=domain)
        ]


async def test_a_search_can_be_explained() -> None:
    world = World()
    world.stored = [Candidate("wss://1.1.1.1:8443/s2s", "last")]
    world.zone = RemoteError("The TXT record of this domain is malformed, or there are several.")
    steps = await explained(world, domain=DOMAIN)
    assert [step for step in steps if isinstance(step, str)] == ["wss://1.1.1.1:8443/s2s"]
    assert {step for step in steps if isinstance(step, tuple)} == {
        ("last", True), ("mdns", False), ("well-known", False), ("txt", False), ("dht", False), ("contacts", False),
    }  # fmt: skip


async def test_an_explanation_begins_with_the_node_of_the_domain() -> None:
    world = World()
    world.announced = announce()
    steps = await explained(world, nid=None, domain=DOMAIN)
    assert steps[:3] == [("well-known", True), ("txt", False), ALICE]
    assert "wss://casa.example/s2s" in steps
    world.announced, heard = None, list[object]()

    async def listen(resolver: Resolver) -> None:
        heard.extend([step async for step in resolver.explain(nid=None, domain=DOMAIN)])

    async with resolving(world) as resolver:
        with pytest.raises(Rejected) as refused:
            await listen(resolver)
    assert refused.value.code is Code.PEER_UNREACHABLE
