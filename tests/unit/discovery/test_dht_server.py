"""One family's node on loopback: joining, walking, publishing, and the doors that stay closed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from bench.dht_village import LOOPBACK, Home, Village
from node.base import limits
from node.discovery.dht_server import SignedServer
from node.discovery.dht_store import Checker
from node.discovery.proto.policy import Policy, is_bound, make_id
from node.runtime.clock import SystemClock
from node.runtime.entropy import SeededEntropy


def make(family: int = 4, *, policy: Policy = LOOPBACK, client: bool = False, seed: int = 1) -> SignedServer:
    clock = SystemClock()
    return SignedServer(
        family=family,
        policy=policy,
        clock=clock,
        entropy=SeededEntropy(seed),
        check=Checker(clock=clock),
        seen=lambda voter, endpoint: None,
        client=client,
    )


@pytest.fixture
async def village() -> AsyncIterator[Village]:
    made = Village(seed=1)
    yield made
    made.close()
    await asyncio.sleep(0)


def home(number: int) -> Home:
    return Home(number, now_s=SystemClock().now_ms() // 1000)


async def test_a_known_address_gives_the_id_at_once() -> None:
    server = make()
    await server.listen(0, "127.7.7.7")
    assert is_bound(server.own.id, "127.7.7.7")
    assert server.protocol is not None
    assert not server.protocol.client
    assert server.storage.place == server.own.place
    server.stop()
    server.stop()
    assert not server.listening
    await asyncio.sleep(0)


async def test_without_a_known_address_a_node_only_asks_until_it_knows() -> None:
    server = make(policy=Policy())
    await server.listen(0, "127.7.7.7")
    protocol = server.protocol
    assert protocol is not None
    told = [protocol.client]
    server.move("93.184.216.34")
    assert protocol.own.id == server.own.id
    assert is_bound(server.own.id, "93.184.216.34")
    told.append(protocol.client)
    server.be_client(True)
    told.append(protocol.client)
    server.move("93.184.216.35")
    told.append(protocol.client)  # moving makes nobody reachable
    server.be_client(False)
    told.append(protocol.client)
    assert told == [True, False, True, True, False]
    server.stop()
    await asyncio.sleep(0)


async def test_on_a_lan_the_id_is_free_and_stays() -> None:
    server = make(policy=Policy(lan=True))
    await server.listen(0, "127.7.7.7")
    assert server.protocol is not None
    assert not server.protocol.client
    server.stop()
    await asyncio.sleep(0)


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    first, second = make(), make()
    await first.listen(0, "127.7.7.7")
    with pytest.raises(OSError, match="in use"):
        await second.listen(first.own.port, "127.7.7.7")
    assert not second.listening
    first.stop()
    await asyncio.sleep(0)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_an_ipv6_socket_hears_no_ipv4() -> None:
    server = make(6, policy=Policy(lan=True))
    await server.listen(0)
    other = make(4, policy=Policy(lan=True))
    await other.listen(server.own.port)  # the same port in the other family is free
    server.stop()
    other.stop()
    await asyncio.sleep(0)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_two_ipv6_nodes_find_each_other() -> None:
    one, two = make(6, policy=Policy(lan=True), seed=1), make(6, policy=Policy(lan=True), seed=2)
    await one.listen(0, "::1")
    await two.listen(0, "::1")
    assert await two.bootstrap([one.own.endpoint]) == 1
    anna = home(1)
    assert await two.publish(anna.key, anna.version(1)) == 1
    assert one.storage.get(anna.key) == anna.version(1)
    one.stop()
    two.stop()
    await asyncio.sleep(0)


async def test_everything_on_a_closed_socket_is_nothing() -> None:
    server = make()
    assert await server.bootstrap([("127.0.0.1", 9)]) == 0
    assert server.contacts() == []
    lookup = await server.find_record(bytes(20), quorum=3)
    assert lookup.best is None
    assert await server.publish(bytes(20), b"") == 0
    await server.refresh()
    await server.republish()


@pytest.mark.slow
async def test_a_network_of_twenty_stores_and_finds(village: Village) -> None:
    await village.grow(["honest"] * 20)
    await village.settle()
    servers = [dht.servers[4] for dht in village.alive]
    anna = home(1)
    acks = await servers[3].publish(anna.key, anna.version(1))
    holders = [server for server in servers if server.storage.find(anna.key)]
    assert acks == len(holders) == 19
    lookup = await servers[3].find_record(anna.key, quorum=limits.DHT_QUORUM)
    assert lookup.best is not None
    assert lookup.best.raw == anna.version(1)
    assert lookup.found


@pytest.mark.slow
async def test_a_lookup_repairs_two_who_are_behind(village: Village) -> None:
    await village.grow(["honest"] * 8)
    await village.settle()
    servers = [dht.servers[4] for dht in village.alive]
    anna = home(1)
    for server in servers[1:4]:
        server.storage.put(anna.key, anna.version(2))
    for server in servers[4:]:
        server.storage.put(anna.key, anna.version(1))
    lookup = await servers[0].find_record(anna.key, quorum=limits.DHT_QUORUM_FIRST)
    assert lookup.best is not None
    assert lookup.best.seq == 2
    await asyncio.sleep(0.05)
    assert sum(server.storage.get(anna.key) == anna.version(2) for server in servers[1:]) == 3 + limits.DHT_REPAIRS_MAX


@pytest.mark.slow
async def test_a_newcomer_inherits_records(village: Village) -> None:
    await village.grow(["honest"] * 5)
    await village.settle()
    anna = home(1)
    for dht in village.alive:
        dht.servers[4].storage.put(anna.key, anna.version(1))
    newcomer = await village.start()
    await asyncio.sleep(0.05)
    assert newcomer.servers[4].storage.get(anna.key) == anna.version(1)


@pytest.mark.slow
async def test_refreshing_and_republishing(village: Village) -> None:
    await village.grow(["honest"] * 6)
    first = village.alive[0].servers[4]
    anna = home(1)
    first.storage.put(anna.key, anna.version(1))
    await first.refresh()
    await first.republish()
    assert [dht.servers[4].storage.get(anna.key) for dht in village.alive[1:]] == [None] * 5, "it is not an hour old"
    first.storage._held[anna.key] = first.storage._held[anna.key]._replace(stored_at=first._clock.monotonic() - 3_600)
    await first.republish()
    assert [dht.servers[4].storage.get(anna.key) for dht in village.alive[1:]] == [anna.version(1)] * 5
    assert first.storage.iter_older_than(3_600) == []


@pytest.mark.slow
async def test_the_dead_cost_a_second_together(village: Village) -> None:
    await village.grow(["honest"] * 12)
    await village.settle()
    village.kill(6)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await village.alive[0].servers[4].find_nodes(bytes(20))
    assert loop.time() - began < 2 * limits.DHT_REPLY_S
    assert len(village.alive[0].contacts()) <= 5


async def test_an_address_that_was_ground_is_still_bound() -> None:
    assert is_bound(make_id("127.1.1.1", b"\xff" * 20), "127.1.1.1")


@pytest.mark.parametrize("door", ["get", "set"])
async def test_the_doors_that_believe_anything_are_closed(door: str) -> None:
    arguments = ("key",) if door == "get" else ("key", "value")
    with pytest.raises(AssertionError):
        await getattr(make(), door)(*arguments)


def test_the_doors_that_pickle_are_closed() -> None:
    with pytest.raises(AssertionError):
        make().save_state("file")
    with pytest.raises(AssertionError):
        SignedServer.load_state("file", 8_444)
