"""The service: what it publishes and finds, whom it takes itself for, what it does by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.dht_village import LOOPBACK, Home, Village
from node.base import limits
from node.base.errors import RemoteError
from node.discovery.bootstrap import BootstrapList
from node.discovery.dht import Dht
from node.discovery.proto.policy import Contact, Policy, is_bound, make_id
from node.runtime.clock import SystemClock
from node.runtime.entropy import SeededEntropy
from tests.polling import until

CLOCK = SystemClock()
NOW_S = CLOCK.now_ms() // 1000


def make(ip: str | None, *, bootstrap: BootstrapList | None = None, own: bytes | None = None, policy: Policy = LOOPBACK, port: int = 0) -> Dht:  # fmt: skip
    return Dht(
        clock=CLOCK,
        entropy=SeededEntropy(ip or "any"),
        bootstrap=bootstrap or BootstrapList(None),
        own_record=lambda: own,
        port=port,
        hosts=(ip, ""),
        policy=policy,
    )


@asynccontextmanager
async def running(dht: Dht) -> AsyncIterator[Dht]:
    """The service under way; cancelled at the end."""
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(dht.run(ready.set))
        await ready.wait()
        yield dht
        task.cancel()
    await asyncio.sleep(0)


@pytest.fixture
async def village() -> AsyncIterator[Village]:
    made = Village(seed=2)
    yield made
    made.close()
    await asyncio.sleep(0)


@pytest.mark.slow
async def test_published_by_one_and_found_by_another(village: Village) -> None:
    await village.grow(["honest"] * 6)
    anna = Home(1, now_s=NOW_S)
    assert await village.alive[0].put_record(anna.version(5)) == 5
    found = await village.alive[3].get_record(anna.nid)
    assert found is not None
    assert found.raw == anna.version(5)
    assert await village.alive[3].get_record(Home(2, now_s=NOW_S).nid) is None
    assert await village.alive[3].get_record(anna.nid, salt=b"id") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("min_seq", "pinned", "found"),
    [
        (5, None, True),
        (6, None, False),
        (5, (0, 1), True),
        (6, (0, 1), False),
        (6, (0, 0), True),  # a later incarnation than the pinned one may begin its numbers anew
        (0, (0, 2), False),  # an earlier one is never taken
        (0, (1, 0), False),
    ],
)
async def test_nothing_below_the_pin_is_found(village: Village, min_seq: int, pinned: tuple[int, int] | None, found: bool) -> None:  # fmt: skip
    await village.grow(["honest"] * 4)
    anna = Home(1, now_s=NOW_S)
    await village.alive[0].put_record(anna.version(5))
    for dht in village.alive:  # holders and the publisher itself alike
        record = await dht.get_record(anna.nid, min_seq=min_seq, pinned=pinned)
        assert (record is not None) is found


async def test_an_invalid_or_older_record_is_not_published() -> None:
    dht = make("127.9.9.9")
    anna = Home(1, now_s=NOW_S)
    with pytest.raises(RemoteError):
        await dht.put_record(b"garbage")
    with pytest.raises(RemoteError):
        await dht.put_record(Home(1, now_s=NOW_S - 10 * 24 * 3_600).version(1))
    assert await dht.put_record(anna.version(2)) == 0
    with pytest.raises(RemoteError, match="newer"):
        await dht.put_record(anna.version(1))
    found = await dht.get_record(anna.nid)
    assert found is not None
    assert found.seq == 2, "the publisher keeps its copy"


async def test_a_bounded_number_is_kept() -> None:
    dht = make("127.9.9.9")
    for number in range(limits.DHT_KEPT_MAX + 1):
        await dht.put_record(Home(number, now_s=NOW_S).version(1))
    assert len(dht._kept) == limits.DHT_KEPT_MAX


@pytest.mark.slow
async def test_everything_kept_is_published_again(village: Village) -> None:
    await village.grow(["honest"] * 4)
    anna, ben = Home(1, now_s=NOW_S), Home(2, now_s=NOW_S)
    dht = make("127.9.9.9", own=anna.version(2))
    await dht.open()
    await dht.put_record(ben.version(1))
    await dht.put_record(anna.version(1))
    dht.learn(*village.alive[0].servers[4].own.endpoint)
    await dht.join()
    assert await dht.publish_own() == 8
    dht.close()
    assert all(other.servers[4].storage.get(anna.key) == anna.version(2) for other in village.alive)
    assert all(other.servers[4].storage.get(ben.key) == ben.version(1) for other in village.alive)


@pytest.mark.slow
async def test_numbers(village: Village) -> None:
    await village.grow(["honest"] * 3)
    anna = Home(1, now_s=NOW_S)
    await village.alive[0].put_record(anna.version(1))
    protocol = village.alive[1].servers[4].protocol
    assert protocol is not None
    protocol.datagram_received(b"?", ("127.0.0.1", 9))
    assert village.alive[1].stats() == {"contacts": 2, "records": 1, "refused": 0, "dropped_malformed": 1}


# --- who we are -------------------------------------------------------------------------------------------------


def peer(number: int) -> Contact:
    ip = f"93.{number}.1.1"
    return Contact(make_id(ip, bytes(20)), ip, 8_444)


def test_two_unrelated_peers_tell_the_address_and_the_id_follows() -> None:
    dht = make(None, policy=Policy())
    before = dht.servers[4].own.id
    dht._hear_seen(4, peer(1), ("93.184.216.34", 50_000))
    assert dht.external_address(4) is None
    assert dht.servers[4].own.id == before
    dht._hear_seen(4, peer(2), ("93.184.216.34", 50_001))
    assert dht.external_address(4) == "93.184.216.34"
    assert is_bound(dht.servers[4].own.id, "93.184.216.34")
    assert dht.external_address(6) is None


@pytest.mark.slow
async def test_a_network_tells_a_node_its_address(village: Village) -> None:
    await village.grow(["honest"] * 4)
    dht = await village.start()
    assert dht.external_address(4) == dht.servers[4].own.ip


@pytest.mark.slow
async def test_a_client_finds_and_publishes_and_nobody_knows_it(village: Village) -> None:
    await village.grow(["honest"] * 6)
    await village.settle()
    client = make("127.9.9.9")
    client.be_client(True)
    await client.open()
    client.learn(*village.alive[0].servers[4].own.endpoint)
    assert await client.join() == 6
    anna = Home(1, now_s=NOW_S)
    assert await client.put_record(anna.version(1)) == 6
    assert await client.get_record(anna.nid) is not None
    await asyncio.sleep(0.05)
    assert not [dht for dht in village.alive if client.servers[4].own in dht.contacts()]
    client.close()


# --- by itself --------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_it_joins_publishes_and_serves_until_cancelled(village: Village) -> None:
    await village.grow(["honest"] * 4)
    anna = Home(1, now_s=NOW_S)
    seeds = [f"{ip}:{port}" for ip, port in [village.alive[0].servers[4].own.endpoint]]
    async with running(make("127.9.9.9", bootstrap=BootstrapList(None, seeds=seeds), own=anna.version(1))) as dht:
        await until(lambda: all(other.servers[4].storage.find(anna.key) for other in village.alive))
        assert len(dht.contacts()) == 4
    assert not dht.servers[4].listening


@pytest.mark.slow
async def test_it_tries_again_until_somebody_answers() -> None:
    async with running(make("127.9.9.9")) as dht:
        await asyncio.sleep(0.05)
        assert dht.contacts() == []
        village = Village(seed=3)
        await village.grow(["honest"] * 3)
        dht.learn(*village.alive[0].servers[4].own.endpoint)
        await until(lambda: len(dht.contacts()) == 3)
        village.close()


@pytest.mark.slow
async def test_a_port_that_is_taken_does_not_stop_the_node() -> None:
    first = make("127.9.9.9")
    await first.open()
    async with running(make("127.9.9.9", port=first.servers[4].own.port)) as second:
        assert not second.servers[4].listening
        first.close()
        await until(lambda: second.servers[4].listening)


@pytest.mark.slow
async def test_a_node_that_learns_its_address_takes_an_id_and_is_found(village: Village) -> None:
    await village.grow(["honest"] * 4)
    seeds = ["{}:{}".format(*dht.servers[4].own.endpoint) for dht in village.alive]
    async with running(make(None, bootstrap=BootstrapList(None, seeds=seeds))) as dht:
        await until(lambda: dht.external_address(4) == "127.0.0.1")
        own = dht.servers[4].own
        assert is_bound(own.id, "127.0.0.1")
        await until(lambda: all(own in other.contacts() for other in village.alive))


@pytest.mark.slow
async def test_refreshing_by_hand(village: Village) -> None:
    await village.grow(["honest"] * 3)
    await village.alive[0].refresh()
    assert len(village.alive[0].contacts()) == 2


async def test_a_record_of_our_own_that_ended_is_not_published_any_more() -> None:
    dht = make("127.9.9.9", own=b"garbage")
    assert await dht.publish_own() == 0


async def test_a_list_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    async with running(make("127.9.9.9", bootstrap=BootstrapList(tmp_path / "gone" / "dht.json"))):
        pass


async def test_the_list_is_written_when_it_stops(tmp_path: Path, village: Village) -> None:
    await village.grow(["honest"] * 2)
    path = tmp_path / "dht.json"
    seeds = ["{}:{}".format(*village.alive[0].servers[4].own.endpoint)]
    async with running(make("127.9.9.9", bootstrap=BootstrapList(path, seeds=seeds))) as dht:
        await until(lambda: len(dht.contacts()) == 2)
    again = BootstrapList(path)
    assert again.load() == 2
